/* utf8: one character at a time. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that text, of at most size bytes, begins with; 0 if it is not valid UTF-8 (overlong forms and
 * surrogates are not). */
size_t utf8_length(const char *text, size_t size);

/* Whether the valid character at text is a control character: C0, DEL or C1. */
bool utf8_is_control(const char *text);

#endif
