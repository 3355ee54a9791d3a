#include "http/problem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/advice.h"
#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"

static bool has_text(const cJSON *facts, const char *path)
{
	const char *text = json_text(facts, path);

	return text && *text;
}

/* Prints before, the text at path and after; nothing if there is none. */
static void say_text(FILE *out, const char *before, const cJSON *facts, const char *path, const char *after)
{
	if (has_text(facts, path))
		fprintf(out, "%s%s%s", before, json_text(facts, path), after);
}

/* As say_text, for a number of milliseconds. */
static void say_span(FILE *out, const char *before, const cJSON *facts, const char *path, const char *after)
{
	int64_t ms = json_number(facts, path, -1);
	char text[DURATION_TEXT_MAX];

	if (ms < 0)
		return;
	duration_say(ms, text);
	fprintf(out, "%s%s%s", before, text, after);
}

static void say_holder(FILE *out, const cJSON *lease)
{
	fputs(has_text(lease, "holder") ? json_text(lease, "holder") : "somebody unnamed", out);
	say_text(out, " (", lease, "reason", ")");
}

/* Whoever has the lock without a lease: sessions of plain SQL. */
static void say_sessions(FILE *out, const cJSON *external)
{
	const cJSON *one = cJSON_GetArrayItem(external, 0);
	int more = cJSON_GetArraySize(external) - 1;

	fputs("a plain SQL session", out);
	if (json_number(one, "pid", 0) > 0)
		fprintf(out, ", pid %" PRId64, json_number(one, "pid", 0));
	say_text(out, " of ", one, "user", "");
	say_text(out, " in ", one, "application_name", "");
	if (more > 0)
		fprintf(out, " and %d more", more);
}

static void say_external(FILE *out, const cJSON *external)
{
	fputs(" by ", out);
	say_sessions(out, external);
	fputs("; it opens when that unlocks or ends", out);
}

static const struct ending {
	const char *word, *sentence;
} endings[] = {
	{ "opened", "it was opened" },
	{ "released", "it was released" },
	{ "expired", "it expired: nobody renewed it in time" },
	{ "forced", "it was forced open" },
	{ "reaped", "it was reaped" },
	{ "drain_timeout", "jobs did not leave within drain" },
	{ "abandoned", "nobody waited for it any more" },
	{ "taken_over", "another window took its place" },
	{ "failed", "its deploy ended as failed" },
};

static const char *ending_sentence(const char *word)
{
	for (size_t i = 0; word && i < sizeof(endings) / sizeof(endings[0]); i++)
		if (strcmp(endings[i].word, word) == 0)
			return endings[i].sentence;
	return "it ended";
}

/* How an ended lease ended; who and why only where it was somebody else. One that reached its max was not neglected. */
static void say_end(FILE *out, const cJSON *lease)
{
	const char *by = json_text(lease, "ended_by"), *holder = json_text(lease, "holder"),
		   *end = json_text(lease, "end");

	if (end && strcmp(end, "expired") == 0 && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(lease, "max_reached")))
		say_span(out, "it expired: it was not to last longer than ", lease, "max_ms", "");
	else
		fputs(ending_sentence(end), out);
	if (by && (!holder || strcmp(by, holder) != 0))
		say_text(out, " by ", lease, "ended_by", "");
	say_span(out, ", ", lease, "ended_ago_ms", " ago");
	say_text(out, " (", lease, "end_reason", ")");
}

/* What has to be closed to take a crashed window's place: all of it, for the rest would open by accident. */
static void say_takeover(FILE *out, const cJSON *window)
{
	const cJSON *gates = cJSON_GetObjectItemCaseSensitive(window, "gates"), *gate;
	const char *before = " of ";

	fputs("; it stays shut until the next close", out);
	cJSON_ArrayForEach (gate, gates) {
		if (cJSON_IsString(gate))
			fprintf(out, "%s%s", before, gate->valuestring);
		before = gate->next && !gate->next->next ? " and " : ", ";
	}
	fprintf(out, "%s or a force-open", cJSON_GetArraySize(gates) > 1 ? " together," : "");
}

/* Behind "production is closed": by whom, since when, and how that ends. */
static void say_window(FILE *out, const cJSON *window, const char *state)
{
	if (strcmp(state, "crashed") == 0) {
		fputs(": after the window of ", out);
		say_holder(out, window);
		fputs(" ", out);
		say_end(out, window);
		say_takeover(out, window);
	} else if (strcmp(state, "draining") == 0) {
		fputs(": ", out);
		say_holder(out, window);
		fputs(" is closing it and waits for those inside to leave", out);
		say_span(out, ", for ", window, "drain_in_ms", " more at most");
	} else if (has_text(window, "ended_at")) {
		fputs("; the window of ", out);
		say_holder(out, window);
		fputs(" is over", out);
		say_span(out, ", and it opens in ", window, "opens_in_ms", "");
	} else {
		fputs(" by ", out);
		say_holder(out, window);
		say_span(out, " for ", window, "closed_ago_ms", "");
		say_span(out, "; the window ends in ", window, "expires_in_ms", " unless renewed");
	}
}

/* A gate that is open, and still not to be had: a plain session has closed one below it, or somebody is ahead in the queue. */
static void say_ahead(FILE *out, const cJSON *gate, const char *name)
{
	const cJSON *waiting = cJSON_GetObjectItemCaseSensitive(gate, "waiting");
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(waiting, "deploys"), 0);
	const cJSON *external = cJSON_GetObjectItemCaseSensitive(gate, "external");

	fprintf(out, "%s is open", name);
	if (cJSON_GetArraySize(external) > 0) {
		fputs(", but a gate below it is closed by ", out);
		say_sessions(out, external);
		fputs(", until that opens it or ends", out);
	} else if (first) {
		fputs(", but ahead in the queue is ", out);
		say_holder(out, first);
		say_span(out, ", waiting for ", first, "waiting_ms", "");
	}
}

static void say_gate(FILE *out, const cJSON *gate)
{
	const char *name = json_text(gate, "name"), *by = json_text(gate, "closed_by"),
		   *state = json_text(gate, "state");
	const cJSON *window = cJSON_GetObjectItemCaseSensitive(gate, "window");
	const cJSON *external = cJSON_GetObjectItemCaseSensitive(gate, "external");

	name = name ? name : "the gate";
	state = state ? state : "shut";
	if (strcmp(state, "open") == 0) {
		say_ahead(out, gate, name);
		return;
	}
	if (strcmp(state, "full") == 0) {
		fprintf(out, "%s is full: as many jobs are inside %s as may be", name, by ? by : name);
		return;
	}
	if (by && strcmp(by, name) != 0)
		fprintf(out, "%s is shut because %s is %s", name, by, state);
	else
		fprintf(out, "%s is %s", name, state);
	if (cJSON_IsObject(window))
		say_window(out, window, state);
	else if (cJSON_GetArraySize(external) > 0)
		say_external(out, external);
}

/* "the window over production, staging" */
static void say_lease_name(FILE *out, const cJSON *lease)
{
	const cJSON *gates = cJSON_GetObjectItemCaseSensitive(lease, "gates"), *gate;
	const char *before = " over ";

	fprintf(out, "the %s", has_text(lease, "kind") ? json_text(lease, "kind") : "lease");
	cJSON_ArrayForEach (gate, gates) {
		if (cJSON_IsString(gate))
			fprintf(out, "%s%s", before, gate->valuestring);
		before = ", ";
	}
}

static void say_gone(FILE *out, const cJSON *lease)
{
	say_lease_name(out, lease);
	fputs(" has ended: ", out);
	say_end(out, lease);
}

static void say_used(FILE *out, const cJSON *lease)
{
	fputs("this token belongs to ", out);
	say_lease_name(out, lease);
	say_text(out, ", which is ", lease, "state", "");
	fputs("; use a new one", out);
}

static void say_not_holder(FILE *out, const cJSON *gate)
{
	const char *state = json_text(gate, "state");

	if (state && strcmp(state, "open") == 0) {
		fprintf(out, "there is no window to end: %s is open",
			has_text(gate, "name") ? json_text(gate, "name") : "the gate");
		return;
	}
	fputs("the token is not that of a live window over it: ", out);
	say_gate(out, gate);
}

static void say_drain_timeout(FILE *out, const cJSON *gate)
{
	const char *name = json_text(gate, "name"), *state = json_text(gate, "state");
	const cJSON *external = cJSON_GetObjectItemCaseSensitive(gate, "external");
	int64_t inside = json_number(gate, "passes.count", 0);

	fprintf(out, "%s is %s again, because jobs did not leave in time", name ? name : "the gate",
		state && strcmp(state, "crashed") == 0 ? state : "open");
	if (inside > 0)
		fprintf(out, "; inside now: %" PRId64, inside);
	if (cJSON_GetArraySize(external) > 0) {
		fputs(inside > 0 ? " and " : "; inside now: ", out);
		say_sessions(out, external);
	}
}

/* The sentence of an outcome, if its facts are there. Whether one was said. */
static bool say_facts(FILE *out, enum outcome outcome, const cJSON *facts)
{
	const cJSON *gate = cJSON_GetObjectItemCaseSensitive(facts, "gate");
	const cJSON *lease = cJSON_GetObjectItemCaseSensitive(facts, "lease");

	if (outcome == OUTCOME_GONE && cJSON_IsObject(lease))
		say_gone(out, lease);
	else if (outcome == OUTCOME_TOKEN_USED && cJSON_IsObject(lease))
		say_used(out, lease);
	else if (outcome == OUTCOME_NOT_HOLDER && cJSON_IsObject(gate))
		say_not_holder(out, gate);
	else if (outcome == OUTCOME_DRAIN_TIMEOUT && cJSON_IsObject(gate))
		say_drain_timeout(out, gate);
	else if (cJSON_IsObject(gate))
		say_gate(out, gate);
	else if (has_text(facts, "detail"))
		fputs(json_text(facts, "detail"), out);
	else
		return false;
	return true;
}

/* What to do instead where a plain session is in the way: the service cannot end it. */
static const struct {
	const char *usual, *about_sessions;
} advices[] = {
	{ ADVICE_IN_LINE, ADVICE_IN_LINE_BEHIND_SQL },
	{ ADVICE_THE_SHUT_ONE, ADVICE_END_SESSION },
};

/* The advice of the route where it is meant for this, or NULL: not where a close is past waiting for anybody but the jobs inside. */
static const char *advice_for(const struct problem *problem, const cJSON *facts)
{
	const cJSON *gate = cJSON_GetObjectItemCaseSensitive(facts, "gate");
	bool only_sessions = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(gate, "external")) > 0 &&
		!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(gate, "window"));

	if (!problem->advice || outcome_row(problem->outcome)->retry_after_s == 0 ||
		problem->outcome == OUTCOME_DRAINING || problem->outcome == OUTCOME_DRAIN_TIMEOUT)
		return NULL;
	for (size_t i = 0; only_sessions && i < sizeof(advices) / sizeof(advices[0]); i++)
		if (strcmp(advices[i].usual, problem->advice) == 0)
			return advices[i].about_sessions;
	return problem->advice;
}

char *problem_detail(const struct problem *problem, const cJSON *facts)
{
	char *text = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));
	bool said = say_facts(out, problem->outcome, facts);
	const char *advice = advice_for(problem, facts);

	if (problem->detail)
		fprintf(out, "%s%s", said ? "; " : "", problem->detail);
	else if (!said)
		fputs(outcome_row(problem->outcome)->title, out);
	if (said && advice)
		fprintf(out, ". %s", advice);
	if (fclose(out) != 0)
		die("out of memory");
	return text;
}

/* Moves a member of the facts into the problem. */
static void move_member(cJSON *problem, cJSON *facts, const char *name)
{
	cJSON *member = cJSON_DetachItemFromObjectCaseSensitive(facts, name);

	if (member)
		cJSON_AddItemToObject(problem, name, member);
}

char *problem_print(const struct problem *problem)
{
	const struct outcome_row *row = outcome_row(problem->outcome);
	cJSON *object = or_die(cJSON_CreateObject()), *facts = problem->facts ? cJSON_Parse(problem->facts) : NULL;
	char type[64], *detail = problem_detail(problem, facts), *text;

	snprintf(type, sizeof(type), "/problems/%s", row->word);
	json_add_text(object, "type", type);
	json_add_text(object, "code", row->word);
	json_add_text(object, "title", row->title);
	json_add_number(object, "status", row->status);
	json_add_text(object, "detail", detail);
	json_add_text(object, "state", json_text(facts, "gate.state"));
	if (facts) {
		move_member(object, facts, "gate");
		move_member(object, facts, "lease");
	}
	text = json_print(object);
	cJSON_Delete(facts);
	cJSON_Delete(object);
	free(detail);
	return text;
}
