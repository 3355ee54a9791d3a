/* asking: the calls that are one change or one read and do not wait for a gate. */
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
#include "pg/batch.h"
#include "pg/change.h"
#include "pg/reads.h"

enum { PATIENCE_MS = 15000, ASK_AGAIN_MS = 50 };

struct asking {
	struct task task;
	struct change change;
	struct read read;
	char *request;
	struct gates *gates;		/* of a change that may be plain */
	char id[LEASE_ID_LEN + 1];	/* of its lease */
	bool was_up;			/* when it arrived: then it may be asked again after an outage */
	bool under_way;
	uint64_t until_ms;
	void (*then)(struct keeper *);
};

static const struct {
	const char *statement;
	bool after_drop;		/* the answer promises that the gate is free */
	enum turn turn;
	const char *plain;
} changes[CHANGE_COUNT] = {
	[CHANGE_CLOSE] = { "change_close", false, TURN_AS_IT_COMES, "plain_close" },
	[CHANGE_PASS] = { "change_pass", false, TURN_AS_IT_COMES, "plain_pass" },
	[CHANGE_OPEN] = { "change_open", true, TURN_AS_IT_COMES, "plain_open" },
	[CHANGE_FORCE_OPEN] = { "change_force_open", true, TURN_AS_IT_COMES },
	[CHANGE_RENEW] = { "change_renew", false, TURN_FIRST },
	[CHANGE_RELEASE] = { "change_release", true, TURN_AS_IT_COMES },
	[CHANGE_ATTACH] = { "change_attach", false, TURN_AS_IT_COMES },
	[CHANGE_AMEND] = { "change_amend", false, TURN_AS_IT_COMES },
	[CHANGE_SETTINGS] = { "change_settings", false, TURN_AS_IT_COMES },
	[CHANGE_FORGET_SETTINGS] = { "change_forget_settings", false, TURN_AS_IT_COMES },
	[CHANGE_REAP] = { "change_reap", true, TURN_AS_IT_COMES },
	[CHANGE_RENEW_ATTACHED] = { "change_renew_attached", false, TURN_FIRST },
	[CHANGE_DETACH] = { "change_detach", false, TURN_AS_IT_COMES },
	[CHANGE_UNCLAIM] = { "change_unclaim", false, TURN_AS_IT_COMES },
	[CHANGE_TICK] = { "change_tick", false, TURN_LAST },
	[CHANGE_JOBS_WAIT] = { "change_jobs_wait", false, TURN_AS_IT_COMES },
	[CHANGE_LEAVE] = { "change_leave", true, TURN_AS_IT_COMES },
	[CHANGE_FORGET] = { "change_forget", false, TURN_AS_IT_COMES },
};

static const char *const reads[READ_COUNT] = {
	[READ_GATES] = "read_gates",
	[READ_GATE] = "read_gate",
	[READ_LEASE] = "read_lease",
	[READ_ATTACH] = "read_attach",
	[READ_EVENTS] = "read_events",
	[READ_REPLICAS] = "read_replicas",
	[READ_SETTINGS] = "read_settings",
};

const char *change_statement(enum change_kind kind)
{
	return changes[kind].statement;
}

const char *change_plain_statement(enum change_kind kind, const cJSON *request)
{
	static const char *const uncommon[] = { "takeover", "outcome", "inside" };
	const cJSON *gates = cJSON_GetObjectItemCaseSensitive(request, "gates");
	bool plain = gates && !gates->child->next && !strchr(gates->child->valuestring, '.');

	for (size_t i = 0; plain && i < sizeof(uncommon) / sizeof(*uncommon); i++) {
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(request, uncommon[i]);

		plain = !item || cJSON_IsFalse(item);
	}
	return plain ? changes[kind].plain : NULL;
}

static void release(struct task *task)
{
	struct asking *asking = (struct asking *)task;

	free(asking->request);
	free(asking->gates);
	free(asking);
}

/* What is under way is committed or not whether anybody listens or not. */
static void hang_up(struct task *task)
{
	struct asking *asking = (struct asking *)task;

	if (!asking->under_way)
		task_end(task);
}

static void leave(struct task *task)
{
	struct asking *asking = (struct asking *)task;

	if (!asking->under_way)
		task_answer(task, OUTCOME_UNAVAILABLE, NULL, task_leaving);
}

static const struct task_verbs verbs = { .hang_up = hang_up, .leave = leave, .release = release };

static void finish(struct asking *asking, enum outcome outcome, const char *body)
{
	struct keeper *k = asking->task.keeper;
	void (*then)(struct keeper *) = asking->then;

	task_answer(&asking->task, outcome, body, outcome == OUTCOME_UNAVAILABLE ? task_unreachable : NULL);
	if (then)
		then(k);
}

/* Nobody knows how this comes out, and the client has waited long enough. The task stays until the outcome is there. */
static void give_up(uv_timer_t *timer)
{
	task_abandon(timer->data);
}

static void watch_patience(struct asking *asking)
{
	uint64_t now = uv_now(asking->task.keeper->loop);

	task_wake_in(&asking->task, asking->until_ms > now ? asking->until_ms - now : 0, give_up);
}

static void ask_change(uv_timer_t *timer)
{
	struct asking *asking = timer->data;

	if (!keeper_writes(asking->task.keeper) && uv_now(timer->loop) < asking->until_ms) {
		task_wake_in(&asking->task, ASK_AGAIN_MS, ask_change);
		return;
	}
	asking->under_way = true;
	watch_patience(asking);
	batch_add(asking->task.keeper->batch, &asking->change);
	keeper_nudge(asking->task.keeper);
}

/* Whether to ask again helps. Nobody is told to do so for what was posted: it outlasts a full table of locks as well. */
static bool passes(const struct asking *asking, enum outcome outcome)
{
	return outcome == OUTCOME_UNAVAILABLE || (outcome == OUTCOME_TOO_MANY && asking->until_ms == UINT64_MAX);
}

static void changed(struct change *change, enum outcome outcome, const char *body)
{
	struct asking *asking = container_of(change, struct asking, change);
	struct keeper *k = asking->task.keeper;

	asking->under_way = false;
	task_sleep(&asking->task);
	if (passes(asking, outcome) && asking->was_up && !change->once && !k->leaving &&
		uv_now(k->loop) < asking->until_ms)
		task_wake_in(&asking->task, ASK_AGAIN_MS, ask_change);
	else
		finish(asking, outcome, body);
}

static struct asking *asking_new(struct keeper *k, struct call *call, char *request)
{
	struct asking *asking = or_die(calloc(1, sizeof(*asking)));

	asking->request = request;
	asking->until_ms = uv_now(k->loop) + PATIENCE_MS;
	asking->under_way = true;
	task_start(&asking->task, k, &verbs, call);
	watch_patience(asking);
	return asking;
}

char *request_mark(char *request, const char *name)
{
	char *marked;

	if (asprintf(&marked, "{\"%s\":true,%s", name, request + 1) < 0)
		die("out of memory");
	free(request);
	return marked;
}

/* The same request, which is to be refused where the gate is not known, if the settings say so; takes it. */
static char *strictly(const struct keeper *k, char *request)
{
	return k->config->known_gates_only ? request_mark(request, "known_only") : request;
}

static void look_for_plain(struct asking *asking, enum change_kind kind, const cJSON *terms)
{
	struct change *change = &asking->change;

	asking->gates = gates_of_list(cJSON_GetObjectItemCaseSensitive(terms, "gates"));
	snprintf(asking->id, sizeof(asking->id), "%.*s", LEASE_ID_LEN, json_text(terms, "digest"));
	change->plain = change_plain_statement(kind, terms);
	change->gate = gates_name(asking->gates, 0);
	change->lease = asking->id;
}

/* terms: what the request says, NULL for one of our own; the request is taken. */
static struct asking *change_start(
	struct keeper *k, struct call *call, enum change_kind kind, char *request, const cJSON *terms)
{
	struct asking *asking = asking_new(k, call, request);

	asking->was_up = keeper_writes(k);
	asking->change = (struct change){ .statement = changes[kind].statement,
		.request = request,
		.after_drop = changes[kind].after_drop,
		.turn = changes[kind].turn,
		.done = changed };
	if (changes[kind].plain)
		look_for_plain(asking, kind, terms);
	/* Asked twice without the lease it means, it would end the next window. */
	asking->change.once = kind == CHANGE_FORCE_OPEN && !cJSON_HasObjectItem(terms, "lease");
	batch_add(k->batch, &asking->change);
	keeper_nudge(k);
	return asking;
}

static void change_at_once(struct keeper *k, struct call *call, enum change_kind kind, cJSON *terms)
{
	if (kind == CHANGE_OPEN || kind == CHANGE_FORCE_OPEN)
		json_add_bool(terms, "known_only", k->config->known_gates_only);
	change_start(k, call, kind, json_print(terms), terms);
	cJSON_Delete(terms);
}

void keeper_change(struct keeper *k, struct call *call, enum change_kind kind, cJSON *terms)
{
	if (kind == CHANGE_CLOSE)
		closing_start(k, call, terms);
	else if (kind == CHANGE_ATTACH)
		attached_start(k, call, terms);
	else if (kind == CHANGE_PASS)
		passing_start(k, call, terms);
	else if (kind == CHANGE_REAP)
		reaping_start(k, call, terms);
	else
		change_at_once(k, call, kind, terms);
}

void keeper_post(struct keeper *k, enum change_kind kind, char *request, void (*done)(struct keeper *))
{
	struct asking *asking = change_start(k, NULL, kind, request, NULL);

	asking->was_up = true;
	asking->until_ms = UINT64_MAX;
	asking->then = done;
}

struct gates *gates_of_list(const cJSON *list)
{
	struct fault fault;
	struct gates *gates = NULL;
	char names[GATES_MAX * (GATE_NAME_MAX + 1) + 1] = "";

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s%s", used ? "," : "", item->valuestring);
	}
	if (gates_parse(names, &gates, &fault) != OUTCOME_OK)
		die("a request without gates came past the door");
	return gates;
}

static void was_read(struct read *read, enum outcome outcome, const char *body)
{
	finish(container_of(read, struct asking, read), outcome, body);
}

void keeper_read(struct keeper *k, struct call *call, enum read_kind kind, char *request)
{
	bool strict = kind == READ_GATE || kind == READ_SETTINGS;
	struct asking *asking = asking_new(k, call, strict ? strictly(k, request) : request);

	request = asking->request;
	asking->read = (struct read){ .statement = reads[kind], .request = request, .done = was_read };
	reads_add(k->reads, &asking->read);
	keeper_nudge(k);
}
