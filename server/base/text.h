/* text: a text in the making, in memory that grows. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* All zero is empty. The bytes are the owner's (free). */
struct text {
	char *bytes;
	size_t length, room;
};

/* Add bytes, a string, a number in digits; or die for lack of memory. */
void text_add(struct text *, const char *bytes, size_t size);
void text_say(struct text *, const char *string);
void text_count(struct text *, int64_t number);

/* Ends it, and returns it; the next one begins afresh in the same memory. */
char *text_end(struct text *);

#endif
