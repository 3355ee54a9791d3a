/* looking: a job that looks at its gates until they are open at one instant, or its time is over. What follows then is its
 * kind's: a check and a wait answer, a pass asks for its lease. What is here is for looking.c and for such kinds. */
#ifndef GATE_LOOKING_H
#define GATE_LOOKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"
#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/snapshot.h"

struct looking;

struct looking_kind {
	/* All gates are open. known: whether somebody ever closed or declared them all. */
	void (*open)(struct looking *, bool known);
	/* Not open. true: the kind sees to it now, and may come back with looking_stay; may be NULL. */
	bool (*shut)(struct looking *, const struct sight *);
	/* Whether it would look in vain yet, because others are first in line; may be NULL. */
	bool (*stands_behind)(const struct looking *);
	void (*release)(struct looking *);
};

struct looking {
	struct task task;
	const struct looking_kind *kind;
	struct look look;
	struct waiter waiter;
	struct gates *gates;
	char inside[LEASE_ID_LEN + 1];	/* the lease the caller acts under, "" for none */
	bool waits;			/* its kind's to say: it is listed among the waiters; else it looks once */
	bool keeps_place;		/* its kind's, too: a while longer than its client stays */
	bool answer_is_short;		/* the answer comes before the waiting is over */
	bool alone;			/* without its client */
	bool under_way, again, was_up;
	uint64_t until_ms;
	uint64_t blocked_since_ms;	/* 0: not blocked */
	uint64_t blocked_ms;		/* the pause before asking again */
	int64_t since_ms;		/* since when it waits, by the wall clock, for the list */
	char *id, *holder, *job;
};

/* Begins one that the caller allocated, all zeros but for its kind and waits; takes the gates. */
void looking_begin(struct looking *, struct keeper *, struct call *, struct gates *, const struct wait_terms *);

/* Looks now; goes on waiting for a hint or for its time to be over; looks again in some milliseconds, because somebody of
 * ours is in the way for a moment. Not while something is under way. */
void looking_look(struct looking *);
void looking_stay(struct looking *);
void looking_look_soon(struct looking *);

/* Nobody listens any more: it ends, unless it keeps its place. And then its client is back. */
void looking_let_go(struct looking *);
void looking_come_back(struct looking *, struct call *, const struct wait_terms *);

/* Answers, and ends it, unless what it refuses for now keeps its place. body: {"gate": facts}; NULL for none. */
void looking_finish(struct looking *, enum outcome, const char *body, const char *detail);
void looking_refuse(struct looking *, enum outcome, const char *body);
void looking_refuse_closed(struct looking *, const char *facts);

/* jobs: since when one waits that begins to, by the wall clock. A client that waits for long does so in steps, and waits since
 * the first; so it is told of one that ends in vain. */
int64_t jobs_since(const struct looking *);
void jobs_end_step(const struct looking *);

/* The one behind a task, if it is a job that waits; else NULL. */
const struct looking *looking_waiting(const struct task *);

#endif
