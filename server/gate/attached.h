/* attached: leases whose holders keep a stream open here. What the files about them share: attached.c has one stream from its
 * attach to its end, rounds.c the renewal of all of them. */
#ifndef GATE_ATTACHED_H
#define GATE_ATTACHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/change.h"

struct cJSON;

/* How a lease stands, in the words of SQL, which are those of the events. */
enum standing { RENEWED, CLOSING, STOP, LOST, REPLACED, STANDING_COUNT };

struct attached {
	struct task task;
	struct change change;		/* that attaches */
	struct waiter waiter;
	struct gates *gates;		/* of the lease; NULL until it is attached */
	char *request;
	char id[LEASE_ID_LEN + 1], stream[TOKEN_MADE_LEN + 1];
	uint64_t asked_ns, hints;	/* when the change was handed over, and how many hints had come by then */
	enum standing told;
	uint64_t ttl_ms;
	bool due, asked;		/* it is to be renewed; and is in the round under way */
	TAILQ_ENTRY(attached) entry;
};

TAILQ_HEAD(attached_list, attached);

/* All that are attached here. */
struct attachments {
	struct keeper *keeper;
	struct attached_list list;	/* those come first that were not asked for longest */
	void *by_id;			/* the same: a tree of search.h */
	unsigned count;
	uv_timer_t timer;
	struct change round;
	char *request;			/* of the round under way, or NULL */
	uint64_t asked_ns, began_ms;
	uint64_t full_at_ms;		/* when all are due */
	uint64_t quick_at_ms;		/* when those are whose time to live is too short for that */
	uint64_t rest_until_ms;
	bool due;			/* some are */
	struct cJSON *broken;		/* streams that broke, by lease, of which the rows are to be told yet; or NULL */
};

/* What SQL says of one lease. */
struct line {
	char id[LEASE_ID_LEN + 1];
	enum standing standing;
	uint64_t ttl_ms;
	const char *lease;		/* JSON, so many bytes */
	size_t size;
};

/* Reads a line and moves behind it; false where there is none. */
bool line_read(const char **text, struct line *);

/* The one of that id, or NULL. */
struct attached *attached_find(const struct attachments *, const char id[static LEASE_ID_LEN + 1]);

/* What a line says of it, by uv_hrtime() of before it was asked for: that may be its end. */
void attached_hear(struct attached *, const struct line *, uint64_t of_ns);

/* Tells that nothing is known. */
void attached_stay(struct attached *);

/* There is nothing more to tell: ends it. */
void attached_finish(struct attached *);

/* From now on it is renewed with the others. */
void rounds_join(struct attached *);

/* Sees to it that what is to be done next is done in time. */
void rounds_plan(struct attachments *);

/* This one is to be renewed at once. */
void rounds_hasten(struct attached *);

#endif
