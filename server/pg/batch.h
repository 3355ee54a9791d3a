/* batch: the one writer of a replica. All changes that arrived while the last batch was in flight go out as one pipeline: begin,
 * the changes, settle; then, in a transaction of its own, what settle named is dropped and announced.
 * Owns a change from batch_add until its done() ran. */
#ifndef PG_BATCH_H
#define PG_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

struct account;
struct batch;
struct change;
struct log;
struct session;
struct uv_loop_s;

struct batch_terms {
	struct session *session;
	struct account *account;
	const struct log *log;
	void *context;
	/* These gates came out different, and the locks that go with that are dropped: names by commas, "*" for too many to
	 * name. */
	void (*changed)(void *context, const char *gates);
	/* Until something falls due by itself, in ms; -1 for nothing. */
	void (*next_due)(void *context, int64_t ms);
};

struct batch *batch_new(struct uv_loop_s *, const struct batch_terms *);
void batch_free(struct batch *);

/* The session serves from now on under this number, holding nothing, and at most so many locks. */
void batch_start(struct batch *, int64_t number, int64_t locks_max);

/* The session is lost: what waits is answered with UNAVAILABLE. */
void batch_halt(struct batch *);

/* For good: also leaves the loop. */
void batch_stop(struct batch *);

void batch_add(struct batch *, struct change *);

/* Whether changes can be answered now. */
bool batch_writes(const struct batch *);

/* It is known what a commit that is past its deadline waits for, and that it had better be waited for: the session is not thrown
 * away yet. To be said again and again. */
void batch_bear(struct batch *);

/* Whether begin failed when it was last tried: somebody has been in its way for a while. */
bool batch_held_up(const struct batch *);

/* Sends what has been added, unless a batch is in flight. To be called before the loop sleeps. */
void batch_send(struct batch *);

#endif
