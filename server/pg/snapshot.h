/* snapshot: linearizable looks at gates. Every look that arrives while one snapshot is in flight joins the next, which is sent
 * after all of them arrived: one statement answers any number of looks.
 * Owns a look from snapshot_join until its seen() ran. */
#ifndef PG_SNAPSHOT_H
#define PG_SNAPSHOT_H

#include <stdbool.h>

struct gates;
struct log;
struct session;
struct snapshot;
struct uv_loop_s;

/* How one gate was found. Texts are valid while seen() runs. */
struct sight {
	enum sight_state {
		SIGHT_OPEN,
		SIGHT_SHUT,		/* by a window, whose lease is told */
		SIGHT_BLOCKED		/* the rows leave it open, but its lock was not to be had: ask again */
	} state;
	bool known;
	const char *lease;
	bool live;			/* that lease; else what it left behind shuts the gate */
	/* As in GET /v1/gates/{gate}: of a shut gate, if that was wanted; of a blocked one, if somebody outside was found. */
	const char *facts;
};

struct look {
	const struct gates *gates;	/* the owner's, unchanged until seen() */
	bool facts;			/* whether those of a shut gate are wanted */
	/* The sights of the gates in their order; NULL: the session is not up, or was lost. */
	void (*seen)(struct look *, const struct sight *const *sights);
	struct look *next;		/* the snapshot's */
};

/* more() says that looks wait which can be sent now; the longer they are not, the more there may be. */
struct snapshot *snapshot_new(struct session *, const struct log *, void (*more)(void *), void *context);
void snapshot_free(struct snapshot *);

void snapshot_join(struct snapshot *, struct look *);

/* Sends what joined, unless one is in flight. To be called before the loop sleeps. */
void snapshot_send(struct snapshot *);

#endif
