/* silence: how long a holder may go on without an acknowledged renewal. Arithmetic alone, on milliseconds of
 * clock_ms(). Counted from the sending of what was last acknowledged: the service counts from its arrival, which is
 * later. */
#ifndef CLIENT_SILENCE_H
#define CLIENT_SILENCE_H

#include <stdint.h>

struct silence {
	int64_t acked_ms; /* when the last acknowledged request was sent */
	int64_t life_ms;  /* how long the lease lives from then: its TTL, or what is left to its max */
	int64_t grace_ms; /* how much later than that somebody else can have the gate */
	int64_t ttl_ms;   /* of the lease, for the margins */
};

/* When the lease may have run out. */
int64_t silence_over_at(const struct silence *);

/* When a holder that stops in silence tells its command to end: 5 s before the lease may run out, a third of a short
 * TTL. */
int64_t silence_term_at(const struct silence *);

/* When it kills it: 1 s before somebody else can have the gate, a fifteenth of a short TTL. */
int64_t silence_kill_at(const struct silence *);

/* When to send the next renewal, where no stream does it: a third of the TTL after the last, or sooner if the lease
 * does not live that long. */
int64_t silence_renew_at(const struct silence *);

#endif
