/* looking: checks, and the jobs that wait. */
#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "config.h"
#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/snapshot.h"

enum {
	BLOCKED_FIRST_MS = 5,		/* a failed probe is asked again after 5, 10, 20, 40 ms … */
	BLOCKED_LAST_MS = 100,
	SEEN_TWICE_MS = 20,		/* somebody outside counts once seen twice, this far apart */
	BLOCKED_PATIENCE_MS = 5000,
	NOTED_MAX = 1000,
	REPORTED_MAX = 100		/* jobs named for one gate */
};

struct looking {
	struct task task;
	struct look look;
	struct waiter waiter;
	struct gates *gates;
	char inside[LEASE_ID_LEN + 1];	/* the lease the caller acts under, "" for none */
	bool waits;			/* a wait, listed among the waiters; else a check */
	bool under_way, again, was_up;
	uint64_t until_ms;
	uint64_t blocked_since_ms;	/* 0: not blocked */
	uint64_t blocked_ms;		/* the pause before asking again */
	int64_t since_s;		/* when it came, by the wall clock, for the list */
	char *holder, *job;
};

static void ask(struct looking *l)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	task_sleep(&l->task);
	l->under_way = true;
	l->again = false;
	l->look.facts = now >= l->until_ms;
	snapshot_join(l->task.keeper->snapshot, &l->look);
	keeper_nudge(l->task.keeper);
}

static void ask_by_timer(uv_timer_t *timer)
{
	ask(timer->data);
}

static void wake(struct looking *l)
{
	if (l->under_way)
		l->again = true;
	else
		ask(l);
}

static void wake_waiter(struct waiter *waiter)
{
	wake(container_of(waiter, struct looking, waiter));
}

static void release(struct task *task)
{
	struct looking *l = (struct looking *)task;

	free(l->gates);
	free(l->holder);
	free(l->job);
	free(l);
}

static void finish(struct looking *l, enum outcome outcome, const char *body, const char *detail)
{
	if (l->waits)
		waiters_part(l->task.keeper->waiters, &l->waiter);
	task_answer(&l->task, outcome, body, detail);
}

static void hang_up(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (!l->under_way)
		finish(l, OUTCOME_UNAVAILABLE, NULL, NULL);
}

static void leave(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (!l->under_way)
		finish(l, OUTCOME_UNAVAILABLE, NULL, task_leaving);
}

static void sweep(struct task *task)
{
	struct looking *l = (struct looking *)task;

	if (l->waits && !l->under_way && !l->blocked_since_ms && keeper_reads(l->task.keeper))
		ask(l);
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
	const char *unknown;		/* a gate that is not known */
	const struct sight *shut;	/* what shuts it, or NULL */
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
		if (sight->state == SIGHT_SHUT && strcmp(sight->lease, l->inside) != 0)
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
	finish(l, OUTCOME_OK, known ? "{\"state\":\"open\",\"known\":true}" : "{\"state\":\"open\",\"known\":false}",
		NULL);
}

static void say_closed(struct looking *l, const char *facts)
{
	char *body = NULL;

	if (facts && asprintf(&body, "{\"gate\":%s}", facts) < 0)
		die("out of memory");
	finish(l, OUTCOME_CLOSED, body, NULL);
	free(body);
}

static void say_unknown(struct looking *l, const char *gate)
{
	char detail[256];

	snprintf(detail, sizeof(detail), "the gate %s is not known here: declare it, or mind the spelling", gate);
	finish(l, OUTCOME_NOT_FOUND, NULL, detail);
}

/* Shut: a wait goes on until its time is over, and then asks once more for the facts. */
static void stay(struct looking *l, const struct sight *shut)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	l->blocked_since_ms = 0;
	if (now >= l->until_ms && (l->look.facts || shut->state == SIGHT_BLOCKED)) {
		say_closed(l, shut->facts);
		return;
	}
	if (shut->lease && l->waits)
		note_jobs_wait(l->task.keeper, shut->lease);
	if (l->again || now >= l->until_ms)
		ask(l);
	else
		task_wake_in(&l->task, l->until_ms - now, ask_by_timer);
}

/* A probe failed and it is not clear who is in the way: ours will go, others are asked after once more. */
static void ask_again_soon(struct looking *l)
{
	uint64_t now = uv_now(l->task.keeper->loop);

	if (!l->blocked_since_ms) {
		l->blocked_since_ms = now;
		l->blocked_ms = BLOCKED_FIRST_MS;
	}
	if (now >= l->until_ms && now - l->blocked_since_ms > BLOCKED_PATIENCE_MS) {
		finish(l, OUTCOME_UNAVAILABLE, NULL,
			"the gate's lock stays busy although nobody is known to hold it: ask again");
		return;
	}
	task_wake_in(&l->task, l->blocked_ms, ask_by_timer);
	l->blocked_ms = 2 * l->blocked_ms < BLOCKED_LAST_MS ? 2 * l->blocked_ms : BLOCKED_LAST_MS;
}

/* The database is away. What came during that is refused at once; what waited before goes on waiting until its own deadline. */
static void outlast(struct looking *l)
{
	struct keeper *k = l->task.keeper;
	uint64_t now = uv_now(k->loop);

	l->blocked_since_ms = 0;
	if (!l->waits || !l->was_up || now >= l->until_ms)
		finish(l, OUTCOME_UNAVAILABLE, NULL, task_unreachable);
	else
		task_wake_in(&l->task, l->until_ms - now, ask_by_timer);
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
		finish(l, OUTCOME_UNAVAILABLE, NULL, NULL);
	else if (k->leaving && !(sights && !v.shut && !v.blocked))
		finish(l, OUTCOME_UNAVAILABLE, NULL, task_leaving);
	else if (!sights)
		outlast(l);
	else if (v.unknown && k->config->known_gates_only)
		say_unknown(l, v.unknown);
	else if (v.shut)
		stay(l, v.shut);
	else if (v.blocked)
		ask_again_soon(l);
	else
		say_open(l, v.known);
}

static struct looking *look_start(struct keeper *k, struct call *call, struct gates *gates, const char *inside)
{
	struct looking *l = or_die(calloc(1, sizeof(*l)));

	l->gates = gates;
	snprintf(l->inside, sizeof(l->inside), "%.*s", LEASE_ID_LEN, inside ? inside : "");
	l->look.gates = gates;
	l->look.seen = seen;
	l->was_up = keeper_reads(k);
	l->until_ms = uv_now(k->loop);
	task_start(&l->task, k, &verbs, call);
	return l;
}

void keeper_check(struct keeper *k, struct call *call, struct gates *gates, const char *inside)
{
	ask(look_start(k, call, gates, inside));
}

void keeper_wait(struct keeper *k, struct call *call, struct gates *gates, const struct wait_terms *terms)
{
	struct looking *l = look_start(k, call, gates, terms->inside);

	l->waits = true;
	l->until_ms += (uint64_t)terms->timeout_ms;
	l->since_s = (int64_t)time(NULL);
	l->holder = terms->holder ? or_die(strdup(terms->holder)) : NULL;
	l->job = terms->job ? or_die(strdup(terms->job)) : NULL;
	/* Among the waiters first, then ask: else what happens in between wakes nobody. */
	l->waiter = (struct waiter){ .gates = gates, .wake = wake_waiter };
	waiters_join(k->waiters, &l->waiter);
	ask(l);
}

/* Who waits here. */

/* One job at one of its gates. */
struct wanted {
	const char *gate;
	const struct looking *job;
	size_t place;		/* in the order they came */
};

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *one = a, *other = b;
	int order = strcmp(one->gate, other->gate);

	return order ? order : (one->place > other->place) - (one->place < other->place);
}

/* All jobs at all their gates, by gate. The result is the caller's (free). */
static struct wanted *list_wanted(const struct keeper *k, size_t *count)
{
	struct wanted *list = NULL;
	size_t room = 0;

	*count = 0;
	for (const struct task *task = TAILQ_FIRST(&k->tasks); task; task = TAILQ_NEXT(task, entry)) {
		const struct looking *l = (const struct looking *)task;

		if (task->verbs != &verbs || !l->waits)
			continue;
		if (*count + GATES_MAX > room) {
			room = 2 * room + GATES_MAX;
			list = or_die(reallocarray(list, room, sizeof(*list)));
		}
		for (unsigned i = 0; i < l->gates->count; i++, (*count)++)
			list[*count] = (struct wanted){ gates_name(l->gates, i), l, *count };
	}
	if (list)
		qsort(list, *count, sizeof(*list), compare_wanted);
	return list;
}

static cJSON *report_job(const struct looking *l)
{
	cJSON *job = or_die(cJSON_CreateObject());
	time_t at = (time_t)l->since_s;
	char since[32];
	struct tm utc;

	strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%S.000Z", gmtime_r(&at, &utc));
	json_add_text(job, "holder", l->holder);
	json_add_text(job, "job", l->job);
	json_add_text(job, "since", since);
	return job;
}

/* Reports one gate, whose jobs stand at the head of the list; answers how many they are. */
static size_t report_gate(cJSON *report, const struct wanted *list, size_t count)
{
	cJSON *gate = or_die(cJSON_CreateObject()), *jobs = or_die(cJSON_CreateArray());
	size_t here = 0;

	for (; here < count && strcmp(list[here].gate, list->gate) == 0; here++)
		if (here < REPORTED_MAX)
			cJSON_AddItemToArray(jobs, report_job(list[here].job));
	json_add_number(gate, "count", (int64_t)here);
	cJSON_AddItemToObject(gate, "jobs", jobs);
	cJSON_AddItemToObject(report, list->gate, gate);
	return here;
}

char *looking_report(const struct keeper *k)
{
	cJSON *report = or_die(cJSON_CreateObject());
	size_t count;
	struct wanted *list = list_wanted(k, &count);
	char *text;

	for (size_t done = 0; done < count;)
		done += report_gate(report, list + done, count - done);
	free(list);
	text = json_print(report);
	cJSON_Delete(report);
	return text;
}
