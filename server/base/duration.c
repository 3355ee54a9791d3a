#include "base/duration.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
	const char *word;
	int64_t ms;
} units[] = {
	{ "d", 24 * 60 * 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "m", 60 * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
};
enum { UNITS = sizeof(units) / sizeof(units[0]), SECOND = 3 };

/* Reads digits; more than DURATION_MAX_MS of any unit is as good as the maximum plus one. */
static int64_t read_count(const char **text)
{
	int64_t count = 0;

	for (; isdigit((unsigned char)**text); ++*text)
		if (count <= DURATION_MAX_MS)
			count = count * 10 + (**text - '0');
	return count;
}

/* The index of the unit spelt at *text, behind which it moves *text; UNITS if there is none. */
static unsigned read_unit(const char **text)
{
	size_t length = strspn(*text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	unsigned i = 0;

	while (i < UNITS && (strlen(units[i].word) != length || strncmp(units[i].word, *text, length) != 0))
		i++;
	*text += length;
	return i;
}

/* Reads all of text into *total; false if it is not written as durations are. */
static bool read_parts(const char *text, int64_t *total)
{
	unsigned next = 0;

	*total = 0;
	do {
		const char *digits = text;
		int64_t count = read_count(&text);
		unsigned unit = text == digits ? UNITS : read_unit(&text);

		if (unit >= UNITS || unit < next)
			return false;
		next = unit + 1;
		if (*total > DURATION_MAX_MS || count > DURATION_MAX_MS / units[unit].ms)
			*total = DURATION_MAX_MS + 1;
		else
			*total += count * units[unit].ms;
	} while (*text);
	return true;
}

enum outcome duration_parse(const char *what, const char *text, bool zero_ok, int64_t *ms, struct fault *fault)
{
	size_t digits = strspn(text, "0123456789");
	int64_t total;

	if (digits > 0 && text[digits] == '\0')
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: \"%.40s\" has no unit: write %.20ss, %.20sm or %.20sh "
			"(the units are ms, s, m, h and d)",
			what, text, text, text, text);
	if (!read_parts(text, &total))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: \"%.40s\" is not a duration: write for example 90s, 30m or "
			"1h30m (whole numbers, units ms s m h d, the largest first)",
			what, text);
	if (total > DURATION_MAX_MS || (total == 0 && !zero_ok))
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: \"%.40s\" is out of bounds: from %s to 366d", what,
			text, zero_ok ? "0s" : "1ms");
	*ms = total;
	return OUTCOME_OK;
}

void duration_format(int64_t ms, char text[static DURATION_TEXT_MAX])
{
	size_t length = 0;

	for (unsigned i = 0; i < UNITS; i++) {
		int64_t count = ms / units[i].ms;

		if (count == 0)
			continue;
		length += (size_t)snprintf(
			text + length, DURATION_TEXT_MAX - length, "%" PRId64 "%s", count, units[i].word);
		ms %= units[i].ms;
	}
	if (length == 0)
		snprintf(text, DURATION_TEXT_MAX, "0s");
}

/* Writes so many of unit i and, where there are any left, of the unit below it. */
static void say_two(int64_t ms, unsigned i, char *text)
{
	int64_t rest = ms % units[i].ms;

	if (i < SECOND && rest > 0)
		snprintf(text, DURATION_TEXT_MAX, "%" PRId64 "%s %" PRId64 "%s", ms / units[i].ms, units[i].word,
			rest / units[i + 1].ms, units[i + 1].word);
	else
		snprintf(text, DURATION_TEXT_MAX, "%" PRId64 "%s", ms / units[i].ms, units[i].word);
}

void duration_say(int64_t ms, char text[static DURATION_TEXT_MAX])
{
	if (ms < 1000) {
		snprintf(text, DURATION_TEXT_MAX, "%" PRId64 "ms", ms < 0 ? 0 : ms);
		return;
	}
	for (unsigned i = 0; i <= SECOND; i++) {
		int64_t step = units[i < SECOND ? i + 1 : SECOND].ms;
		int64_t rounded = (ms + step / 2) / step * step;

		if (rounded >= units[i].ms) {
			say_two(rounded, i, text);
			return;
		}
	}
}
