/* options: the command line, read by tables. A row gives an option its name, argument, type, default and help;
 * parser and --help read the same rows. */
#ifndef CLIENT_OPTIONS_H
#define CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

enum { ARGUMENTS_MAX = 2 };

/* What was asked for. Texts point into argv or are string literals. Absent: NULL, false, or -1. */
struct options {
	bool help, version, json, quiet, verbose, plain_http, require_known, force, failed, reset, all;
	const char *url, *access_token_file, *token_file;
	const char *holder, *job, *reason, *release, *link, *kind, *gates;
	const char *on_drain, *on_expiry, *on_failure, *on_silence, *on_unreachable, *on_close, *on_lost;
	int64_t exit_code, limit, tries, while_pid;
	int64_t reach_ms, wait_ms, ttl_ms, max_ms, drain_ms, grace_ms, gap_ms, kill_after_ms, older_than_ms;
	const char *argument[ARGUMENTS_MAX];
	unsigned argument_count;
	char **command; /* what stands behind "--", or NULL; ended by NULL */
};

enum option_type {
	OPTION_FLAG,	 /* bool */
	OPTION_TEXT,	 /* const char *: UTF-8 without control characters, as the service takes it */
	OPTION_LINK,	 /* const char *: http or https */
	OPTION_PATH,	 /* const char *, unchecked */
	OPTION_CHOICE,	 /* const char *: one of the words in the argument's name, "open|hold" */
	OPTION_NUMBER,	 /* int64_t, 1 to 1000 */
	OPTION_COUNT,	 /* int64_t, 1 to 1,000,000 */
	OPTION_CODE,	 /* int64_t, 0 to 255: an exit code */
	OPTION_PID,	 /* int64_t, from 1: a process */
	OPTION_DURATION, /* int64_t, milliseconds, from 0 */
	OPTION_LIFE	 /* int64_t, milliseconds, above 0 */
};

struct option_row {
	const char *name, *alias; /* "wait"; "timeout" or NULL */
	const char *argument;	  /* as help shows it; NULL for a flag */
	const char *fallback;	  /* the default, read as if it were given; NULL for none */
	const char *help;
	size_t offset; /* of the member of struct options */
	enum option_type type;
	char letter; /* of the short form, or 0 */
};

struct option_table {
	const struct option_row *rows;
	unsigned count;
};

/* Sets everything to absent. */
void options_init(struct options *);

/* Sets the defaults of a table's rows. */
void options_defaults(struct options *, const struct option_table *);

/* Reads argv from index *at on by the tables (ended by one without rows), in any order, until it is used up or "--".
 * With one_word stops in front of the first word that is no option. *at is left at what comes next.
 * BAD_REQUEST names the option, says what it wants, and for an unknown one which was probably meant. */
MUST_CHECK enum outcome options_read(
	struct options *, const struct option_table *tables, char **argv, int *at, bool one_word, struct fault *);

/* The word of the list that is nearest to a mistyped one, or NULL when none is near. next() gives the i-th, then
 * NULL. */
const char *nearest_word(const char *typed, const char *(*next)(const void *context, unsigned i), const void *context);

#endif
