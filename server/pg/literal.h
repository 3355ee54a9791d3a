/* literal: an array literal of PostgreSQL in the making, {a,b}: a text whose elements are added as they are, or in quotes. */
#ifndef PG_LITERAL_H
#define PG_LITERAL_H

struct text;

/* Puts what stands before the next element. */
void literal_next(struct text *);

/* Adds a string as a whole element, in quotes. */
void literal_add_quoted(struct text *, const char *string);

/* Ends it, as text_end does. */
char *literal_end(struct text *);

#endif
