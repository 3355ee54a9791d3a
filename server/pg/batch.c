#include "pg/batch.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "pg/account.h"
#include "pg/batch_parts.h"

/* The account is read again once a minute without a doubt, too: a lock that it does not know of shuts a gate. */
enum { DEADLINE_MS = 10000, LATE_MS = 3000, AGAIN_MS = 20, AUDIT_MS = 60000 };

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
	b->audit_at_ms = uv_now(b->pause.loop) + AUDIT_MS;
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
	b->behind = &b->after[0];
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

void batch_start(struct batch *b, int64_t number, int64_t locks_max)
{
	b->number = number;
	b->locks_max = (size_t)locks_max;
	b->serves = b->everything = true;
	b->doubt = false;
	b->audit_at_ms = uv_now(b->pause.loop) + AUDIT_MS;
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

/* The first transaction: how it came out. Its results are noted by batch_results.c. */

/* What does not have to wait for the drop is left in done. What turned out not to be plain is decided by the next batch. */
static void committed(struct batch *b, struct changes *done)
{
	struct changes again;

	changes_init(&again);
	b->everything = false;
	b->held_up_since_ms = 0;
	while (b->aboard.first) {
		struct change *change = changes_take(&b->aboard);
		bool not_plain = b->plain && change->undecided;

		if (not_plain)
			change->plain = NULL;
		changes_add(not_plain ? &again : change->after_drop ? &b->behind->waiting : done, change);
	}
	turns_put_back(&b->waiting, &again);
	aftermath_settle(b->behind, b->terms.account);
}

/* Rolled back: what begin could not do goes again as it was; where a change or settle raised, each goes alone, so that only the
 * culprit fails. Advisory locks do not roll back: the account is read again. */
static void rolled_back(struct batch *b)
{
	struct change *only = b->aboard.first;

	aftermath_clear(b->behind);
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
		if (c->alone)
			c->plain = NULL;
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
		aftermath_clear(b->behind);
		changes_fail(&b->aboard, OUTCOME_UNAVAILABLE);
	} else if (flight->failed) {
		rolled_back(b);
	} else {
		committed(b, &done);
	}
	if (b->behind->in_flight)
		b->behind = b->behind == &b->after[0] ? &b->after[1] : &b->after[0];
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

/* Takes aboard what goes, and returns whether that may postpone anything. */
static bool board(struct batch *b)
{
	unsigned count = turns_board(&b->waiting, &b->aboard);
	bool postpones = false;

	b->cursor = b->aboard.first;
	b->plain = b->terms.account->count + count <= b->locks_max;
	for (struct change *change = b->cursor; change; change = change->next) {
		change->undecided = true;
		change->body = NULL;
		b->everything |= change->everything;
		b->plain &= change->plain != NULL;
		postpones |= change->after_drop;
	}
	b->plain = b->plain && !b->everything && !changes_cross(&b->aboard);
	return postpones || !b->plain;
}

/* Adds all that go by their plain statements: with each those behind it that the same one takes. */
static void add_plain(struct batch *b, const char *held_x, const char *held_s)
{
	for (const struct change *c = b->aboard.first, *end; c; c = end) {
		char *list = change_run_list(c, end = change_run_end(c));

		session_add(b->terms.session, c->plain, 2, (const char *const[]){ list, c->shared ? held_s : held_x });
		free(list);
		b->statements++;
	}
}

static void add_changes(struct batch *b)
{
	for (const struct change *c = b->aboard.first; c; c = c->next) {
		session_add(b->terms.session, c->statement, 1, &c->request);
		b->statements++;
	}
	session_add(b->terms.session, "settle", 1, (const char *const[]){ b->everything ? "t" : "f" });
}

static void send_batch(struct batch *b, const char *number)
{
	uint64_t held_up_ms = b->held_up_since_ms ? uv_now(b->pause.loop) - b->held_up_since_ms : 0;
	char held_up[24];
	char *x = account_literal(b->terms.account, 'x'), *s = account_literal(b->terms.account, 's');
	bool postpones = board(b);

	b->trouble = FINE;
	b->flight = (struct flight){
		.deadline_ms = DEADLINE_MS, .result = batch_note, .landed = batch_landed, .overdue = batch_overdue
	};
	session_fly(b->terms.session, &b->flight);
	snprintf(held_up, sizeof(held_up), "%" PRIu64, held_up_ms);
	/* Plain statements are told the account themselves. */
	session_add(b->terms.session, "begin", 4,
		(const char *const[]){ number, held_up, b->plain ? "{}" : x, b->plain ? "{}" : s });
	b->statements = 0;
	if (b->plain)
		add_plain(b, x, s);
	else
		add_changes(b);
	session_depart(b->terms.session);
	if (postpones)
		aftermath_send(b->behind);
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
	/* What is to go behind it must have landed: two in flight are one more than anybody needs. */
	if (!turns_any(&b->waiting) || b->in_flight || b->pausing || b->behind->in_flight)
		return;
	snprintf(number, sizeof(number), "%" PRId64, b->number);
	b->in_flight = true;
	if (b->doubt || uv_now(b->pause.loop) >= b->audit_at_ms)
		audit_send(&b->audit, number);
	else
		send_batch(b, number);
}
