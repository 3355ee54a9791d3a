#include "base/json_scan.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

struct scan {
	const char *at, *end;
	int depth;			/* how much deeper it may go */
};

/* The byte that is next, or -1 at the end. */
static int peek(const struct scan *scan)
{
	return scan->at < scan->end ? (unsigned char)*scan->at : -1;
}

static bool accept(struct scan *scan, char wanted)
{
	if (peek(scan) != (unsigned char)wanted)
		return false;
	scan->at++;
	return true;
}

static void skip_space(struct scan *scan)
{
	while (peek(scan) == ' ' || peek(scan) == '\t' || peek(scan) == '\n' || peek(scan) == '\r')
		scan->at++;
}

static bool skip_digits(struct scan *scan)
{
	const char *from = scan->at;

	while (peek(scan) >= '0' && peek(scan) <= '9')
		scan->at++;
	return scan->at > from;
}

static const char *scan_number(struct scan *scan)
{
	accept(scan, '-');
	if (!accept(scan, '0') && !skip_digits(scan))
		return "not a value";
	if (accept(scan, '.') && !skip_digits(scan))
		return "digits are missing after the point";
	if (accept(scan, 'e') || accept(scan, 'E')) {
		if (!accept(scan, '+'))
			accept(scan, '-');
		if (!skip_digits(scan))
			return "digits are missing in the exponent";
	}
	return isalnum(peek(scan)) ? "not a number" : NULL;
}

/* Reads the four hex digits of an escape; -1 if they are none. */
static int read_hex4(struct scan *scan)
{
	int code = 0;

	for (int i = 0; i < 4; i++) {
		int digit = peek(scan);

		if (!isxdigit(digit))
			return -1;
		code = code * 16 + (isdigit(digit) ? digit - '0' : tolower(digit) - 'a' + 10);
		scan->at++;
	}
	return code;
}

static const char *scan_unicode(struct scan *scan)
{
	int code = read_hex4(scan);

	if (code < 0)
		return "\\u wants four hex digits";
	if (code == 0)
		return "\\u0000 is not allowed";
	if (code >= 0xDC00 && code <= 0xDFFF)
		return "half a surrogate pair";
	if (code >= 0xD800 && code <= 0xDBFF) {
		if (!accept(scan, '\\') || !accept(scan, 'u'))
			return "half a surrogate pair";
		code = read_hex4(scan);
		if (code < 0xDC00 || code > 0xDFFF)
			return "half a surrogate pair";
	}
	return NULL;
}

static const char *scan_escape(struct scan *scan)
{
	if (accept(scan, 'u'))
		return scan_unicode(scan);
	if (peek(scan) <= 0 || !strchr("\"\\/bfnrt", peek(scan)))
		return "unknown escape";
	scan->at++;
	return NULL;
}

static const char *scan_string(struct scan *scan)
{
	const char *wrong = NULL;

	if (!accept(scan, '"'))
		return "a name in double quotes is missing";
	while (!wrong && !accept(scan, '"')) {
		size_t length = utf8_length(scan->at, (size_t)(scan->end - scan->at));

		if (scan->at == scan->end)
			wrong = "the string has no end";
		else if (length == 0)
			wrong = "not valid UTF-8";
		else if ((unsigned char)*scan->at < 0x20)
			wrong = "control character in a string";
		else if (accept(scan, '\\'))
			wrong = scan_escape(scan);
		else
			scan->at += length;
	}
	return wrong;
}

static const char *scan_value(struct scan *scan);

static const char *scan_member(struct scan *scan)
{
	const char *wrong = scan_string(scan);

	if (wrong)
		return wrong;
	skip_space(scan);
	if (!accept(scan, ':'))
		return "a colon is missing";
	return scan_value(scan);
}

/* Scans what stands between brackets, the opening one of which has been read. */
static const char *scan_list(struct scan *scan, char close, const char *(*item)(struct scan *))
{
	const char *wrong = NULL;

	if (scan->depth-- == 0)
		return "nested too deeply";
	skip_space(scan);
	if (!accept(scan, close))
		for (;;) {
			skip_space(scan);
			wrong = item(scan);
			skip_space(scan);
			if (wrong || accept(scan, close))
				break;
			if (!accept(scan, ','))
				return close == '}' ? "a comma or } is missing" : "a comma or ] is missing";
		}
	scan->depth++;
	return wrong;
}

static const char *scan_word(struct scan *scan, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
		return "not a value";
	scan->at += length;
	return isalnum(peek(scan)) ? "not a value" : NULL;
}

static const char *scan_value(struct scan *scan)
{
	skip_space(scan);
	switch (peek(scan)) {
	case '{':
		scan->at++;
		return scan_list(scan, '}', scan_member);
	case '[':
		scan->at++;
		return scan_list(scan, ']', scan_value);
	case '"':
		return scan_string(scan);
	case 't':
		return scan_word(scan, "true");
	case 'f':
		return scan_word(scan, "false");
	case 'n':
		return scan_word(scan, "null");
	case -1:
		return "a value is missing";
	default:
		return scan_number(scan);
	}
}

const char *json_scan(const char *text, size_t size, int depth, size_t *at)
{
	struct scan scan = { .at = text, .end = text + size, .depth = depth };
	const char *wrong = scan_value(&scan);

	skip_space(&scan);
	if (!wrong && scan.at < scan.end)
		wrong = "something stands behind the value";
	*at = (size_t)(scan.at - text);
	return wrong;
}
