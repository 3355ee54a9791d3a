#include "support/trade_lines.h"

#include "unit/cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 256, FIELD_BYTES = 64 };

static const char *const words[] = {
	[TRADE_ASKED] = "asked",
	[TRADE_SHUT] = "shut",
	[TRADE_BEGAN] = "began",
	[TRADE_ENDED] = "ended",
	[TRADE_CUT] = "cut",
	[TRADE_BROKE] = "broke",
	[TRADE_EXITED] = "exited",
	[TRADE_OVERRUN] = "overrun",
	[TRADE_DRAINED] = "drained",
};

void trade_write(int fd, const struct trade_line *line)
{
	struct timespec now;
	char text[LINE_BYTES];
	int size;

	clock_gettime(CLOCK_MONOTONIC, &now);
	size = snprintf(text, sizeof(text), "%" PRId64 " %s %s %s %s %s %lld\n",
		(int64_t)now.tv_sec * 1000000000 + now.tv_nsec, words[line->event], line->is_deploy ? "deploy" : "job",
		line->name, line->gates, line->mark[0] ? line->mark : "-", line->number);
	assert_int_equal(write(fd, text, (size_t)size), size);
}

static enum trade_event event_of(const char *word)
{
	for (enum trade_event event = 0; event < TRADE_EVENTS; event++)
		if (strcmp(words[event], word) == 0)
			return event;
	fail_msg("nothing that happens is called %s", word);
	return TRADE_EVENTS;
}

/* Takes one field and the blank behind it. */
static const char *take(const char *at, char field[static FIELD_BYTES])
{
	size_t length = strcspn(at, " \n");

	assert_in_range(length, 1, FIELD_BYTES - 1);
	memcpy(field, at, length);
	field[length] = '\0';
	return at + length + (at[length] == ' ');
}

static long long number_of(const char *field)
{
	char *end;
	long long number = strtoll(field, &end, 10);

	assert_true(end > field && !*end);
	return number;
}

static void read_line(struct trade_line *line, const char *at)
{
	char field[FIELD_BYTES];

	at = take(at, field);
	line->ns = number_of(field);
	at = take(at, field);
	line->event = event_of(field);
	at = take(at, field);
	line->is_deploy = strcmp(field, "deploy") == 0;
	at = take(at, field);
	snprintf(line->name, sizeof(line->name), "%.*s", (int)sizeof(line->name) - 1, field);
	at = take(at, line->gates);
	at = take(at, field);
	snprintf(line->mark, sizeof(line->mark), "%.*s", (int)sizeof(line->mark) - 1, field);
	take(at, field);
	line->number = number_of(field);
}

void trade_parse(struct trade_history *history, const char *text)
{
	size_t count = 0;

	for (const char *at = text; *at; at++)
		count += *at == '\n';
	*history = (struct trade_history){ .lines = calloc(count + 1, sizeof(*history->lines)) };
	assert_non_null(history->lines);
	for (; history->count < count; history->count++, text = strchr(text, '\n') + 1)
		read_line(&history->lines[history->count], text);
}

void trade_read(struct trade_history *history, const char *path)
{
	char *text = NULL;
	size_t room = 0;
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	if (getdelim(&text, &room, '\0', file) < 0)
		*history = (struct trade_history){ .count = 0 };
	else
		trade_parse(history, text);
	free(text);
	fclose(file);
}

void trade_history_release(struct trade_history *history)
{
	free(history->lines);
	*history = (struct trade_history){ .count = 0 };
}
