/* dial: makes one connection to PostgreSQL on the loop, from the host name to libpq's CONNECTION_OK. */
#ifndef PG_DIAL_H
#define PG_DIAL_H

#include <libpq-fe.h>
#include <stdint.h>

struct dial;
struct uv_loop_s;

struct dial_terms {
	const char *database;	/* conninfo */
	const char *name;	/* application_name */
	void *context;
	/* From the loop, once, unless cancelled. The connection is the receiver's; NULL: why says why not. */
	void (*done)(void *context, PGconn *, const char *why);
};

/* The dial frees itself after done() or dial_cancel. The texts are copied where they are needed longer. */
struct dial *dial_start(struct uv_loop_s *, const struct dial_terms *);
void dial_cancel(struct dial *);

/* How long to wait before the next, after so many that failed: longer from time to time, and at random, so that not all come at
 * once. */
uint64_t dial_pause_ms(unsigned failures);

#endif
