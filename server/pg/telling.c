#include "pg/telling.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/text.h"

enum kind { TEXT, NUMBER, TRUTH, JSON, NAMES, TIME };

/* The members in the order of the row's fields; a time has a relative twin, which looks ahead or back. If you change this, also
 * change lease_row and lease_json. */
enum { AHEAD = 1, BACK = -1 };
struct piece {
	const char *text;
	size_t size;
};
#define PIECE(text) \
	{ \
		text, sizeof(text) - 1 \
	}
#define NAMED(name) PIECE(",\"" name "\":")
#define NONE \
	{ \
		NULL, 0 \
	}

static const struct member {
	enum kind kind;
	int looks;
	struct piece name, twin;
} members[] = {
	{ TEXT, 0, NAMED("state"), NONE },
	{ TEXT, 0, NAMED("id"), NONE },
	{ TEXT, 0, NAMED("kind"), NONE },
	{ NAMES, 0, NAMED("gates"), NONE },
	{ NUMBER, 0, NAMED("fence"), NONE },
	{ TEXT, 0, NAMED("holder"), NONE },
	{ TEXT, 0, NAMED("reason"), NONE },
	{ TEXT, 0, NAMED("release"), NONE },
	{ TEXT, 0, NAMED("url"), NONE },
	{ TEXT, 0, NAMED("job"), NONE },
	{ NUMBER, 0, NAMED("ttl_ms"), NONE },
	{ NUMBER, 0, NAMED("max_ms"), NONE },
	{ TEXT, 0, NAMED("on_expiry"), NONE },
	{ NUMBER, 0, NAMED("grace_ms"), NONE },
	{ NUMBER, 0, NAMED("number"), NONE },
	{ TIME, BACK, NAMED("created_at"), NAMED("created_ago_ms") },
	{ TIME, BACK, NAMED("closed_at"), NAMED("closed_ago_ms") },
	{ TIME, AHEAD, NAMED("expires_at"), NAMED("expires_in_ms") },
	{ TIME, AHEAD, NAMED("max_at"), NAMED("max_in_ms") },
	{ TRUTH, 0, NAMED("max_reached"), NONE },
	{ TEXT, 0, NAMED("on_drain"), NONE },
	{ TIME, AHEAD, NAMED("drain_until"), NAMED("drain_in_ms") },
	{ TIME, BACK, NAMED("stop_at"), NAMED("stop_ago_ms") },
	{ TRUTH, 0, NAMED("attached"), NONE },
	{ TRUTH, 0, NAMED("was_attached"), NONE },
	{ TRUTH, 0, NAMED("contested"), NONE },
	{ TRUTH, 0, NAMED("overrun"), NONE },
	{ JSON, 0, NAMED("external"), NONE },
	{ TIME, BACK, NAMED("ended_at"), NAMED("ended_ago_ms") },
	{ TEXT, 0, NAMED("end"), NONE },
	{ TEXT, 0, NAMED("ended_by"), NONE },
	{ TEXT, 0, NAMED("end_reason"), NONE },
	{ TIME, AHEAD, NAMED("opens_at"), NAMED("opens_in_ms") },
};
enum { MEMBERS = sizeof(members) / sizeof(members[0]) };

/* Takes the next field out of a row, in place: its text, NULL for SQL's null. *rest stands behind its comma, or bracket. */
static char *take_field(char **rest)
{
	char *from = *rest, *field = from, *to = from;
	bool quoted = false, null = *from == ',' || *from == ')';

	for (; *from && (quoted || (*from != ',' && *from != ')')); from++) {
		/* A quote, or a backslash, inside quotes stands there twice, or behind a backslash. */
		if (*from == '"' && !(quoted && from[1] == '"')) {
			quoted = !quoted;
			continue;
		}
		if (quoted && (*from == '"' || *from == '\\') && from[1])
			from++;
		*to++ = *from;
	}
	*rest = *from ? from + 1 : from;
	*to = '\0';
	return null ? NULL : field;
}

static int64_t read_digits(const char *text, int count)
{
	int64_t number = 0;

	for (int i = 0; i < count; i++)
		number = number * 10 + (text[i] - '0');
	return number;
}

/* Of a date in the calendar of today, counted from 1970-01-01. A year is taken to begin in March, so that leap days come last. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	month += month <= 2 ? 9 : -3;
	return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719468;
}

/* A timestamp as PostgreSQL prints it, in UTC: "2001-02-03 04:05:06.789012+00", or with fewer digits, or no dot. */
struct moment {
	const char *text;
	const char *fraction;
	int digits;			/* of the fraction */
};

static struct moment moment_of(const char *text)
{
	bool dot = text[19] == '.';

	return (struct moment){ text, text + 20, dot ? (int)strspn(text + 20, "0123456789") : 0 };
}

static int64_t microseconds(const struct moment *m)
{
	const char *text = m->text;
	int64_t days = days_since_1970(read_digits(text, 4), read_digits(text + 5, 2), read_digits(text + 8, 2));
	int64_t minutes = (days * 24 + read_digits(text + 11, 2)) * 60 + read_digits(text + 14, 2);
	int64_t fraction = read_digits(m->fraction, m->digits);

	for (int i = m->digits; i < 6; i++)
		fraction *= 10;
	return (minutes * 60 + read_digits(text + 17, 2)) * 1000000 + fraction;
}

static void add(struct text *out, struct piece piece)
{
	text_add(out, piece.text, piece.size);
}

static void tell_text(struct text *out, const char *text)
{
	char code[8];

	text_say(out, "\"");
	while (*text) {
		size_t plain = strcspn(text, "\"\\\b\f\n\r\t");

		text_add(out, text, plain);
		text += plain;
		if (*text)
			text_add(out, code, (size_t)snprintf(code, sizeof(code), "\\u%04x", (unsigned)*text++));
	}
	text_say(out, "\"");
}

/* "{a,b}", whose names need no quotes; but one that is called null has some. */
static void tell_names(struct text *out, const char *text)
{
	text_say(out, "[\"");
	for (text++; *text && *text != '}'; text++)
		if (*text != '"')
			text_add(out, *text == ',' ? "\",\"" : text, *text == ',' ? 3 : 1);
	text_say(out, "\"]");
}

/* As RFC 3339 has it, to the millisecond, then the twin, rounded. */
static void tell_time(struct text *out, const struct member *member, const char *text, int64_t at_us)
{
	struct moment m = moment_of(text);
	int digits = m.digits < 3 ? m.digits : 3;
	int64_t twin_us = member->looks * (microseconds(&m) - at_us);
	char told[] = "\"0000-00-00T00:00:00.000Z\"";

	memcpy(told + 1, text, 10);
	memcpy(told + 12, text + 11, 8);
	memcpy(told + 21, m.fraction, (size_t)digits);
	text_add(out, told, sizeof(told) - 1);
	add(out, member->twin);
	text_count(out, (twin_us + (twin_us < 0 ? -500 : 500)) / 1000);
}

static void tell(struct text *out, const struct member *member, const char *text, int64_t at_us)
{
	static const struct piece null = PIECE("null"), truth[] = { PIECE("false"), PIECE("true") };

	add(out, member->name);
	if (member->kind == TRUTH) {
		add(out, truth[text && *text == 't']);
	} else if (!text) {
		add(out, null);
		if (member->kind == TIME) {
			add(out, member->twin);
			add(out, null);
		}
	} else if (member->kind == TIME) {
		tell_time(out, member, text, at_us);
	} else if (member->kind == NAMES) {
		tell_names(out, text);
	} else if (member->kind == TEXT) {
		tell_text(out, text);
	} else {
		text_say(out, text);
	}
}

char *telling_of_lease(const char *row, const char *at)
{
	char *copy = or_die(strdup(row)), *rest = copy + 1;
	struct moment now = moment_of(at);
	int64_t at_us = microseconds(&now);
	struct text out = { 0 };

	for (int i = 0; i < MEMBERS; i++)
		tell(&out, &members[i], take_field(&rest), at_us);
	*out.bytes = '{';
	text_say(&out, "}");
	free(copy);
	return text_end(&out);
}
