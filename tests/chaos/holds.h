/* holds: who held which gate, as far as it is sure, from the lines of a history: windows, passes, and what sessions of plain SQL
 * hold. Sure is what follows from what was asked and answered alone, whatever became of requests that nobody knows of. */
#ifndef CHAOS_HOLDS_H
#define CHAOS_HOLDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chaos/health.h"
#include "chaos/history.h"

struct hold {
	enum verb kind;			/* what made it: VERB_CLOSE … VERB_LOCK_SHARED */
	const char *mark, *gates;	/* of its first op */
	const struct op *const *ops;	/* all that was asked about it, in the order of the calls */
	size_t op_count;

	int64_t wanted_ns;		/* it was first asked for */
	int64_t had_ns;			/* somebody was told of it: held from here … */
	int64_t sure_until_ns;		/* … to here, by nobody's fault but the service's if not; NEVER had: no span */
	int64_t lives_until_ns;		/* no expiry can be earlier */
	int64_t seen_live_ns;		/* the last call that found it live; 0: none */
	int64_t seen_ended_ns;		/* the first return that found it over; NEVER: none */
	int64_t owner_last_ns;		/* the latest instant at which its owner may have prolonged it; NEVER: unknown */
	int64_t over_ns;		/* from here on it surely shuts nothing; NEVER: unknown */
	int64_t due_ns;			/* when it was to shut nothing any more, at the latest; NEVER: unknown */

	const char *end,
		*inside; /* how it ended, in the service's word; the window under whose token it was made; "" */
	long long fence, ttl_ms, grace_ms, wait_ms;
	bool refused;			/* it never came to be, and that is known */
	bool closes_over;		/* it does not wait for all jobs to leave */
	bool overrun, forced;
	bool crashed;			/* its end left the gates shut, or may have */
};

struct holds {
	struct hold *list;		/* in the order of wanted_ns */
	size_t count;
	struct hold **by_mark;
	const struct op **ops;		/* those of all, one hold's behind another's */
	int64_t longest_ns;		/* the longest sure span */
};

/* The history is kept, and what stands in the holds points into it. */
void holds_init(struct holds *, const struct history *, const struct health *);
void holds_release(struct holds *);

/* The hold of that mark, NULL for none. */
const struct hold *holds_find(const struct holds *, const char *mark);

/* Whether it belongs to the service; whether it shuts gates to jobs. */
bool hold_is_lease(const struct hold *);
bool hold_shuts(const struct hold *);

#endif
