/* aftermath: the second, tiny transaction behind a batch, in the same pipeline. It drops the locks that nobody wants any more and
 * announces the gates that changed, as the first postponed it; never in the first, because a commit that notifies takes a
 * cluster-wide lock through fsync. Here it is known what that comes to.
 * Owns the changes whose answer waits for it. Two take turns: the next batch goes while this one may be in flight. */
#ifndef PG_AFTERMATH_H
#define PG_AFTERMATH_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/account.h"
#include "pg/change.h"
#include "pg/session.h"

enum { ANNOUNCEMENT_MAX = 7000 };	/* bytes; beyond, everybody is told to look at everything */

struct aftermath {
	struct flight flight;
	struct session *session;
	void *context;
	/* It is over: failed says that a lock to be dropped was not held, or that it came to nothing. */
	void (*landed)(void *context, struct aftermath *, bool failed);
	struct account drop;
	char announcement[ANNOUNCEMENT_MAX + 256];
	struct changes waiting;
	bool in_flight;
};

void aftermath_init(
	struct aftermath *, struct session *, void (*done)(void *, struct aftermath *, bool), void *context);
void aftermath_release(struct aftermath *);

/* Sends it, behind the batch. */
void aftermath_send(struct aftermath *);

/* What the batch postponed, of which it forgets all where that was rolled back. */
void aftermath_drop(struct aftermath *, int64_t key, char mode);
void aftermath_announce(struct aftermath *, const char *gate);
void aftermath_clear(struct aftermath *);

/* The batch was committed: takes what is dropped off the account. */
void aftermath_settle(const struct aftermath *, struct account *);

#endif
