#include "chaos/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"

enum { LINE_SIZE = 512 };

static const char *const verbs[VERBS] = {
	[VERB_CHECK] = "check",
	[VERB_WAIT] = "wait",
	[VERB_IS_OPEN] = "is_open",
	[VERB_WAIT_OPEN] = "wait_open",
	[VERB_CLOSE] = "close",
	[VERB_PASS] = "pass",
	[VERB_CLOSE_HERE] = "close_here",
	[VERB_ENTER] = "enter",
	[VERB_LOCK] = "lock",
	[VERB_LOCK_SHARED] = "lock_shared",
	[VERB_RENEW] = "renew",
	[VERB_LOOK] = "look",
	[VERB_ASSERT] = "assert",
	[VERB_OPEN] = "open",
	[VERB_RELEASE] = "release",
	[VERB_FORCE] = "force",
	[VERB_PROBE] = "probe",
};

static const char *const answers[ANSWERS] = {
	[ANSWER_UNKNOWN] = "unknown",
	[ANSWER_OPEN] = "open",
	[ANSWER_SHUT] = "shut",
	[ANSWER_LIVE] = "live",
	[ANSWER_ENDED] = "ended",
	[ANSWER_REFUSED] = "refused",
	[ANSWER_PLACE_KEPT] = "place_kept",
	[ANSWER_MISSING] = "missing",
	[ANSWER_ODD] = "odd",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a line may say behind its fixed part. A text has a size. */
struct field {
	const char *key;
	size_t offset, size;
	bool is_fact;		/* said by the answer and not by the call */
};

#define NUMBER(name, member, fact) \
	{ \
		name, offsetof(struct op, member), 0, fact \
	}
#define TEXT(name, member, fact) \
	{ \
		name, offsetof(struct op, member), sizeof(((struct op *)0)->member), fact \
	}

static const struct field fields[] = {
	NUMBER("ttl", ttl_ms, false),
	NUMBER("grace", grace_ms, false),
	NUMBER("wait", wait_ms, false),
	NUMBER("at", at, false),
	NUMBER("holds", holds, false),
	NUMBER("sure", sure, false),
	TEXT("drain", drain, false),
	TEXT("inside", inside, false),
	TEXT("by", by, true),
	TEXT("end", end, true),
	NUMBER("fence", fence, true),
	NUMBER("left", left_ms, true),
	NUMBER("ago", ago_ms, true),
	NUMBER("code", code, true),
	NUMBER("overrun", overrun, true),
	NUMBER("made", made, true),
};

#define NUMBER_OF_STRIKE(name, member) \
	{ \
		name, offsetof(struct strike_line, member), 0, true \
	}

static const struct field strike_fields[] = {
	NUMBER_OF_STRIKE("begun", begun_ns),
	NUMBER_OF_STRIKE("effective", effective_ns),
	NUMBER_OF_STRIKE("healed", healed_ns),
	NUMBER_OF_STRIKE("well", well_ns),
};

const char *verb_word(enum verb verb)
{
	return verbs[verb];
}

const char *answer_word(enum answer answer)
{
	return answers[answer];
}

int64_t history_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Writing. */

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void say_fields(FILE *out, const struct op *op, bool facts)
{
	for (const struct field *f = fields; f < fields + COUNT(fields); f++) {
		const char *at = (const char *)op + f->offset;

		if (f->is_fact != facts)
			continue;
		if (f->size && *at)
			fprintf(out, " %s=%s", f->key, at);
		else if (!f->size && *(const long long *)(const void *)at)
			fprintf(out, " %s=%lld", f->key, *(const long long *)(const void *)at);
	}
}

/* One write a line: so those of many processes never mix. */
static void write_line(int fd, const char *line, size_t size)
{
	if (write(fd, line, size) != (ssize_t)size)
		die("the history cannot be written");
}

void history_call(int fd, struct op *op)
{
	char line[LINE_SIZE];
	FILE *out = or_die(fmemopen(line, sizeof(line), "w"));
	long size;

	op->called_ns = history_now();
	op->done_ns = NEVER;
	fprintf(out, "%" PRId64 " call %lld %s %s %s", op->called_ns, op->number, verbs[op->verb], or_dash(op->gates),
		or_dash(op->lease));
	say_fields(out, op, false);
	fputs("\n", out);
	size = ftell(out);
	fclose(out);
	write_line(fd, line, (size_t)size);
}

void history_done(int fd, struct op *op)
{
	char line[LINE_SIZE];
	FILE *out = or_die(fmemopen(line, sizeof(line), "w"));
	long size;

	op->done_ns = history_now();
	fprintf(out, "%" PRId64 " done %lld %s %s", op->done_ns, op->number, answers[op->answer], or_dash(op->lease));
	say_fields(out, op, true);
	fputs("\n", out);
	size = ftell(out);
	fclose(out);
	write_line(fd, line, (size_t)size);
}

void history_strike(int fd, const struct strike_line *strike)
{
	char line[LINE_SIZE];
	int size = snprintf(line, sizeof(line),
		"%" PRId64 " fault %s begun=%" PRId64 " effective=%" PRId64 " healed=%" PRId64 " well=%" PRId64 "\n",
		history_now(), strike->name, strike->begun_ns, strike->effective_ns, strike->healed_ns,
		strike->well_ns);

	write_line(fd, line, (size_t)size);
}

/* Reading. */

struct reader {
	struct history *history;
	const char *at;		/* the rest of the line */
	size_t room, strike_room;
};

static _Noreturn void be_confused(const struct reader *reader)
{
	char sentence[LINE_SIZE];

	snprintf(sentence, sizeof(sentence), "this is no line of a history, or it stands alone: %.*s",
		(int)strcspn(reader->at, "\n"), reader->at);
	die(sentence);
}

/* The next word; its length is 0 at the end of the line. */
static size_t word(struct reader *reader, const char **text)
{
	size_t length;

	reader->at += strspn(reader->at, " ");
	length = strcspn(reader->at, " \n");
	*text = reader->at;
	reader->at += length;
	return length;
}

static void take_text(struct reader *reader, char *text, size_t size)
{
	const char *at;
	size_t length = word(reader, &at);

	if (!length || length >= size)
		be_confused(reader);
	snprintf(text, size, "%.*s", (int)length, length == 1 && *at == '-' ? "" : at);
}

static long long take_number(struct reader *reader)
{
	const char *at;
	char *end;
	size_t length = word(reader, &at);
	long long number = strtoll(at, &end, 10);

	if (!length || end != at + length)
		be_confused(reader);
	return number;
}

static size_t take_word_of(struct reader *reader, const char *const *words, size_t count)
{
	char text[WORD_SIZE];

	take_text(reader, text, sizeof(text));
	for (size_t i = 0; i < count; i++)
		if (strcmp(words[i], text) == 0)
			return i;
	be_confused(reader);
}

static void take_fields(struct reader *reader, void *object, const struct field *known, size_t count)
{
	const char *at;

	for (size_t length; (length = word(reader, &at));) {
		const struct field *f = known;
		size_t key = strcspn(at, "= \n");

		while (f < known + count && (strlen(f->key) != key || memcmp(f->key, at, key) != 0))
			f++;
		if (f == known + count || at[key] != '=' || (f->size && length - key > f->size))
			be_confused(reader);
		if (f->size)
			snprintf((char *)object + f->offset, f->size, "%.*s", (int)(length - key - 1), at + key + 1);
		else
			*(long long *)(void *)((char *)object + f->offset) = strtoll(at + key + 1, NULL, 10);
	}
}

/* Doubles what is full. */
static void *grow(void *list, size_t *room, size_t count, size_t size)
{
	if (count < *room)
		return list;
	*room = *room ? *room * 2 : 1024;
	return or_die(realloc(list, *room * size));
}

static void read_call(struct reader *reader, int64_t ns)
{
	struct history *history = reader->history;
	struct op *op;

	history->ops = grow(history->ops, &reader->room, history->count, sizeof(*history->ops));
	op = &history->ops[history->count++];
	*op = (struct op){ .called_ns = ns, .done_ns = NEVER };
	op->number = take_number(reader);
	op->verb = (enum verb)take_word_of(reader, verbs, VERBS);
	take_text(reader, op->gates, sizeof(op->gates));
	take_text(reader, op->lease, sizeof(op->lease));
	take_fields(reader, op, fields, COUNT(fields));
}

/* Its call is among the last ones, mostly. Of two answers the first counts, and one to what was never asked does not: a wrapper's
 * supervisor cannot know whether its command has begun, and answers for it in any case. */
static void read_done(struct reader *reader, int64_t ns)
{
	long long number = take_number(reader);
	struct op *first = reader->history->ops, *op = first + reader->history->count;
	char lease[MARK_SIZE];

	while (op > first && op[-1].number != number)
		op--;
	if (op-- == first || op->done_ns != NEVER) {
		reader->at += strcspn(reader->at, "\n");
		return;
	}
	op->done_ns = ns;
	op->answer = (enum answer)take_word_of(reader, answers, ANSWERS);
	take_text(reader, lease, sizeof(lease));
	if (lease[0])
		snprintf(op->lease, sizeof(op->lease), "%s", lease);
	take_fields(reader, op, fields, COUNT(fields));
}

static void read_strike(struct reader *reader)
{
	struct history *history = reader->history;
	struct strike_line *strike;

	history->strikes =
		grow(history->strikes, &reader->strike_room, history->strike_count, sizeof(*history->strikes));
	strike = &history->strikes[history->strike_count++];
	*strike = (struct strike_line){ .begun_ns = 0 };
	take_text(reader, strike->name, sizeof(strike->name));
	take_fields(reader, strike, strike_fields, COUNT(strike_fields));
}

static void read_line(struct reader *reader)
{
	int64_t ns = take_number(reader);
	char kind[WORD_SIZE];

	if (ns > reader->history->end_ns)
		reader->history->end_ns = ns;
	take_text(reader, kind, sizeof(kind));
	if (strcmp(kind, "call") == 0)
		read_call(reader, ns);
	else if (strcmp(kind, "done") == 0)
		read_done(reader, ns);
	else if (strcmp(kind, "fault") == 0)
		read_strike(reader);
	else
		be_confused(reader);
}

static int by_call(const void *one, const void *other)
{
	const struct op *a = one, *b = other;

	return (a->called_ns > b->called_ns) - (a->called_ns < b->called_ns);
}

void history_parse(struct history *history, const char *text)
{
	struct reader reader = { .history = history, .at = text };

	*history = (struct history){ .count = 0 };
	while (*reader.at) {
		if (*reader.at != '\n')
			read_line(&reader);
		reader.at += *reader.at == '\n';
	}
	if (history->count)
		qsort(history->ops, history->count, sizeof(*history->ops), by_call);
}

void history_read(struct history *history, const char *path)
{
	char *text = NULL;
	size_t room = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		die("the history cannot be read");
	history_parse(history, getdelim(&text, &room, '\0', file) < 0 ? "" : text);
	free(text);
	fclose(file);
}

void history_release(struct history *history)
{
	free(history->ops);
	free(history->strikes);
	*history = (struct history){ .count = 0 };
}

const struct op *history_after(const struct history *history, int64_t ns)
{
	size_t from = 0, to = history->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (history->ops[middle].called_ns > ns)
			to = middle;
		else
			from = middle + 1;
	}
	return history->ops + from;
}
