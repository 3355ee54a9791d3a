#include "base/utf8.h"

#include <stdint.h>

/* What may follow a lead byte: how many bytes, and the range of the first of them, which is what rules out overlong
 * forms, surrogates and what is beyond U+10FFFF. */
static const struct lead {
	unsigned char from, to, low, high;
	size_t length;
} leads[] = {
	{ 0x00, 0x7F, 0, 0, 1 },
	{ 0xC2, 0xDF, 0x80, 0xBF, 2 },
	{ 0xE0, 0xE0, 0xA0, 0xBF, 3 },
	{ 0xE1, 0xEC, 0x80, 0xBF, 3 },
	{ 0xED, 0xED, 0x80, 0x9F, 3 },
	{ 0xEE, 0xEF, 0x80, 0xBF, 3 },
	{ 0xF0, 0xF0, 0x90, 0xBF, 4 },
	{ 0xF1, 0xF3, 0x80, 0xBF, 4 },
	{ 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

static const struct lead *lead_of(unsigned char byte)
{
	for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++)
		if (byte >= leads[i].from && byte <= leads[i].to)
			return &leads[i];
	return NULL;
}

size_t utf8_length(const char *text, size_t size)
{
	const unsigned char *byte = (const unsigned char *)text;
	const struct lead *lead = size ? lead_of(byte[0]) : NULL;

	if (!lead || lead->length > size)
		return 0;
	for (size_t i = 1; i < lead->length; i++) {
		unsigned char low = i == 1 ? lead->low : 0x80, high = i == 1 ? lead->high : 0xBF;

		if (byte[i] < low || byte[i] > high)
			return 0;
	}
	return lead->length;
}

bool utf8_is_control(const char *text)
{
	const unsigned char *byte = (const unsigned char *)text;

	return byte[0] < 0x20 || byte[0] == 0x7F || (byte[0] == 0xC2 && byte[1] < 0xA0);
}
