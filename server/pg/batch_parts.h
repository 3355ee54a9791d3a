/* batch_parts: what batch.c and batch_results.c share: a batch while it is under way. */
#ifndef PG_BATCH_PARTS_H
#define PG_BATCH_PARTS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "pg/aftermath.h"
#include "pg/audit.h"
#include "pg/batch.h"
#include "pg/change.h"
#include "pg/session.h"
#include "pg/turns.h"

struct batch {
	struct batch_terms terms;
	int64_t number;
	size_t locks_max;		/* that this session may hold; where it might be more, nothing is plain */
	bool serves, doubt;		/* doubt: the account has to be read again */
	bool everything;		/* the next settle looks at everything held */
	struct turns waiting;
	struct changes aboard;
	bool plain;			/* they are asked for by their plain statements, and nothing is settled */
	unsigned statements;		/* how many they took; those of a late batch have been answered */
	bool in_flight;
	bool late, borne;		/* past its deadline; with a known reason */
	struct flight flight;
	struct audit audit;
	uint64_t audit_at_ms;		/* when the account is read again at the latest */
	struct change *cursor;		/* aboard, whose result comes next */
	enum { FINE, BEGIN_FAILED, CHANGE_FAILED } trouble;
	struct aftermath after[2];
	struct aftermath *behind;	/* the batch that is under way, or goes next; the other may be in flight */
	uv_timer_t pause;
	bool pausing;
	uint64_t held_up_since_ms;	/* since when begin fails; 0 where it does not */
};

/* Notes one result of the first transaction: in the changes, in the account and in what comes after. */
void batch_note(struct flight *, unsigned index, const PGresult *);

#endif
