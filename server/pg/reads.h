/* reads: what is committed, asked for one at a time, so that checks beside them are not held up.
 * Owns a read from reads_add until its done() ran. */
#ifndef PG_READS_H
#define PG_READS_H

#include <stdbool.h>

#include "base/outcome.h"

struct log;
struct reads;
struct session;

struct read {
	const char *statement;		/* "read_gate" */
	const char *request;		/* its one JSON object; the owner's, unchanged until done() */
	/* body is JSON or NULL, valid during the call. UNAVAILABLE: the session is not up, or was lost. */
	void (*done)(struct read *, enum outcome, const char *body);
	struct read *next;		/* the reads' */
};

struct reads *reads_new(struct session *, const struct log *);
void reads_free(struct reads *);

void reads_add(struct reads *, struct read *);

/* Sends the next, unless one is in flight. To be called before the loop sleeps. */
void reads_send(struct reads *);

#endif
