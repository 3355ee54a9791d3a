#include "gate/looking.h"

#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/die.h"
#include "config.h"

enum {
	BLOCKED_FIRST_MS = 5,		/* a failed probe is asked again after 5, 10, 20, 40 ms … */
	BLOCKED_LAST_MS = 100,
	SEEN_TWICE_MS = 20,		/* somebody outside counts once seen twice, this far apart */
	BLOCKED_PATIENCE_MS = 5000,
	PLACE_MS = 15000,		/* how long the place of a client that left is kept for it */
	NOTED_MAX = 1000
};

void looking_look(struct looking *l)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	task_sleep(&l->task);
	l->under_way = true;
	l->again = false;
	l->look.facts = now >= l->until_ms;
	snapshot_join(l->task.keeper->snapshot, &l->look);
	keeper_nudge(l->task.keeper);
}

static void look_by_timer(uv_timer_t *timer)
{
	looking_look(timer->data);
}

static bool may_look(const struct looking *l)
{
	return l->task.call && !(l->kind->stands_behind && l->kind->stands_behind(l));
}

static void wake(struct looking *l)
{
	if (l->under_way)
		l->again = true;
	else if (may_look(l))
		looking_look(l);
}

static void wake_waiter(struct waiter *waiter)
{
	wake(container_of(waiter, struct looking, waiter));
}

static void release(struct task *task)
{
	struct looking *l = (struct looking *)task;

	task->keeper->places -= l->alone;
	free(l->gates);
	free(l->id);
	free(l->holder);
	free(l->job);
	if (l->kind->release)
		l->kind->release(l);
	free(l);
}

void looking_finish(struct looking *l, enum outcome outcome, const char *body, const char *detail)
{
	if (l->waits)
		waiters_part(l->task.keeper->waiters, &l->waiter);
	if (l->waits && outcome != OUTCOME_OK && outcome != OUTCOME_MADE)
		jobs_end_step(l);
	task_answer(&l->task, outcome, body, detail);
}

static void give_up_place(uv_timer_t *timer)
{
	looking_finish(timer->data, OUTCOME_UNAVAILABLE, NULL, NULL);
}

void looking_let_go(struct looking *l)
{
	if (!l->keeps_place || !l->waits || l->task.keeper->leaving) {
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL, NULL);
		return;
	}
	l->alone = true;
	l->task.keeper->places++;
	task_wake_in(&l->task, PLACE_MS, give_up_place);
}

void looking_come_back(struct looking *l, struct call *call, const struct wait_terms *terms)
{
	l->alone = false;
	l->task.keeper->places--;
	l->task.call = call;
	call->task = &l->task;
	l->until_ms = uv_now(l->task.keeper->loop) + (uint64_t)terms->timeout_ms;
	looking_look(l);
}

static void hang_up(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (!l->under_way)
		looking_let_go(l);
}

static void leave(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (!l->under_way)
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL, task_leaving);
}

static void sweep(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (l->waits && !l->under_way && !l->blocked_since_ms && keeper_reads(task->keeper) && may_look(l))
		looking_look(l);
}

static const struct task_verbs verbs = { .hang_up = hang_up, .leave = leave, .sweep = sweep, .release = release };

static int compare_ids(const void *a, const void *b)
{
	return strcmp(a, b);
}

void looking_forget(struct keeper *k)
{
	tdestroy(k->noted, free);
	k->noted = NULL;
	k->noted_count = 0;
}

/* That jobs wait behind this window is told to the rows once, so that its end leaves them a gap. */
static void note_jobs_wait(struct keeper *k, const char *lease)
{
	char *request;

	if (tfind(lease, &k->noted, compare_ids) || !keeper_writes(k))
		return;
	if (k->noted_count++ == NOTED_MAX)
		looking_forget(k);
	or_die(tsearch(or_die(strdup(lease)), &k->noted, compare_ids));
	if (asprintf(&request, "{\"lease\":\"%s\"}", lease) < 0)
		die("out of memory");
	keeper_post(k, CHANGE_JOBS_WAIT, request, NULL);
}

/* What one snapshot says about the whole set. */
struct verdict {
	bool known, blocked;
	const char *unknown;	  /* a gate that is not known */
	const struct sight *shut; /* what shuts it, or NULL */
};

static struct verdict judge(const struct looking *l, const struct sight *const *sights)
{
	struct verdict v = { .known = true };

	for (unsigned i = 0; i < l->gates->count; i++) {
		const struct sight *sight = sights[i];

		if (!sight->known) {
			v.known = false;
			v.unknown = v.unknown ? v.unknown : gates_name(l->gates, i);
		}
		if (sight->state == SIGHT_SHUT && !(sight->live && strcmp(sight->lease, l->inside) == 0))
			v.shut = v.shut ? v.shut : sight;
		v.blocked |= sight->state == SIGHT_BLOCKED;
		if (sight->state == SIGHT_BLOCKED && sight->facts && !v.shut && l->blocked_since_ms &&
			uv_now(l->task.keeper->loop) - l->blocked_since_ms >= SEEN_TWICE_MS)
			v.shut = sight;
	}
	return v;
}

static void say_open(struct looking *l, bool known)
{
	looking_finish(l, OUTCOME_OK,
		known ? "{\"state\":\"open\",\"known\":true}" : "{\"state\":\"open\",\"known\":false}", NULL);
}

void looking_refuse(struct looking *l, enum outcome outcome, const char *body)
{
	if (!l->answer_is_short) {
		looking_finish(l, outcome, body, NULL);
		return;
	}
	task_answer_alone(&l->task, outcome, body, NULL);
	looking_let_go(l);
}

void looking_refuse_closed(struct looking *l, const char *facts)
{
	char *body = NULL;

	if (facts && asprintf(&body, "{\"gate\":%s}", facts) < 0)
		die("out of memory");
	looking_refuse(l, OUTCOME_CLOSED, body);
	free(body);
}

static void say_unknown(struct looking *l, const char *gate)
{
	char detail[256];

	snprintf(detail, sizeof(detail), "the gate %s is not known here: declare it, or mind the spelling", gate);
	looking_finish(l, OUTCOME_NOT_FOUND, NULL, detail);
}

void looking_stay(struct looking *l)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	if (l->again || now >= l->until_ms)
		looking_look(l);
	else
		task_wake_in(&l->task, l->until_ms - now, look_by_timer);
}

/* Shut: a wait goes on until its time is over, and then looks once more for the facts. */
static void find_shut(struct looking *l, const struct sight *shut)
{
	l->blocked_since_ms = 0;
	if (l->kind->shut && l->kind->shut(l, shut))
		return;
	if (uv_now(l->task.keeper->loop) >= l->until_ms && (l->look.facts || shut->state == SIGHT_BLOCKED)) {
		looking_refuse_closed(l, shut->facts);
		return;
	}
	if (shut->lease && l->waits)
		note_jobs_wait(l->task.keeper, shut->lease);
	looking_stay(l);
}

/* A probe failed and it is not clear who is in the way: ours will go, others are asked after once more. */
void looking_look_soon(struct looking *l)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	if (!l->blocked_since_ms) {
		l->blocked_since_ms = now;
		l->blocked_ms = BLOCKED_FIRST_MS;
	}
	if (now >= l->until_ms && now - l->blocked_since_ms > BLOCKED_PATIENCE_MS) {
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL,
			"the gate's lock stays busy although nobody is known to hold it: ask again");
		return;
	}
	task_wake_in(&l->task, l->blocked_ms, look_by_timer);
	l->blocked_ms = 2 * l->blocked_ms < BLOCKED_LAST_MS ? 2 * l->blocked_ms : BLOCKED_LAST_MS;
}

/* The database is away. What came during that is refused at once; what waited before goes on waiting until its own deadline. */
static void outlast(struct looking *l)
{
	struct keeper *k = l->task.keeper;
	uint64_t now = uv_now(k->loop);

	l->blocked_since_ms = 0;
	if (!l->waits || !l->was_up || now >= l->until_ms)
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL, task_unreachable);
	else
		task_wake_in(&l->task, l->until_ms - now, look_by_timer);
}

static void seen(struct look *look, const struct sight *const *sights)
{
	struct looking *l = container_of(look, struct looking, look);
	struct keeper *k = l->task.keeper;
	struct verdict v = { 0 };

	l->under_way = false;
	if (sights)
		v = judge(l, sights);
	if (!l->task.call)
		looking_let_go(l);
	else if (k->leaving && !(sights && !v.shut && !v.blocked))
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL, task_leaving);
	else if (!sights)
		outlast(l);
	else if (v.unknown && k->config->known_gates_only)
		say_unknown(l, v.unknown);
	else if (v.shut)
		find_shut(l, v.shut);
	else if (v.blocked)
		looking_look_soon(l);
	else
		l->kind->open(l, v.known);
}

static char *copy_of(const char *text)
{
	return text ? or_die(strdup(text)) : NULL;
}

void looking_begin(
	struct looking *l, struct keeper *k, struct call *call, struct gates *gates, const struct wait_terms *terms)
{
	l->gates = gates;
	if (terms->inside)
		snprintf(l->inside, sizeof(l->inside), "%.*s", LEASE_ID_LEN, terms->inside);
	l->look.gates = gates;
	l->look.seen = seen;
	l->was_up = keeper_reads(k);
	l->until_ms = uv_now(k->loop) + (uint64_t)terms->timeout_ms;
	l->id = copy_of(terms->id);
	l->holder = copy_of(terms->holder);
	l->job = copy_of(terms->job);
	task_start(&l->task, k, &verbs, call);
	if (l->waits)
		l->since_ms = jobs_since(l);
	/* Among the waiters first, then look: else what happens in between wakes nobody. */
	l->waiter = (struct waiter){ .gates = gates, .wake = wake_waiter };
	if (l->waits)
		waiters_join(k->waiters, &l->waiter);
	looking_look(l);
}

const struct looking *looking_waiting(const struct task *task)
{
	const struct looking *l = (const struct looking *)task;

	return task->verbs == &verbs && l->waits ? l : NULL;
}

static const struct looking_kind plain = { .open = say_open };

void keeper_check(struct keeper *k, struct call *call, struct gates *gates, const char *inside)
{
	struct looking *l = or_die(calloc(1, sizeof(*l)));

	l->kind = &plain;
	looking_begin(l, k, call, gates, &(struct wait_terms){ .inside = inside });
}

void keeper_wait(struct keeper *k, struct call *call, struct gates *gates, const struct wait_terms *terms)
{
	struct looking *l = or_die(calloc(1, sizeof(*l)));

	l->kind = &plain;
	l->waits = true;
	looking_begin(l, k, call, gates, terms);
}
