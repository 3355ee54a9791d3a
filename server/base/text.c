#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "die.h"

void text_add(struct text *text, const char *bytes, size_t size)
{
	if (text->length + size > text->room) {
		text->room = 2 * text->room + size + 256;
		text->bytes = or_die(realloc(text->bytes, text->room));
	}
	memcpy(text->bytes + text->length, bytes, size);
	text->length += size;
}

void text_say(struct text *text, const char *string)
{
	text_add(text, string, strlen(string));
}

void text_count(struct text *text, int64_t number)
{
	char digits[24];
	int size = snprintf(digits, sizeof(digits), "%" PRId64, number);

	text_add(text, digits, (size_t)size);
}

char *text_end(struct text *text)
{
	text_add(text, "", 1);
	text->length = 0;
	return text->bytes;
}
