/* check: decides from a history whether the rules of the design held. It is sound first: what it calls broken is so, whatever
 * became of requests whose outcome nobody knows, and as sharp as that allows. */
#ifndef CHAOS_CHECK_H
#define CHAOS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/history.h"

/* What may take how long, of time in which the service was well: promised is 5 s and 1 s; the rest is for a machine that is slow.
 * One that has other tests to run at the same time may want more. */
enum { STUCK_MS = 5000 + 2000, ASLEEP_MS = 1000 + 1500 };

enum rule {
	RULE_EXCLUSION,		/* 1: no two that exclude each other at once */
	RULE_ANSWERS,		/* 2: answers as if each were given at one instant */
	RULE_LOST,		/* 4: nothing lost, nothing twice, nothing brought back */
	RULE_STUCK,		/* 5: no gate shut for longer than it may be */
	RULE_ASLEEP,		/* 5: no waiter asleep beside an open gate */
	RULE_TTL,		/* 6: no lease ended for age too early */
	RULE_CONTRACT,		/* 7: no answer that the contract does not know */
	RULE_FENCES,		/* 8: fences grow in the order of the grants */
	RULES
};

enum { FINDINGS_SIZE = 16384 };

/* What happened beside one kind of fault. */
struct toll {
	char name[WORD_SIZE];
	unsigned strikes, effective;
	unsigned unknown, open, shut, granted, refused;	/* what clients were told while it lasted */
	int64_t slowest_ns;				/* until an answer came */
	int64_t shut_ns, asleep_ns;			/* longest: a gate wrongly shut, a waiter asleep beside an open one */
	int64_t unwell_ns;				/* until everything was well again behind its mending */
};

struct findings {
	unsigned broken[RULES];
	char faults[FINDINGS_SIZE];			/* a line each */

	/* What there was to judge. */
	unsigned ops, unknown;
	unsigned windows, passes, sql_holds, commands;	/* granted */
	unsigned renewed, repeated, expired, forced, overrun, inside;
	unsigned open, shut, shut_judged;		/* answers; those that came while something surely shut the gate */
	unsigned waited, contended;			/* who had to wait, and closes that met another hold */
	unsigned slept_judged;				/* waits that had an open gate beside them and a replica that was well */
	unsigned fences;
	int64_t shut_ns, asleep_ns;			/* as in the tolls, whether or not there was a fault */
	struct toll tolls[FAULT_KINDS_MAX];
	size_t toll_count;
};

void check(const struct history *, int64_t slack_ms, struct findings *);

/* The number of the rule in the design, and what it says when it is broken. */
unsigned rule_number(enum rule);
const char *rule_says(enum rule);

bool findings_any(const struct findings *);

#endif
