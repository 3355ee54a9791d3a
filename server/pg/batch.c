#include "pg/batch.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "pg/account.h"
#include "pg/aftermath.h"
#include "pg/audit.h"
#include "pg/cells.h"
#include "pg/change.h"
#include "pg/session.h"
#include "pg/turns.h"

enum { DEADLINE_MS = 10000, LATE_MS = 3000, AGAIN_MS = 20 };

struct batch {
	struct batch_terms terms;
	int64_t number;
	bool serves, doubt;		/* doubt: the account has to be read again */
	bool everything;		/* the next settle looks at everything held */
	struct turns waiting;
	struct changes aboard;
	unsigned statements;		/* how many they took; those of a late batch have been answered */
	bool in_flight;
	bool late, borne;		/* past its deadline; with a known reason */
	struct flight flight;
	struct audit audit;
	struct change *cursor;		/* aboard, whose result comes next */
	enum { FINE, BEGIN_FAILED, CHANGE_FAILED } trouble;
	struct aftermath after[2];
	struct aftermath *composing;	/* the other may be in flight */
	uv_timer_t pause;
	bool pausing;
	uint64_t held_up_since_ms;	/* since when begin fails; 0 where it does not */
};

static void pause_over(uv_timer_t *timer)
{
	struct batch *b = timer->data;

	b->pausing = false;
	batch_send(b);
}

static void pause_briefly(struct batch *b)
{
	b->pausing = true;
	uv_timer_start(&b->pause, pause_over, AGAIN_MS, 0);
}

static void after_landed(void *context, struct aftermath *after, bool failed)
{
	struct batch *b = context;

	if (failed) {
		log_write(b->terms.log, LOG_WARN, "locks_in_doubt", "why",
			"what was to be dropped may not have been held", NULL);
		b->doubt = b->everything = true;
	}
	if (*after->announcement)
		b->terms.changed(b->terms.context, after->announcement);
	aftermath_clear(after);
	changes_answer(&after->waiting);
	batch_send(b);
}

static void audited(void *context, bool failed)
{
	struct batch *b = context;

	b->in_flight = false;
	b->doubt = failed;
	if (!failed)
		batch_send(b);
	else if (b->trouble == BEGIN_FAILED)
		pause_briefly(b);
	else
		session_drop(b->terms.session, "the locks held could not be read");
}

struct batch *batch_new(struct uv_loop_s *loop, const struct batch_terms *terms)
{
	struct batch *b = or_die(calloc(1, sizeof(*b)));

	b->terms = *terms;
	turns_init(&b->waiting);
	changes_init(&b->aboard);
	for (int i = 0; i < 2; i++)
		aftermath_init(&b->after[i], terms->session, after_landed, b);
	b->composing = &b->after[0];
	b->audit =
		(struct audit){ .session = terms->session, .account = terms->account, .context = b, .done = audited };
	uv_timer_init(loop, &b->pause);
	b->pause.data = b;
	return b;
}

void batch_free(struct batch *b)
{
	for (int i = 0; i < 2; i++)
		aftermath_release(&b->after[i]);
	free(b);
}

void batch_start(struct batch *b, int64_t number)
{
	b->number = number;
	b->serves = b->everything = true;
	b->doubt = false;
	account_clear(b->terms.account);
}

void batch_halt(struct batch *b)
{
	b->serves = false;
	account_clear(b->terms.account);
	turns_fail(&b->waiting, OUTCOME_UNAVAILABLE);
}

void batch_stop(struct batch *b)
{
	batch_halt(b);
	uv_close((uv_handle_t *)&b->pause, NULL);
}

void batch_add(struct batch *b, struct change *change)
{
	change->alone = false;
	turns_add(&b->waiting, change);
}

bool batch_writes(const struct batch *b)
{
	return b->serves && !b->late && session_serves(b->terms.session);
}

void batch_bear(struct batch *b)
{
	b->borne = true;
}

bool batch_held_up(const struct batch *b)
{
	return b->held_up_since_ms != 0;
}

/* The first transaction: its results. */

/* The columns of the query "settle". */
enum { WHAT, LEASE, OUTCOME, KEY, MODE, BODY };

static void note_close(struct batch *b, const PGresult *rows, int row)
{
	for (struct change *c = b->aboard.first; c; c = c->next) {
		if (!c->settling || !c->close || strcmp(c->close, cell_text(rows, row, LEASE)) != 0)
			continue;
		c->settling = false;
		c->outcome = outcome_of_word(cell_text(rows, row, OUTCOME));
		free(c->body);
		c->body = cell_copy(rows, row, BODY);
		return;
	}
}

static void note_settled(struct batch *b, const PGresult *rows, int i)
{
	const char *what = cell_text(rows, i, WHAT), *mode = cell_text(rows, i, MODE);
	int64_t key = cell_number(rows, i, KEY, -1);

	if (strcmp(what, "took") == 0)
		account_add(b->terms.account, key, *mode);
	else if (strcmp(what, "drop") == 0)
		aftermath_drop(b->composing, key, *mode);
	else if (strcmp(what, "close") == 0)
		note_close(b, rows, i);
	else if (strcmp(what, "changed") == 0)
		aftermath_announce(b->composing, cell_text(rows, i, LEASE));
	else
		b->terms.next_due(b->terms.context, key);
}

/* What says nothing about the changes: somebody was in the way of begin. */
static bool passes(const char *sqlstate)
{
	return *sqlstate && strstr("55P03 40P01 40001", sqlstate);
}

/* What an error makes of the change that raised it. Where PostgreSQL has too little of something, that passes. */
static enum outcome failure(const char *sqlstate)
{
	if (strcmp(sqlstate, "53200") == 0)
		return OUTCOME_TOO_MANY;
	return strncmp(sqlstate, "53", 2) == 0 ? OUTCOME_UNAVAILABLE : OUTCOME_INTERNAL;
}

static void note_trouble(struct batch *b, unsigned index, const PGresult *result)
{
	const char *sqlstate = result_sqlstate(result);
	const char *statement = index == 0 ? "begin" : b->cursor ? b->cursor->statement : "settle";

	if (PQresultStatus(result) != PGRES_FATAL_ERROR)
		return;
	b->trouble = CHANGE_FAILED;
	if (passes(sqlstate) || (index == 0 && failure(sqlstate) != OUTCOME_INTERNAL))
		b->trouble = BEGIN_FAILED;
	log_write(b->terms.log, b->trouble == BEGIN_FAILED ? LOG_INFO : LOG_ERROR, "batch_failed", "statement",
		statement, "sqlstate", sqlstate, "why", result_message(result), NULL);
	if (strcmp(sqlstate, "DG001") == 0)
		session_drop(b->terms.session, "superseded by another session");
	if (b->aboard.first)
		b->aboard.first->outcome = failure(sqlstate);
}

static void note_change(struct change *change, const PGresult *result, int row)
{
	const char *word = cell_text(result, row, 0);

	change->settling = strcmp(word, "settling") == 0;
	change->outcome = change->settling ? OUTCOME_INTERNAL : outcome_of_word(word);
	change->body = cell_copy(result, row, 1);
}

static void batch_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct batch *b = container_of(flight, struct batch, flight);

	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		note_trouble(b, index, result);
	} else if (index > b->statements) {
		for (int i = 0; i < PQntuples(result); i++)
			note_settled(b, result, i);
	} else if (index > 0) {
		for (int i = 0; i < PQntuples(result) && b->cursor; i++, b->cursor = b->cursor->next)
			note_change(b->cursor, result, i);
	}
}

/* The first transaction: how it came out. */

/* What does not have to wait for the drop is left in done. */
static void committed(struct batch *b, struct changes *done)
{
	b->everything = false;
	b->held_up_since_ms = 0;
	while (b->aboard.first) {
		struct change *change = changes_take(&b->aboard);

		changes_add(change->after_drop ? &b->composing->waiting : done, change);
	}
	if (aftermath_send(b->composing, b->terms.account))
		b->composing = b->composing == &b->after[0] ? &b->after[1] : &b->after[0];
}

/* Rolled back: what begin could not do goes again as it was; where a change or settle raised, each goes alone, so that only the
 * culprit fails. Advisory locks do not roll back: the account is read again. */
static void rolled_back(struct batch *b)
{
	struct change *only = b->aboard.first;

	aftermath_clear(b->composing);
	/* Where begin failed, nothing behind it was tried. */
	b->doubt |= b->trouble == CHANGE_FAILED;
	b->everything = true;
	if (b->trouble == CHANGE_FAILED && only && !only->next && only->alone) {
		free(only->body);
		only->body = NULL;
		changes_answer(&b->aboard);
		return;
	}
	for (struct change *c = b->aboard.first; c; c = c->next) {
		free(c->body);
		c->body = NULL;
		c->alone |= b->trouble == CHANGE_FAILED;
	}
	turns_put_back(&b->waiting, &b->aboard);
	if (b->trouble == BEGIN_FAILED) {
		if (!b->held_up_since_ms)
			b->held_up_since_ms = b->flight.due_ms - b->flight.deadline_ms;
		pause_briefly(b);
	}
}

/* The next batch leaves before this one is answered: PostgreSQL need not wait for the replies to be written. */
static void batch_landed(struct flight *flight, bool arrived)
{
	struct batch *b = container_of(flight, struct batch, flight);
	struct changes done;

	changes_init(&done);
	b->in_flight = b->late = false;
	if (!arrived) {
		aftermath_clear(b->composing);
		changes_fail(&b->aboard, OUTCOME_UNAVAILABLE);
	} else if (flight->failed) {
		rolled_back(b);
	} else {
		committed(b, &done);
	}
	batch_send(b);
	changes_answer(&done);
}

/* Nobody aboard waits for a late commit any longer. It is waited for itself as long as it waits for a standby: a session that is
 * given up then stays, and keeps the service's row, until no connection is left. */
static uint64_t batch_overdue(struct flight *flight)
{
	struct batch *b = container_of(flight, struct batch, flight);
	bool goes_on = !b->late || b->borne;

	if (!b->late)
		log_write(
			b->terms.log, LOG_WARN, "commit_late", "pid", LOG_NUMBER(session_pid(b->terms.session)), NULL);
	b->late = true;
	b->borne = false;
	b->cursor = NULL;
	changes_fail(&b->aboard, OUTCOME_UNAVAILABLE);
	batch_send(b);
	return goes_on ? LATE_MS : 0;
}

/* Sending. */

static void board(struct batch *b)
{
	turns_board(&b->waiting, &b->aboard);
	b->cursor = b->aboard.first;
	for (struct change *change = b->cursor; change; change = change->next) {
		change->settling = false;
		change->body = NULL;
		b->everything |= change->everything;
	}
}

/* Adds the change, with those behind it that the same statement takes together; returns the first of the others. */
static const struct change *add_changes(struct batch *b, const struct change *change)
{
	const struct change *end = change_run_end(change);
	char *list;

	b->statements++;
	if (end == change->next) {
		session_add(b->terms.session, change->statement, 1, &change->request);
		return end;
	}
	list = change_run_list(change, end);
	session_add(b->terms.session, change->many, 1, (const char *const[]){ list });
	free(list);
	return end;
}

static void send_batch(struct batch *b, const char *number)
{
	uint64_t held_up_ms = b->held_up_since_ms ? uv_now(b->pause.loop) - b->held_up_since_ms : 0;
	char held_up[24];
	char *x = account_literal(b->terms.account, 'x'), *s = account_literal(b->terms.account, 's');

	board(b);
	b->trouble = FINE;
	b->flight = (struct flight){
		.deadline_ms = DEADLINE_MS, .result = batch_result, .landed = batch_landed, .overdue = batch_overdue
	};
	session_fly(b->terms.session, &b->flight);
	snprintf(held_up, sizeof(held_up), "%" PRIu64, held_up_ms);
	session_add(b->terms.session, "begin", 4, (const char *const[]){ number, held_up, x, s });
	b->statements = 0;
	for (const struct change *c = b->aboard.first; c;)
		c = add_changes(b, c);
	session_add(b->terms.session, "settle", 1, (const char *const[]){ b->everything ? "t" : "f" });
	session_depart(b->terms.session);
	free(x);
	free(s);
}

void batch_send(struct batch *b)
{
	char number[24];

	/* Whoever is told so may ask again at once: that is for the next time. */
	if (!batch_writes(b)) {
		turns_fail(&b->waiting, OUTCOME_UNAVAILABLE);
		return;
	}
	/* The one being composed next must have landed: two in flight are one more than anybody needs. */
	if (!turns_any(&b->waiting) || b->in_flight || b->pausing || b->composing->in_flight)
		return;
	snprintf(number, sizeof(number), "%" PRId64, b->number);
	b->in_flight = true;
	if (b->doubt)
		audit_send(&b->audit, number);
	else
		send_batch(b, number);
}
