/* health: when the replicas were well, from the probes in a history. A replica was well from one good probe to the next where
 * they are close to each other, so what is judged by its time is not judged where the machine itself was too slow. */
#ifndef CHAOS_HEALTH_H
#define CHAOS_HEALTH_H

#include <stddef.h>
#include <stdint.h>

#include "chaos/history.h"

enum { HEALTH_REPLICAS = 8, PROBE_GAP_MS = 1200 };

/* Spans in order, none touching the next. */
struct spans {
	struct span {
		int64_t from_ns, to_ns;
	} * list;
	size_t count;
};

struct health {
	struct spans of[HEALTH_REPLICAS + 1];	/* of each replica, from 1; at 0: where any was well */
	const struct history *history;
};

void health_init(struct health *, const struct history *);
void health_release(struct health *);

/* How long the service was well between two instants; and the longest time without a break that one replica, or 0: any, was. */
int64_t health_service_ns(const struct health *, int64_t from_ns, int64_t to_ns);
int64_t health_longest_ns(const struct health *, long long replica, int64_t from_ns, int64_t to_ns);

/* The longest time without a break that all were at once, of those that ever were. */
int64_t health_all_ns(const struct health *, int64_t from_ns, int64_t to_ns);

/* The latest instant at which a request may still take effect that nobody knows the outcome of: a replica may have stood still
 * with it, and has got over it once it answers what was asked later. NEVER: it did not. */
int64_t health_effect_until(const struct health *, const struct op *);

#endif
