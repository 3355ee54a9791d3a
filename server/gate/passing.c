/* passing: the passes, from the first look to the answer. A pass is a job that looks as a wait does; once its gates are open it
 * asks for its lease in a batch, which decides. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "config.h"
#include "gate/looking.h"
#include "pg/batch.h"
#include "pg/change.h"

enum {
	OUTAGE_MS = 50,
	PATIENCE_MS = 15000,		/* how long a pass of which nothing is known is asked for again */
	OVERDUE_MS = 5000		/* that an answer may take beyond its time before its outcome is given up as unknown */
};

struct passing {
	struct looking looking;
	struct change change;
	char *terms;			/* as asked for: an object … */
	char *request;			/* … and with what holds this once */
	char *full_at;			/* the gate at whose limit it stands in line, or NULL */
	char *outsiders;		/* facts of the gate, where somebody outside the service shuts it */
	const char *plain;		/* the statement for it, if its gate is known; or NULL */
	char id[LEASE_ID_LEN + 1];	/* of the lease */
	int64_t claim;
	uint64_t patient_until_ms;
	bool asked;			/* the rows know whether the token has a pass already */
	bool last;			/* its time was over when it asked */
};

static struct passing *passing_of(struct looking *l)
{
	return (struct passing *)l;
}

/* Those who wait at a gate's limit stand in line, and only the first of them asks: all others would ask in vain. */

static const struct looking_kind kind;

/* The first whose client is there in the line that a name, by a rule, belongs to. */
static struct passing *find_first(const struct keeper *k, bool (*rule)(const char *, const char *), const char *gate)
{
	for (struct task *task = TAILQ_FIRST(&k->tasks); task && k->in_line; task = TAILQ_NEXT(task, entry)) {
		const struct looking *l = looking_waiting(task);
		struct passing *p = (struct passing *)task;

		if (l && l->kind == &kind && task->call && p->full_at && rule(p->full_at, gate))
			return p;
	}
	return NULL;
}

static bool is_same(const char *one, const char *other)
{
	return strcmp(one, other) == 0;
}

static bool stands_behind(const struct looking *l)
{
	const struct passing *p = (const struct passing *)l;

	return p->full_at && find_first(l->task.keeper, is_same, p->full_at) != p;
}

/* The line that bears on these gates, or NULL. */
static const char *find_line(const struct keeper *k, const struct gates *gates)
{
	const struct passing *first = NULL;

	for (unsigned i = 0; i < gates->count && !first; i++)
		first = find_first(k, gate_covers, gates_name(gates, i));
	return first ? first->full_at : NULL;
}

/* Goes to the line at that gate, or to none: then the next of the old one has its turn. */
static void line_up(struct passing *p, const char *gate)
{
	struct keeper *k = p->looking.task.keeper;
	char *old = p->full_at;
	struct passing *next;

	if (old && gate && strcmp(old, gate) == 0)
		return;
	p->full_at = gate ? or_die(strdup(gate)) : NULL;
	k->in_line += !!gate - !!old;
	next = old && !k->leaving ? find_first(k, is_same, old) : NULL;
	if (next && !next->looking.under_way)
		looking_look(&next->looking);
	free(old);
}

static void release(struct looking *l)
{
	struct passing *p = passing_of(l);

	line_up(p, NULL);
	free(p->terms);
	free(p->request);
	free(p->outsiders);
}

/* Nobody knows how this comes out, and the client has waited long enough. The task stays until it does, and then lets go. */
static void give_up(uv_timer_t *timer)
{
	task_abandon(timer->data);
}

static uint64_t left(uint64_t until, uint64_t now)
{
	return until > now ? until - now : 0;
}

/* Asks the rows, which decide. keep_out: why the token gets no new pass, but the one that it may have already; or NULL. plain: the
 * statement to try first, or NULL. */
static void ask(struct passing *p, const char *keep_out, const char *plain)
{
	struct looking *l = &p->looking;
	uint64_t now = uv_now(l->task.keeper->loop);

	p->last = now >= l->until_ms;
	free(p->request);
	if (asprintf(&p->request, "{\"facts\":%s,\"keep_out\":%s%s%s,%s", p->last ? "true" : "false",
		    keep_out ? "\"" : "", keep_out ? keep_out : "null", keep_out ? "\"" : "", p->terms + 1) < 0)
		die("out of memory");
	p->change.request = p->request;
	p->change.plain = plain;
	p->change.gate = gates_name(l->gates, 0);
	task_wake_in(&l->task, left(l->until_ms, now) + OVERDUE_MS, give_up);
	l->under_way = true;
	l->again = false;
	batch_add(l->task.keeper->batch, &p->change);
	keeper_nudge(l->task.keeper);
}

static void gates_open(struct looking *l, bool known)
{
	struct passing *p = passing_of(l);
	const char *line = p->asked ? NULL : find_line(l->task.keeper, l->gates);

	ask(p, line ? "full" : NULL, known && !line ? p->plain : NULL);
}

/* Shut: but the token may have its pass already, and then that is the answer, whatever the gate. In line it would keep others
 * from room that it cannot take itself. */
static bool gates_shut(struct looking *l, const struct sight *sight)
{
	struct passing *p = passing_of(l);

	free(p->outsiders);
	p->outsiders = sight->state == SIGHT_BLOCKED ? or_die(strdup(sight->facts)) : NULL;
	line_up(p, NULL);
	if (p->asked)
		return false;
	ask(p, p->outsiders ? "closed" : NULL, NULL);
	return true;
}

/* Clears our claim, and only ours: the client may already be back at another replica. */
static void unclaim(const struct passing *p)
{
	char *request;

	if (asprintf(&request, "{\"id\":\"%s\",\"claim\":%" PRId64 "}", p->id, p->claim) < 0)
		die("out of memory");
	keeper_post(p->looking.task.keeper, CHANGE_UNCLAIM, request, NULL);
}

/* Nobody listens any more: what was made is left for the client that comes back with the token. */
static void let_go(struct passing *p, enum outcome outcome)
{
	struct looking *l = &p->looking;

	if (outcome == OUTCOME_CLOSED || outcome == OUTCOME_FULL) {
		looking_let_go(l);
		return;
	}
	if (outcome == OUTCOME_OK || outcome == OUTCOME_MADE)
		unclaim(p);
	looking_finish(l, OUTCOME_UNAVAILABLE, NULL, NULL);
}

/* It is not known whether it was made: once the database is back the rows are asked again. */
static void ask_anew(uv_timer_t *timer)
{
	struct passing *p = timer->data;
	struct keeper *k = p->looking.task.keeper;

	if ((keeper_writes(k) && keeper_reads(k)) || uv_now(k->loop) >= p->patient_until_ms)
		looking_look(&p->looking);
	else
		task_wake_in(&p->looking.task, OUTAGE_MS, ask_anew);
}

/* Refused because there is no room, or because others are in line for it. */
static void stand_in_line(struct passing *p, const char *body)
{
	cJSON *told = body ? cJSON_Parse(body) : NULL;
	const char *gate = json_text(told, "full_at");

	line_up(p, gate ? gate : find_line(p->looking.task.keeper, p->looking.gates));
	cJSON_Delete(told);
}

/* Refused for now: goes on waiting, unless its time was over before it asked. */
static void stand(struct passing *p, enum outcome outcome, const char *body)
{
	struct looking *l = &p->looking;

	if (!p->last)
		looking_stay(l);
	else if (p->outsiders && outcome == OUTCOME_CLOSED)
		looking_refuse_closed(l, p->outsiders);
	else
		looking_refuse(l, outcome, body);
}

static void passed(struct change *change, enum outcome outcome, const char *body)
{
	struct passing *p = container_of(change, struct passing, change);
	struct looking *l = &p->looking;
	struct keeper *k = l->task.keeper;
	bool granted = outcome == OUTCOME_OK || outcome == OUTCOME_MADE;
	bool stands = outcome == OUTCOME_PENDING || outcome == OUTCOME_CLOSED || outcome == OUTCOME_FULL;

	task_sleep(&l->task);
	l->under_way = false;
	p->asked = outcome != OUTCOME_UNAVAILABLE;
	if (outcome == OUTCOME_FULL && l->waits)
		stand_in_line(p, body);
	else
		line_up(p, NULL);
	if (!l->task.call)
		let_go(p, outcome);
	else if (k->leaving && !granted)
		looking_finish(l, OUTCOME_UNAVAILABLE, NULL, task_leaving);
	else if (outcome == OUTCOME_PENDING)
		looking_look_soon(l);
	else if (stands)
		stand(p, outcome, body);
	else if (outcome == OUTCOME_UNAVAILABLE && uv_now(k->loop) < p->patient_until_ms)
		task_wake_in(&l->task, OUTAGE_MS, ask_anew);
	else
		looking_finish(l, outcome, body, outcome == OUTCOME_UNAVAILABLE ? task_unreachable : NULL);
}

static const struct looking_kind kind = {
	.open = gates_open, .shut = gates_shut, .stands_behind = stands_behind, .release = release
};

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool same_gates(const struct gates *one, const struct gates *other)
{
	bool same = one->count == other->count;

	for (unsigned i = 0; same && i < one->count; i++)
		same = strcmp(gates_name(one, i), gates_name(other, i)) == 0;
	return same;
}

/* That of a client which left with this token and is back, or NULL. */
static struct passing *find_place(const struct keeper *k, const char *id, const struct gates *gates)
{
	for (struct task *task = TAILQ_FIRST(&k->tasks); k->places && task; task = TAILQ_NEXT(task, entry)) {
		const struct looking *l = looking_waiting(task);
		struct passing *p = (struct passing *)task;

		if (l && l->alone && strcmp(p->id, id) == 0 && same_gates(l->gates, gates))
			return p;
	}
	return NULL;
}

/* Takes over what is asked for: of one that came back, what it asks for now. */
static void take_terms(struct passing *p, struct keeper *k, cJSON *terms)
{
	p->claim = ++k->last_claim;
	p->asked = false;
	json_add_number(terms, "claim", p->claim);
	json_add_bool(terms, "known_only", k->config->known_gates_only);
	snprintf(p->id, sizeof(p->id), "%.*s", LEASE_ID_LEN, json_text(terms, "digest"));
	p->plain = change_plain_statement(CHANGE_PASS, terms);
	free(p->terms);
	p->terms = json_print(terms);
	p->patient_until_ms = uv_now(k->loop) + (uint64_t)json_number(terms, "wait_ms", 0) + PATIENCE_MS;
	p->looking.answer_is_short = json_number(terms, "timeout_ms", 0) < json_number(terms, "wait_ms", 0);
}

static struct passing *passing_new(void)
{
	struct passing *p = or_die(calloc(1, sizeof(*p)));

	p->change = (struct change){
		.statement = change_statement(CHANGE_PASS), .lease = p->id, .shared = true, .done = passed
	};
	p->looking.kind = &kind;
	p->looking.keeps_place = true;
	return p;
}

void passing_start(struct keeper *k, struct call *call, cJSON *terms)
{
	struct gates *gates = gates_of_list(cJSON_GetObjectItemCaseSensitive(terms, "gates"));
	char id[LEASE_ID_LEN + 1];
	struct wait_terms wait = { .inside = json_text(terms, "inside"),
		.id = id,
		.holder = json_text(terms, "holder"),
		.job = json_text(terms, "job"),
		.timeout_ms = least(json_number(terms, "wait_ms", 0), json_number(terms, "timeout_ms", 0)) };
	struct passing *p;

	snprintf(id, sizeof(id), "%.*s", LEASE_ID_LEN, json_text(terms, "digest"));
	p = find_place(k, id, gates);
	if (p) {
		take_terms(p, k, terms);
		looking_come_back(&p->looking, call, &wait);
		free(gates);
	} else {
		p = passing_new();
		take_terms(p, k, terms);
		p->looking.waits = wait.timeout_ms > 0;
		looking_begin(&p->looking, k, call, gates, &wait);
	}
	cJSON_Delete(terms);
}
