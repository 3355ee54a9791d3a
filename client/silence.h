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
};

/* When the lease may have run out. */
int64_t silence_over_at(const struct silence *);

/* When a holder that stops in silence tells its command to end: 5 s before the lease may run out, a third of a short
 * one. */
int64_t silence_term_at(const struct silence *);

/* When it kills it: 1 s before somebody else can have the gate, a fifteenth of a short life. */
int64_t silence_kill_at(const struct silence *);

/* When to send the next renewal: a third of the life after the last. */
int64_t silence_renew_at(const struct silence *);

#endif
