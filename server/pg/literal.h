/* literal: an array literal of PostgreSQL in the making, {a,b}. Nothing in it is escaped. */
#ifndef PG_LITERAL_H
#define PG_LITERAL_H

#include <stddef.h>

/* All zero is empty. The text is the owner's (free), grown to what was needed so far. */
struct literal {
	char *text;
	size_t length, room;
};

void literal_add(struct literal *, const char *bytes, size_t size);

/* Puts what stands before the next element. */
void literal_next(struct literal *);

/* Ends it, and returns the text; the next one begins afresh in the same memory. */
char *literal_end(struct literal *);

#endif
