#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/names.h"

enum { NUMBER_MAX = 1000, COUNT_MAX = 1000000, CODE_MAX = 255, PID_MAX = 4194304, NAME_MAX_BYTES = 40 };

void options_init(struct options *options)
{
	*options = (struct options){
		.exit_code = -1,
		.limit = -1,
		.tries = -1,
		.while_pid = -1,
		.reach_ms = -1,
		.wait_ms = -1,
		.ttl_ms = -1,
		.max_ms = -1,
		.drain_ms = -1,
		.grace_ms = -1,
		.gap_ms = -1,
		.kill_after_ms = -1,
		.older_than_ms = -1,
	};
}

static void *member_of(struct options *options, const struct option_row *row)
{
	return (char *)options + row->offset;
}

static enum outcome read_number(
	const char *text, const struct option_row *row, const char *name, int64_t *number, struct fault *fault)
{
	static const struct {
		long long least, most;
	} bounds[] = {
		[OPTION_NUMBER] = { 1, NUMBER_MAX },
		[OPTION_COUNT] = { 1, COUNT_MAX },
		[OPTION_CODE] = { 0, CODE_MAX },
		[OPTION_PID] = { 1, PID_MAX },
	};
	long long least = bounds[row->type].least, most = bounds[row->type].most, value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s wants a number from %lld to %lld, not \"%.60s\"", name,
			least, most, text);
	*number = value;
	return OUTCOME_OK;
}

static enum outcome read_choice(const char *text, const struct option_row *row, const char *name, struct fault *fault)
{
	size_t size = strlen(text);

	for (const char *word = row->argument; word && *word;) {
		size_t word_size = strcspn(word, "|");

		if (word_size == size && memcmp(word, text, size) == 0)
			return OUTCOME_OK;
		word += word_size + (word[word_size] == '|');
	}
	return fault_set(fault, OUTCOME_BAD_REQUEST, "%s wants one of %s, not \"%.60s\"", name, row->argument, text);
}

/* Reads one value into its member, as its type says. */
static enum outcome read_value(
	struct options *options, const struct option_row *row, const char *text, struct fault *fault)
{
	void *member = member_of(options, row);
	enum outcome outcome = OUTCOME_OK;
	char name[NAME_MAX_BYTES];

	name[0] = name[1] = '-';
	memccpy(name + 2, row->name, 0, sizeof(name) - 2);
	switch (row->type) {
	case OPTION_FLAG:
		*(bool *)member = true;
		return OUTCOME_OK;
	case OPTION_NUMBER:
	case OPTION_COUNT:
	case OPTION_CODE:
	case OPTION_PID:
		return read_number(text, row, name, member, fault);
	case OPTION_DURATION:
	case OPTION_LIFE:
		return duration_parse(name, text, row->type == OPTION_DURATION, member, fault);
	case OPTION_TEXT:
		outcome = text_check(name, text, fault);
		break;
	case OPTION_LINK:
		outcome = url_check(name, text, fault);
		break;
	case OPTION_CHOICE:
		outcome = read_choice(text, row, name, fault);
		break;
	case OPTION_PATH:
		break;
	}
	if (outcome == OUTCOME_OK)
		*(const char **)member = text;
	return outcome;
}

void options_defaults(struct options *options, const struct option_table *table)
{
	struct fault unread;

	for (unsigned i = 0; i < table->count; i++) {
		const struct option_row *row = &table->rows[i];

		if (row->fallback && read_value(options, row, row->fallback, &unread) != OUTCOME_OK)
			abort(); /* the table itself is wrong; its test finds that */
	}
}

static bool is_named(const char *name, const char *text, size_t size)
{
	return name && strlen(name) == size && memcmp(name, text, size) == 0;
}

/* The row of a long name of size bytes, or of a letter; NULL if there is none. */
static const struct option_row *find_row(const struct option_table *tables, const char *text, size_t size, char letter)
{
	for (const struct option_table *table = tables; table->rows; table++)
		for (unsigned i = 0; i < table->count; i++) {
			const struct option_row *row = &table->rows[i];

			if (letter ? row->letter == letter
				   : is_named(row->name, text, size) || is_named(row->alias, text, size))
				return row;
		}
	return NULL;
}

static const char *next_name(const void *context, unsigned i)
{
	for (const struct option_table *table = context; table->rows; table++) {
		if (i < table->count)
			return table->rows[i].name;
		i -= table->count;
	}
	return NULL;
}

static enum outcome unknown_option(const struct option_table *tables, const char *word, struct fault *fault)
{
	const char *near = word[1] == '-' ? nearest_word(word + 2, next_name, tables) : NULL;

	if (near)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "unknown option %.60s; did you mean --%s?", word, near);
	return fault_set(fault, OUTCOME_BAD_REQUEST, "unknown option %.60s; --help lists what there is", word);
}

/* One "--name", "--name=value" or "--name value". */
static enum outcome read_long(
	struct options *options, const struct option_table *tables, char **argv, int *at, struct fault *fault)
{
	const char *word = argv[(*at)++];
	size_t size = strcspn(word + 2, "=");
	const struct option_row *row = find_row(tables, word + 2, size, 0);
	const char *value = word[2 + size] ? word + 3 + size : NULL;

	if (!row)
		return unknown_option(tables, word, fault);
	if (!row->argument && value)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "--%s takes no value", row->name);
	if (row->argument && !value && !(value = argv[*at] ? argv[(*at)++] : NULL))
		return fault_set(fault, OUTCOME_BAD_REQUEST, "--%s wants a value: %s", row->name, row->argument);
	return read_value(options, row, value ? value : "", fault);
}

/* One "-qv", "-E9" or "-E 9". */
static enum outcome read_letters(
	struct options *options, const struct option_table *tables, char **argv, int *at, struct fault *fault)
{
	const char *word = argv[(*at)++];

	for (const char *letter = word + 1; *letter; letter++) {
		const struct option_row *row = find_row(tables, "", 0, *letter);
		const char *value = "";
		enum outcome outcome;

		if (!row)
			return unknown_option(tables, word, fault);
		if (row->argument && !(value = letter[1] ? letter + 1 : argv[*at] ? argv[(*at)++] : NULL))
			return fault_set(fault, OUTCOME_BAD_REQUEST, "-%c wants a value: %s", *letter, row->argument);
		outcome = read_value(options, row, value, fault);
		if (outcome != OUTCOME_OK || row->argument)
			return outcome;
	}
	return OUTCOME_OK;
}

static enum outcome read_argument(struct options *options, const char *word, struct fault *fault)
{
	if (options->argument_count == ARGUMENTS_MAX)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"\"%.60s\" is one word too many; a command to run stands behind --", word);
	options->argument[options->argument_count++] = word;
	return OUTCOME_OK;
}

enum outcome options_read(struct options *options, const struct option_table *tables, char **argv, int *at,
	bool one_word, struct fault *fault)
{
	while (argv[*at]) {
		char *word = argv[*at];
		enum outcome outcome;

		if (strcmp(word, "--") == 0) {
			options->command = argv + *at + 1;
			return OUTCOME_OK;
		}
		if (word[0] == '-' && word[1] == '-')
			outcome = read_long(options, tables, argv, at, fault);
		else if (word[0] == '-' && word[1])
			outcome = read_letters(options, tables, argv, at, fault);
		else if (one_word)
			return OUTCOME_OK;
		else
			outcome = read_argument(options, argv[(*at)++], fault);
		if (outcome != OUTCOME_OK)
			return outcome;
	}
	return OUTCOME_OK;
}
