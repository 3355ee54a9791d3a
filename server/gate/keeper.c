#include "gate/keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/advice.h"
#include "base/die.h"
#include "config.h"
#include "gate/parts.h"
#include "gate/steps.h"
#include "gate/waiters.h"
#include "pg/batch.h"
#include "pg/reads.h"
#include "pg/snapshot.h"

enum { HAND_OVER_MS = 2000 };

const char task_unreachable[] = "PostgreSQL is out of reach, so nothing is known of any gate: ask again";
const char task_unknown[] = "PostgreSQL does not answer, so it is not known whether this was done: " ADVICE_SAME_TOKEN;
const char task_leaving[] = "this replica is leaving: ask again, or another replica";

/* Tasks. */

void task_start(struct task *task, struct keeper *k, const struct task_verbs *verbs, struct call *call)
{
	task->verbs = verbs;
	task->keeper = k;
	task->call = call;
	if (call)
		call->task = task;
	TAILQ_INSERT_TAIL(&k->tasks, task, entry);
}

static void free_timer(uv_handle_t *timer)
{
	free(timer);
}

void task_end(struct task *task)
{
	TAILQ_REMOVE(&task->keeper->tasks, task, entry);
	if (task->call)
		task->call->task = NULL;
	if (task->timer)
		uv_close((uv_handle_t *)task->timer, free_timer);
	task->verbs->release(task);
}

void task_answer(struct task *task, enum outcome outcome, const char *body, const char *detail)
{
	struct call *call = task->call;

	task_end(task);
	if (call)
		call->answered(call, &(struct answer){ outcome, body, detail });
}

void task_answer_alone(struct task *task, enum outcome outcome, const char *body, const char *detail)
{
	struct call *call = task->call;

	task->call = NULL;
	if (!call)
		return;
	call->task = NULL;
	call->answered(call, &(struct answer){ outcome, body, detail });
}

void task_abandon(struct task *task)
{
	task_answer_alone(task, OUTCOME_UNAVAILABLE, NULL, task_unknown);
}

void task_wake_in(struct task *task, uint64_t ms, uv_timer_cb wake)
{
	if (!task->timer) {
		task->timer = or_die(calloc(1, sizeof(*task->timer)));
		uv_timer_init(task->keeper->loop, task->timer);
		task->timer->data = task;
	}
	uv_timer_start(task->timer, wake, ms, 0);
}

void task_sleep(struct task *task)
{
	if (task->timer)
		uv_timer_stop(task->timer);
}

void keeper_hang_up(struct call *call)
{
	struct task *task = call->task;

	if (!task)
		return;
	call->task = NULL;
	task->call = NULL;
	task->verbs->hang_up(task);
}

/* Sending. */

static void send_all(uv_idle_t *idle)
{
	struct keeper *k = idle->data;

	uv_idle_stop(idle);
	batch_send(k->batch);
	snapshot_send(k->snapshot);
	reads_send(k->reads);
}

void keeper_nudge(struct keeper *k)
{
	if (!k->gone)
		uv_idle_start(&k->idle, send_all);
}

bool keeper_writes(const struct keeper *k)
{
	return batch_writes(k->batch);
}

bool keeper_reads(const struct keeper *k)
{
	return session_serves(k->members[SEAT_READS].session);
}

/* Life. */

static void looks_wait(void *context)
{
	keeper_nudge(context);
}

static void came_out_different(void *context, const char *gates)
{
	ticking_hear(context, gates, false);
}

static void falls_due(void *context, int64_t ms)
{
	if (ms >= 0)
		ticking_soon(context, (uint64_t)ms);
}

struct keeper *keeper_new(struct uv_loop_s *loop, const struct config *config, const struct log *log)
{
	struct keeper *k = or_die(calloc(1, sizeof(*k)));

	k->loop = loop;
	k->config = config;
	k->log = log;
	TAILQ_INIT(&k->tasks);
	token_make(k->replica);
	gethostname(k->host, sizeof(k->host) - 1);
	account_init(&k->account);
	members_init(k);
	k->batch = batch_new(loop,
		&(struct batch_terms){ .session = k->members[SEAT_LOCKS].session,
			.account = &k->account,
			.log = log,
			.context = k,
			.changed = came_out_different,
			.next_due = falls_due });
	k->snapshot = snapshot_new(k->members[SEAT_READS].session, log, looks_wait, k);
	k->reads = reads_new(k->members[SEAT_READS].session, log);
	k->waiters = waiters_new();
	k->steps = steps_new();
	rounds_start(k);
	uv_idle_init(loop, &k->idle);
	k->idle.data = k;
	uv_timer_init(loop, &k->parting);
	k->parting.data = k;
	return k;
}

void keeper_free(struct keeper *k)
{
	members_free(k);
	batch_free(k->batch);
	snapshot_free(k->snapshot);
	reads_free(k->reads);
	waiters_free(k->waiters);
	steps_free(k->steps);
	rounds_free(k);
	account_release(&k->account);
	looking_forget(k);
	free(k->touch);
	free(k->reported);
	free(k);
}

void keeper_start(struct keeper *k)
{
	members_start(k);
	ticking_start(k);
}

bool keeper_ready(const struct keeper *k, char why[static KEEPER_WHY_MAX])
{
	static const char *const names[SEAT_COUNT] = { "locks", "reads", "listen" };

	if (k->leaving) {
		snprintf(why, KEEPER_WHY_MAX, "this replica is leaving");
		return false;
	}
	for (int i = 0; i < SEAT_COUNT; i++) {
		if (session_serves(k->members[i].session))
			continue;
		snprintf(why, KEEPER_WHY_MAX, "the session for %s is not up: %s", names[i],
			session_why(k->members[i].session));
		return false;
	}
	if (!keeper_writes(k)) {
		snprintf(why, KEEPER_WHY_MAX,
			"a commit takes too long: does it wait for one of synchronous_standby_names?");
		return false;
	}
	return true;
}

void keeper_leave(struct keeper *k)
{
	k->leaving = true;
	for (struct task *task = TAILQ_FIRST(&k->tasks), *next; task; task = next) {
		next = TAILQ_NEXT(task, entry);
		task->verbs->leave(task);
	}
}

static void go(struct keeper *k)
{
	if (k->gone)
		return;
	k->gone = true;
	ticking_stop(k);
	rounds_stop(k);
	members_stop(k);
	batch_stop(k->batch);
	snapshot_send(k->snapshot);
	reads_send(k->reads);
	uv_close((uv_handle_t *)&k->idle, NULL);
	uv_close((uv_handle_t *)&k->parting, NULL);
}

static void go_by_timer(uv_timer_t *timer)
{
	go(timer->data);
}

/* From the loop: now we are still inside the session that is to be given up. */
static void handed_over(struct keeper *k)
{
	if (!k->gone)
		uv_timer_start(&k->parting, go_by_timer, 0, 0);
}

void keeper_stop(struct keeper *k)
{
	keeper_leave(k);
	uv_timer_start(&k->parting, go_by_timer, HAND_OVER_MS, 0);
	keeper_post(k, CHANGE_LEAVE, or_die(strdup("{}")), handed_over);
}
