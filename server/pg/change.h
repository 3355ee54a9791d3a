/* change: one change of the leases, as the batch takes it, and lists of them. */
#ifndef PG_CHANGE_H
#define PG_CHANGE_H

#include <stdbool.h>

#include "base/outcome.h"

/* A batch decides its changes in the order they came, but for these. If you add one, also give it its place in the batch. */
enum turn {
	TURN_AS_IT_COMES,
	TURN_FIRST,			/* renewals: what somebody wants to keep must not end because others were quicker */
	TURN_LAST,			/* expiry */
	TURN_COUNT
};

struct change {
	const char *statement;		/* "change_close" */
	/* The statement that decides those of a list of such requests that have nothing else near them, and is silent about the
	 * others, "plain_close"; NULL where this cannot be such a one. Its one gate, which a list names once unless it is shared. */
	const char *plain, *gate;
	bool shared;
	const char *request;		/* its one JSON object; the owner's, unchanged until done() */
	const char *lease;		/* id of the lease where settle, or the plain statement, tells how it came out; else NULL */
	enum turn turn;
	bool after_drop;		/* the answer waits until the locks that nobody wants any more are dropped */
	bool everything;		/* settle everything this session holds, not only what the batch touched */
	bool once;			/* not to be asked again where the outcome of the first time is unknown */
	/* body is JSON, or what else the change says that it is, or NULL, valid during the call. UNAVAILABLE: the session is not up, or was lost before the outcome
	 * was known; the same change may be added again. */
	void (*done)(struct change *, enum outcome, const char *body);
	/* The batch's: */
	struct change *next;
	enum outcome outcome;
	char *body;
	bool undecided, alone; /* settle, or the next batch, tells how it comes out; it goes in a batch of its own */
};

struct changes {
	struct change *first, **last;
};

void changes_init(struct changes *);
void changes_add(struct changes *, struct change *);

/* The first, taken out; NULL for none. */
struct change *changes_take(struct changes *);

/* Puts all of one list before the other, and leaves it empty. */
void changes_put_back(struct changes *, struct changes *before);

/* Hands a change back to its owner with its outcome and body. */
void change_answer(struct change *);
void changes_answer(struct changes *);

/* The same for all of them, with this outcome and no body. */
void changes_fail(struct changes *, enum outcome);

/* A change and those behind it that one plain statement takes as a list, no two of the same lease, or, unless they share it, of the
 * same gate: the first that is not among them, or NULL; and their requests as a literal of type jsonb[], the caller's (free). */
struct change *change_run_end(const struct change *);
char *change_run_list(const struct change *, const struct change *end);

/* Whether a lease or a gate stands in two of the lists that all these make, which are all plain: then the second would have to be
 * told what the first came to. */
bool changes_cross(const struct changes *);

#endif
