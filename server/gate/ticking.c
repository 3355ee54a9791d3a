/* ticking: what happens by itself. A tick is a change that stamps, expires what is due and settles everything this session
 * holds; the sweep has whoever waits look again; and what is announced wakes whom it concerns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/die.h"
#include "base/json.h"
#include "config.h"
#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/batch.h"
#include "pg/change.h"

enum {
	TICK_MS = 1000,
	SWEEP_MS = 250,
	FORGET_MS = 60000,		/* how often what ended long ago is forgotten */
	TOUCH_MAX = 7000
};

struct tick {
	struct change change;
	struct keeper *keeper;
	char *request;
};

static void tick(uv_timer_t *);

static void forget_report(struct keeper *k)
{
	free(k->reported);
	k->reported = NULL;
}

static void ticked(struct change *change, enum outcome outcome, const char *body)
{
	struct tick *t = (struct tick *)change;

	(void)body;
	t->keeper->ticking = NULL;
	/* Whether the rows know who waits is not known: the next tick says it again. */
	if (outcome != OUTCOME_OK)
		forget_report(t->keeper);
	if (t->keeper->touch)
		ticking_soon(t->keeper, 0);
	free(t->request);
	free(t);
}

static cJSON *touched(const char *names)
{
	cJSON *list = or_die(cJSON_CreateArray());
	char *copy = or_die(strdup(names ? names : "")), *rest = copy, *name;

	while ((name = strsep(&rest, ",")))
		if (*name && *name != '*' && *name != '!')
			cJSON_AddItemToArray(list, or_die(cJSON_CreateString(name)));
	free(copy);
	return list;
}

static char *request_of(struct keeper *k)
{
	cJSON *request = or_die(cJSON_CreateObject());
	char *waiting = jobs_report(k);

	cJSON_AddItemToObject(request, "touch", touched(k->touch));
	free(k->touch);
	k->touch = NULL;
	if (!k->reported || strcmp(k->reported, waiting) != 0) {
		json_add_raw(request, "waiting", waiting);
		free(k->reported);
		k->reported = waiting;
	} else {
		free(waiting);
	}
	return json_finish(request);
}

static void tick(uv_timer_t *timer)
{
	struct keeper *k = timer->data;
	struct tick *t;

	uv_timer_start(&k->tick, tick, TICK_MS, 0);
	if (k->ticking || !keeper_writes(k))
		return;
	t = or_die(calloc(1, sizeof(*t)));
	t->keeper = k;
	t->request = request_of(k);
	t->change = (struct change){ .statement = change_statement(CHANGE_TICK),
		.request = t->request,
		.turn = TURN_LAST,
		.everything = true,
		.done = ticked };
	k->ticking = &t->change;
	batch_add(k->batch, &t->change);
	keeper_nudge(k);
}

void ticking_soon(struct keeper *k, uint64_t ms)
{
	if (!k->gone && ms < uv_timer_get_due_in(&k->tick))
		uv_timer_start(&k->tick, tick, ms, 0);
}

void ticking_begin_anew(struct keeper *k)
{
	forget_report(k);
	ticking_soon(k, 0);
}

static void wake_all(struct keeper *k, const char *gates)
{
	char *copy = or_die(strdup(gates)), *rest = copy, *name;

	while ((name = strsep(&rest, ",")))
		waiters_wake(k->waiters, name);
	free(copy);
}

/* For the next tick. */
static void touch(struct keeper *k, const char *gates)
{
	char *all;

	if (k->touch && strlen(k->touch) + strlen(gates) > TOUCH_MAX)
		return;
	if (asprintf(&all, "%s%s%s", k->touch ? k->touch : "", k->touch ? "," : "", gates) < 0)
		die("out of memory");
	free(k->touch);
	k->touch = all;
}

/* Gates were announced. What others announced may want a lock of ours taken or dropped; "!", alone or among gates, is a request
 * from SQL or leases that were handed to us, and "*" may be that too. */
void ticking_hear(struct keeper *k, const char *gates, bool from_others)
{
	bool asked = strpbrk(gates, "!*") != NULL;

	k->hints++;
	wake_all(k, gates);
	if (from_others && (asked || k->account.count)) {
		touch(k, gates);
		ticking_soon(k, 0);
	}
}

static void sweep(uv_timer_t *timer)
{
	struct keeper *k = timer->data;
	struct task *task;

	TAILQ_FOREACH(task, &k->tasks, entry)
	if (task->verbs->sweep)
		task->verbs->sweep(task);
	clearing_sweep(k);
}

static void forget(uv_timer_t *timer)
{
	struct keeper *k = timer->data;
	char *request;

	if (!keeper_writes(k))
		return;
	if (asprintf(&request, "{\"retention_ms\":%lld}", (long long)k->config->retention_ms) < 0)
		die("out of memory");
	keeper_post(k, CHANGE_FORGET, request, NULL);
}

static void start_timer(struct keeper *k, uv_timer_t *timer, uv_timer_cb run, uint64_t ms)
{
	uv_timer_init(k->loop, timer);
	timer->data = k;
	uv_timer_start(timer, run, ms, ms);
}

void ticking_start(struct keeper *k)
{
	start_timer(k, &k->tick, tick, TICK_MS);
	start_timer(k, &k->sweep, sweep, SWEEP_MS);
	start_timer(k, &k->forget, forget, FORGET_MS);
}

void ticking_stop(struct keeper *k)
{
	uv_close((uv_handle_t *)&k->tick, NULL);
	uv_close((uv_handle_t *)&k->sweep, NULL);
	uv_close((uv_handle_t *)&k->forget, NULL);
}
