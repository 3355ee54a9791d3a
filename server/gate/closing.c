/* closing: the closes, from the first ask to the answer. A close that has to wait asks its change again, on a hint or by the
 * clock: only a claimed request makes its own window. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/advice.h"
#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "config.h"
#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/batch.h"
#include "pg/change.h"
#include "pg/reads.h"

enum {
	PENDING_FIRST_MS = 5,		/* a lock that will be had in a moment is tried after 5, 10, 20 … 250 ms */
	PENDING_LAST_MS = 250,
	QUEUED_MS = 500,		/* a place in the queue is asked for at least this often: hints can be lost */
	OUTAGE_MS = 50,
	OVERDUE_MS = 5000		/* that an answer may take beyond its time before its outcome is given up as unknown */
};

struct closing {
	struct task task;
	struct change change;
	struct read facts;		/* of the gate, for a refusal of ours */
	struct waiter waiter;
	struct gates *gates;
	char *request, *facts_request;
	char id[LEASE_ID_LEN + 1];
	int64_t claim;
	bool under_way, again, was_up, asked_before;
	enum outcome standing;		/* how it stood when last asked: QUEUED, PENDING, DRAINING, or what it is refused with */
	uint64_t pending_ms;
	uint64_t until_ms;		/* of this one answer */
	uint64_t queue_until_ms;	/* then the rows refuse it by themselves */
};

static void give_up(uv_timer_t *);

static uint64_t left(uint64_t until, uint64_t now)
{
	return until > now ? until - now : 0;
}

static void ask(struct closing *c)
{
	task_wake_in(&c->task, left(c->until_ms, uv_now(c->task.keeper->loop)) + OVERDUE_MS, give_up);
	c->under_way = true;
	c->again = false;
	batch_add(c->task.keeper->batch, &c->change);
	keeper_nudge(c->task.keeper);
}

static void release(struct task *task)
{
	struct closing *c = (struct closing *)task;

	free(c->gates);
	free(c->request);
	free(c->facts_request);
	free(c);
}

static void finish(struct closing *c, enum outcome outcome, const char *body, const char *detail)
{
	waiters_part(c->task.keeper->waiters, &c->waiter);
	task_answer(&c->task, outcome, body, detail);
}

/* Clears our claim, and only ours: the client may already be back at another replica. */
static void unclaim(struct closing *c)
{
	char *request;

	if (asprintf(&request, "{\"id\":\"%s\",\"claim\":%" PRId64 "}", c->id, c->claim) < 0)
		die("out of memory");
	keeper_post(c->task.keeper, CHANGE_UNCLAIM, request, NULL);
}

static void hang_up(struct task *task)
{
	struct closing *c = (struct closing *)task;

	if (c->under_way)
		return;
	unclaim(c);
	finish(c, OUTCOME_UNAVAILABLE, NULL, NULL);
}

static void leave(struct task *task)
{
	struct closing *c = (struct closing *)task;

	if (c->under_way)
		return;
	unclaim(c);
	finish(c, OUTCOME_UNAVAILABLE, NULL, task_leaving);
}

static const struct task_verbs verbs = { .hang_up = hang_up, .leave = leave, .release = release };

static void wake(struct waiter *waiter)
{
	struct closing *c = container_of(waiter, struct closing, waiter);

	if (c->under_way)
		c->again = true;
	else if (keeper_writes(c->task.keeper))
		ask(c);
}

static void facts_read(struct read *read, enum outcome outcome, const char *body)
{
	struct closing *c = container_of(read, struct closing, facts);
	char *facts = NULL;

	if (outcome == OUTCOME_OK && asprintf(&facts, "{\"gate\":%s}", body) < 0)
		die("out of memory");
	finish(c, c->standing, facts, c->standing == OUTCOME_DRAINING ? ADVICE_DRAIN_GOES_ON : NULL);
	free(facts);
}

/* The time for this answer is over; the place in the queue, or the drain, lives on for a while. */
/* Of all these gates those are told that have somebody inside, or else the first. */
static char *request_facts(const struct gates *gates)
{
	char *request = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&request, &size));

	for (unsigned i = 0; i < gates->count; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "{\"gates\":[", gates_name(gates, i));
	fputs("]}", out);
	fclose(out);
	return or_die(request);
}

static void refuse(struct closing *c)
{
	unclaim(c);
	/* A window of its own that lacks a lock yet is on its way, too. */
	c->standing = c->standing == OUTCOME_QUEUED ? OUTCOME_HELD : OUTCOME_DRAINING;
	c->under_way = true;
	c->facts_request = request_facts(c->gates);
	c->facts = (struct read){ .statement = "read_gate", .request = c->facts_request, .done = facts_read };
	reads_add(c->task.keeper->reads, &c->facts);
	keeper_nudge(c->task.keeper);
}

/* The batch cannot be had: nobody knows how this comes out. The task stays until it does, and then lets go. */
static void give_up(uv_timer_t *timer)
{
	task_abandon(timer->data);
}

static void time_came(uv_timer_t *timer)
{
	struct closing *c = timer->data;
	uint64_t now = uv_now(timer->loop);

	if (keeper_writes(c->task.keeper) || now >= c->until_ms)
		ask(c);
	else
		task_wake_in(&c->task, OUTAGE_MS, time_came);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Neither granted nor refused: waits for a hint, or for the next time to ask. */
static void stand(struct closing *c, enum outcome outcome, const char *body)
{
	uint64_t now = uv_now(c->task.keeper->loop), pause = QUEUED_MS;

	c->standing = outcome;
	if (now >= c->until_ms) {
		refuse(c);
		return;
	}
	if (outcome == OUTCOME_PENDING) {
		pause = c->pending_ms = least(c->pending_ms ? 2 * c->pending_ms : PENDING_FIRST_MS, PENDING_LAST_MS);
	} else {
		cJSON *told = body ? cJSON_Parse(body) : NULL;

		c->pending_ms = 0;
		pause = least(pause, (uint64_t)json_number(told, "ask_again_ms", QUEUED_MS));
		cJSON_Delete(told);
	}
	if (now < c->queue_until_ms)
		pause = least(pause, c->queue_until_ms - now + 1);
	if (c->again)
		ask(c);
	else
		task_wake_in(&c->task, least(pause, left(c->until_ms, now)), time_came);
}

/* Whether nothing was done, or nobody knows: then what stood before, a place in the queue or a window on its way, stands still. */
static bool left_standing(enum outcome outcome)
{
	return outcome == OUTCOME_UNAVAILABLE || outcome == OUTCOME_TOO_MANY || outcome == OUTCOME_INTERNAL;
}

/* Nobody listens any more: what was granted or kept for us is left for the client that comes back with the token. */
static void let_go(struct closing *c, enum outcome outcome)
{
	if (outcome == OUTCOME_OK || outcome == OUTCOME_MADE || !outcome_row(outcome)->status ||
		outcome == OUTCOME_DRAINING || left_standing(outcome))
		unclaim(c);
	finish(c, OUTCOME_UNAVAILABLE, NULL, task_leaving);
}

/* Whatever is claimed for us is not wanted any more, which is said once PostgreSQL is there for it. */
static void lose(struct closing *c, enum outcome outcome, const char *body)
{
	unclaim(c);
	finish(c, outcome, body, outcome == OUTCOME_UNAVAILABLE ? task_unreachable : NULL);
}

/* From the second time on it says so: then it does not take the claim from a request that came later with the same token. */
static void mark_again(struct closing *c)
{
	if (c->asked_before)
		return;
	c->asked_before = true;
	c->change.plain = NULL;
	c->change.request = c->request = request_mark(c->request, "again");
}

static void asked(struct change *change, enum outcome outcome, const char *body)
{
	struct closing *c = container_of(change, struct closing, change);
	struct keeper *k = c->task.keeper;
	bool stands = outcome == OUTCOME_QUEUED || outcome == OUTCOME_PENDING || outcome == OUTCOME_DRAINING;

	task_sleep(&c->task);
	c->under_way = false;
	if (stands)
		mark_again(c);
	if (!c->task.call || (k->leaving && stands))
		let_go(c, outcome);
	else if (stands)
		stand(c, outcome, body);
	else if (outcome == OUTCOME_UNAVAILABLE && c->was_up && !k->leaving && uv_now(k->loop) < c->until_ms)
		task_wake_in(&c->task, OUTAGE_MS, time_came);
	else if (left_standing(outcome))
		lose(c, outcome, body);
	else
		finish(c, outcome, body, NULL);
}

void closing_start(struct keeper *k, struct call *call, cJSON *terms)
{
	struct closing *c = or_die(calloc(1, sizeof(*c)));
	uint64_t now = uv_now(k->loop);

	c->claim = ++k->last_claim;
	json_add_number(terms, "claim", c->claim);
	json_add_bool(terms, "known_only", k->config->known_gates_only);
	snprintf(c->id, sizeof(c->id), "%.*s", LEASE_ID_LEN, json_text(terms, "digest"));
	c->gates = gates_of_list(cJSON_GetObjectItemCaseSensitive(terms, "gates"));
	c->until_ms = now + (uint64_t)json_number(terms, "timeout_ms", k->config->max_wait_ms);
	c->queue_until_ms = now + (uint64_t)json_number(terms, "wait_ms", 0);
	c->was_up = keeper_writes(k);
	c->change = (struct change){
		.statement = change_statement(CHANGE_CLOSE),
		.plain = change_plain_statement(CHANGE_CLOSE, terms),
		.gate = gates_name(c->gates, 0),
		.lease = c->id,
		.done = asked,
	};
	c->change.request = c->request = json_finish(terms);
	task_start(&c->task, k, &verbs, call);
	/* Among the waiters first, then ask: else what happens in between wakes nobody. */
	c->waiter = (struct waiter){ .gates = c->gates, .below = true, .wake = wake };
	waiters_join(k->waiters, &c->waiter);
	ask(c);
}
