/* history: what was asked and answered in the chaos, line by line on one monotonic clock. Each client adds its own lines to one
 * file, each with one write, so the history owes nothing to the service that it is to judge.
 *
 *	NS call NUMBER VERB GATES LEASE KEY=VALUE…	just before it is asked
 *	NS done NUMBER ANSWER LEASE KEY=VALUE…		just after it is answered; none: nobody knows how it came out
 *	NS fault NAME KEY=VALUE…			one use of a fault, written behind it
 *
 * LEASE is the id of the lease, or for what a session of plain SQL holds a mark that nobody else has; "-" where none is known. */
#ifndef CHAOS_HISTORY_H
#define CHAOS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GATES_SIZE = 64, MARK_SIZE = 40, WORD_SIZE = 40, FAULT_KINDS_MAX = 40 };

#define NEVER INT64_MAX
#define MS	1000000LL

enum verb {
	/* Questions. */
	VERB_CHECK,
	VERB_WAIT,
	VERB_IS_OPEN,
	VERB_WAIT_OPEN,
	/* What makes a hold: windows and passes of the service, then what sessions of plain SQL hold. */
	VERB_CLOSE,
	VERB_PASS,
	VERB_CLOSE_HERE,
	VERB_ENTER,
	VERB_LOCK,
	VERB_LOCK_SHARED,
	/* What is done with a hold. */
	VERB_RENEW,
	VERB_LOOK,
	VERB_ASSERT,
	VERB_OPEN,
	VERB_RELEASE,
	VERB_FORCE,
	/* Whether a replica is well: a check and a change. */
	VERB_PROBE,
	VERBS
};

enum answer {
	ANSWER_UNKNOWN,		/* it may have taken effect, at any time since it was asked, or not */
	ANSWER_OPEN,
	ANSWER_SHUT,
	ANSWER_LIVE,		/* the hold was there at an instant between call and done; of a close: and closed */
	ANSWER_ENDED,		/* it was over by then */
	ANSWER_REFUSED,		/* it was not made, or not touched */
	ANSWER_PLACE_KEPT,	/* not yet, and its place lives on for a while */
	ANSWER_MISSING,		/* there is no such hold */
	ANSWER_ODD,		/* nothing that the contract knows */
	ANSWERS
};

/* One request, or what stands for it. Numbers are 0 and texts empty where nothing was said. */
struct op {
	long long number;
	int64_t called_ns, done_ns;	/* done: NEVER where it did not return */
	enum verb verb;
	enum answer answer;
	char gates[GATES_SIZE], lease[MARK_SIZE];

	/* Its terms. */
	long long ttl_ms, grace_ms;
	long long wait_ms;		/* for how long it may go on by itself: wait, timeout and drain */
	long long at;			/* the replica that was asked, from 1; 0: any */
	long long holds;		/* 1: on_expiry=hold, or an open with outcome=failed */
	long long sure;			/* 1: its holder never outlives it, so what it does proves that it is live */
	char drain[WORD_SIZE];		/* on_drain */
	char inside[MARK_SIZE];		/* the window under whose token, or the session's own hold in spite of which, it asks */

	/* The answer's facts. */
	char by[MARK_SIZE];		/* the lease that shuts the gate */
	char end[WORD_SIZE];		/* how the lease ended */
	long long fence, left_ms, ago_ms, code;
	long long overrun, made;
};

struct strike_line {
	char name[WORD_SIZE];
	int64_t begun_ns, effective_ns, healed_ns, well_ns;	/* 0: it did not become so */
};

struct history {
	struct op *ops;			/* in the order of their calls */
	size_t count;
	struct strike_line *strikes;
	size_t strike_count;
	int64_t end_ns;			/* that of the last line */
};

int64_t history_now(void);

/* Add a line that happens now, and note the instant in the op. */
void history_call(int fd, struct op *);
void history_done(int fd, struct op *);
void history_strike(int fd, const struct strike_line *);

/* Reads what such lines say; a line that is none ends the program with a sentence. history_release frees it. */
void history_parse(struct history *, const char *text);
void history_read(struct history *, const char *path);
void history_release(struct history *);

/* The first op that was called after an instant; one behind the last for none. */
const struct op *history_after(const struct history *, int64_t ns);

const char *verb_word(enum verb);
const char *answer_word(enum answer);

#endif
