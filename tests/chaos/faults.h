/* faults: the menu of what can go wrong, and how each is done, proven and mended. One at a time; each call blocks for as long as
 * the fault lasts, so clients run in processes of their own. */
#ifndef CHAOS_FAULTS_H
#define CHAOS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/arena.h"
#include "chaos/dice.h"

struct fault;

/* One use of a fault. Instants are those of CLOCK_MONOTONIC. */
struct strike {
	const struct fault *fault;
	struct arena *arena;
	struct dice *dice;
	struct post *post;		/* the replica that it is about, or NULL */
	int pid;			/* the process that it is about, or 0 */
	char before[128];		/* what effective compares with */
	char what[128];			/* what was done to whom, for people */
	int64_t begun_ns;
	int64_t effective_ns;		/* its effect was seen; 0: never, it does not count */
	int64_t healed_ns;		/* it was mended */
	int64_t well_ns;		/* everything was ready again; 0: it did not become so in time */
};

struct fault {
	const char *name;
	const char *says;		/* what it is, for the table of the faults */
	bool (*possible)(const struct arena *);		/* NULL: everywhere */
	void (*inject)(struct strike *);
	bool (*effective)(struct strike *);		/* whether the effect shows by now: looked up, never assumed */
	void (*heal)(struct strike *);			/* NULL: mends itself */
	int least_ms, most_ms;		/* how long it lasts from its effect until it is mended */
	bool everybody;			/* nobody is served meanwhile, or nobody can change anything */
};

/* The menu, from 0 on; NULL beyond its end. */
const struct fault *fault_number(unsigned number);
const struct fault *fault_called(const char *name);

/* Injects it, waits for its effect, holds it for a while by chance, mends it, and waits until all is well. */
void fault_strike(const struct fault *, struct arena *, struct dice *, struct strike *);

#endif
