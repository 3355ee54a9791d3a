#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"

enum { LISTED_MAX = 10 };

/* A line of its own: what it is about, and a sentence made by the caller. */
static FILE *begin_line(const char *label)
{
	printf("  %-9s ", label);
	return stdout;
}

static void line(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(const char *label, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(begin_line(label), format, arguments);
	va_end(arguments);
	putchar('\n');
}

/* What others wrote must not move the cursor of whoever reads it. */
static void put_text(FILE *out, const char *before, const char *text, const char *after)
{
	if (!text || !*text)
		return;
	fputs(before, out);
	for (; *text; text++)
		putc((unsigned char)*text < ' ' || *text == 127 ? ' ' : *text, out);
	fputs(after, out);
}

static void put_span(FILE *out, const char *before, const cJSON *of, const char *path, const char *after)
{
	int64_t ms = json_number(of, path, -1);
	char text[DURATION_TEXT_MAX];

	if (ms < 0)
		return;
	duration_say(ms < 1000 ? ms : ms / 1000 * 1000, text);
	fprintf(out, "%s%s%s", before, text, after);
}

static void put_holder(FILE *out, const cJSON *lease)
{
	const char *holder = json_text(lease, "holder");

	put_text(out, "", holder && *holder ? holder : "somebody unnamed", "");
	put_text(out, " (", json_text(lease, "reason"), ")");
}

static void put_job(FILE *out, const cJSON *job)
{
	put_text(out, "", json_text(job, "job"), " of ");
	put_holder(out, job);
	put_span(out, " for ", job, "created_ago_ms", "");
	put_span(out, " for ", job, "since_ago_ms", "");
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(job, "overrun")))
		fputs(", over whose head a deploy closed", out);
}

static void put_deploy(FILE *out, const cJSON *deploy)
{
	put_holder(out, deploy);
	put_span(out, " for ", deploy, "waiting_ms", "");
}

static void put_session(FILE *out, const cJSON *session)
{
	fprintf(out, "SQL session %" PRId64, json_number(session, "pid", 0));
	put_text(out, " of ", json_text(session, "user"), "");
	put_text(out, " in ", json_text(session, "application_name"), "");
	if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(session, "granted")))
		fputs(", which waits for the lock", out);
}

/* One line for each of a list, and one for those beyond. count: how many there are in all. */
static void list(const char *label, const cJSON *first, int64_t count, void (*put)(FILE *, const cJSON *))
{
	int64_t listed = 0;

	for (const cJSON *one = first; one && listed < LISTED_MAX; one = one->next, listed++) {
		put(begin_line(listed ? "" : label), one);
		putchar('\n');
	}
	if (listed < count)
		line(listed ? "" : label, "%s%" PRId64 "%s", listed ? "and " : "", count - listed,
			listed ? " more" : "");
}

static int length(const cJSON *first)
{
	int count = 0;

	for (; first; first = first->next)
		count++;
	return count;
}

static void say_sessions(const char *label, const cJSON *gate)
{
	const cJSON *outside = client_first(gate, "external");

	list(label, outside, length(outside), put_session);
}

static void say_jobs(const cJSON *gate)
{
	const cJSON *passes = cJSON_GetObjectItemCaseSensitive(gate, "passes");

	list("inside:", client_first(passes, "oldest"), json_number(passes, "count", 0), put_job);
}

/* Jobs, and the sessions that the gate's deploy waits for as for jobs; one that has not got its lock yet is not inside. */
static void say_inside(const cJSON *gate)
{
	const cJSON *granted = cJSON_GetObjectItemCaseSensitive(client_first(gate, "external"), "granted");

	say_jobs(gate);
	if (cJSON_IsFalse(granted))
		say_sessions("in line:", gate);
	else
		say_sessions(json_number(gate, "passes.count", 0) ? "" : "inside:", gate);
}

static void say_waiting(const cJSON *gate)
{
	const cJSON *waiting = cJSON_GetObjectItemCaseSensitive(gate, "waiting");
	const cJSON *jobs = cJSON_GetObjectItemCaseSensitive(waiting, "jobs");
	const cJSON *deploys = client_first(waiting, "deploys");

	list("in line:", deploys, length(deploys), put_deploy);
	list("waiting:", client_first(jobs, "oldest"), json_number(jobs, "count", 0), put_job);
}

/* How to end the sessions that are in the way. */
static void say_how_to_end(const cJSON *gate)
{
	for (const cJSON *one = client_first(gate, "external"); one; one = one->next)
		line("or end:", "psql -c \"SELECT pg_terminate_backend(%" PRId64 ")\"", json_number(one, "pid", 0));
}

static bool is_true(const cJSON *object, const char *member)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, member));
}

/* What holds an attached window remembers no token for `open`, also while its stream is broken. In a drain none is attached
 * yet. */
static void say_how_to_open(const char *name, const cJSON *window)
{
	const char *holder = json_text(window, "holder"), *state = json_text(window, "state");
	FILE *out = begin_line("to open:");

	if (is_true(window, "attached")) {
		fputs("its deploy, when it ends\n", out);
	} else if (is_true(window, "was_attached")) {
		fputs("its deploy, which the service does not hear of now\n", out);
	} else if (state && strcmp(state, "draining") == 0) {
		fprintf(out, "its deploy, by giving up; if closed by hand: deploy-gate open %s\n", name);
	} else {
		put_text(out, "", holder, "");
		fprintf(out, "%sdeploy-gate open %s\n", holder ? ": " : "who closed it: ", name);
	}
	line("", "an operator: deploy-gate open %s --force --reason WHY", name);
}

static void explain_open(const char *name, const cJSON *gate)
{
	int64_t limit = json_number(gate, "passes.limit", 0);

	printf("%s is open.\n", name);
	if (limit)
		line("limit:", "%" PRId64 " of %" PRId64 " jobs are inside", json_number(gate, "passes.count", 0),
			limit);
	say_jobs(gate);
	/* They shut it to nobody, but keep it from being closed. */
	say_sessions("below:", gate);
	say_how_to_end(gate);
}

static void explain_full(const char *name, const cJSON *gate)
{
	printf("%s is full: it is open, but as many jobs are inside as may be.\n", name);
	line("limit:", "%" PRId64, json_number(gate, "passes.limit", 0));
	say_jobs(gate);
	line("to admit:", "an operator: deploy-gate gate %s --limit N", name);
}

static const struct {
	const char *word, *sentence;
} drain_ends[] = {
	{ "abort", "; who is inside then makes the deploy give up, and it opens" },
	{ "proceed", "; then it closes over whoever is inside" },
	{ "stop", "; then jobs are told to end, and it closes" },
};

static void explain_draining(const char *name, const cJSON *gate)
{
	const cJSON *window = cJSON_GetObjectItemCaseSensitive(gate, "window");
	const char *on_drain = json_text(window, "on_drain");
	FILE *out;

	printf("%s is draining: nobody gets in, and a deploy waits for those inside.\n", name);
	out = begin_line("deploy:");
	put_holder(out, window);
	put_span(out, ", waiting for ", window, "created_ago_ms", "");
	putchar('\n');
	if (json_number(window, "drain_in_ms", -1) >= 0) {
		put_span(begin_line("until:"), "for another ", window, "drain_in_ms", "");
		for (size_t i = 0; on_drain && i < sizeof(drain_ends) / sizeof(*drain_ends); i++)
			if (strcmp(drain_ends[i].word, on_drain) == 0)
				fputs(drain_ends[i].sentence, stdout);
		putchar('\n');
	}
	say_inside(gate);
	say_how_to_open(name, window);
	say_how_to_end(gate);
}

/* Nobody but who holds the lock: a session of plain SQL. */
static void explain_external(const char *name, const cJSON *gate)
{
	printf("%s is closed by plain SQL: no deploy of the service holds it.\n", name);
	say_sessions("by:", gate);
	line("until:", "that session unlocks or ends");
	line("to open:", "the session itself: SELECT deploy_gate.open_here('%s'), or what undoes its lock", name);
	say_how_to_end(gate);
}

/* The window is over, and the gate opens by itself. */
static void explain_grace(const char *name, const cJSON *gate)
{
	const cJSON *window = cJSON_GetObjectItemCaseSensitive(gate, "window");
	FILE *out;

	printf("%s is closed for a moment longer: its deploy vanished, and what it ran may still be at work.\n", name);
	out = begin_line("deploy:");
	put_holder(out, window);
	put_span(out, ", ended ", window, "ended_ago_ms", " ago");
	putchar('\n');
	put_span(begin_line("until:"), "it opens in ", window, "opens_in_ms", "\n");
	line("to open:", "an operator: deploy-gate open %s --force --reason WHY", name);
}

static void say_until(const cJSON *gate, const cJSON *window)
{
	FILE *out = begin_line("until:");

	fputs("its deploy opens it", out);
	if (json_number(gate, "eta_ms", -1) == 0)
		fputs(", which takes longer than usual", out);
	else
		put_span(out, ", as a rule in ", gate, "eta_ms", "");
	if (is_true(window, "attached"))
		put_span(out, "; were that to vanish, in ", window, "expires_in_ms", "");
	else if (is_true(window, "was_attached"))
		put_span(out, "; unless that is heard of again, in ", window, "expires_in_ms", "");
	else
		put_span(out, "; unless renewed, in ", window, "expires_in_ms", "");
	putchar('\n');
}

static void explain_closed(const char *name, const cJSON *gate)
{
	const cJSON *window = cJSON_GetObjectItemCaseSensitive(gate, "window");
	FILE *out;

	if (!cJSON_IsObject(window)) {
		explain_external(name, gate);
		return;
	}
	if (json_text(window, "ended_at")) {
		explain_grace(name, gate);
		return;
	}
	printf("%s is closed by a deploy.\n", name);
	out = begin_line("by:");
	put_holder(out, window);
	put_span(out, ", for ", window, "closed_ago_ms", "");
	put_text(out, ", release ", json_text(window, "release"), "");
	putchar('\n');
	put_text(stdout, "  link:     ", json_text(window, "url"), "\n");
	say_until(gate, window);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(window, "contested")))
		line("but:", "it has not got the lock, which plain SQL sessions have");
	say_inside(gate);
	say_how_to_open(name, window);
}

/* What crashed together is taken over together. */
static void say_taken_over(const cJSON *window)
{
	const cJSON *gates = client_first(window, "gates");
	FILE *out = begin_line("until:");

	fputs("the next deploy ", out);
	for (const cJSON *gate = length(gates) > 1 ? gates : NULL; gate; gate = gate->next)
		put_text(out, gate == gates ? "that closes all of " : "", cJSON_GetStringValue(gate),
			gate->next ? ", " : " ");
	fputs("takes it over, or a person opens it\n", out);
}

static void explain_crashed(const char *name, const cJSON *gate)
{
	const cJSON *window = cJSON_GetObjectItemCaseSensitive(gate, "window");
	const char *end = json_text(window, "end");
	FILE *out;

	printf("%s is crashed: its deploy did not end well, and asked that it stay shut.\n", name);
	out = begin_line("deploy:");
	put_holder(out, window);
	put_text(out, ", ", end, "");
	put_span(out, " ", window, "ended_ago_ms", " ago");
	put_text(out, ": ", json_text(window, "end_reason"), "");
	putchar('\n');
	say_taken_over(window);
	line("to open:", "an operator, having looked: deploy-gate open %s --force --reason WHY", name);
}

static const struct {
	const char *state;
	void (*explain)(const char *name, const cJSON *gate);
} states[] = {
	{ "open", explain_open },
	{ "full", explain_full },
	{ "draining", explain_draining },
	{ "closed", explain_closed },
	{ "crashed", explain_crashed },
};

/* gate: what was asked about. by: the one that shuts it, which may be the same. */
static void explain(const cJSON *gate, const cJSON *by)
{
	const char *name = json_text(gate, "name"), *culprit = json_text(by, "name"), *state = json_text(by, "state");

	if (name && culprit && strcmp(name, culprit) != 0)
		printf("%s is shut because one above it is:\n", name);
	for (size_t i = 0; culprit && state && i < sizeof(states) / sizeof(*states); i++)
		if (strcmp(states[i].state, state) == 0)
			states[i].explain(culprit, by);
	say_waiting(gate);
}

/* The gate that shuts this one has the facts about who is inside; asked for where it is another. */
static int explain_with(struct client *client, const cJSON *gate)
{
	const char *name = json_text(gate, "name"), *by = json_text(gate, "closed_by");
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (!by || !name || strcmp(by, name) == 0) {
		explain(gate, gate);
		return code;
	}
	if (gates_look(client, by, &reply) == OUTCOME_OK)
		explain(gate, reply.body);
	else
		code = client_end(client, &reply);
	reply_release(&reply);
	return code;
}

int cmd_explain(struct client *client)
{
	const char *gate = gates_name(client->gates, 0);
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (gates_look(client, gate, &reply) != OUTCOME_OK)
		code = client_end(client, &reply);
	else if (gates_known(client, gate, reply.body, &code) && !client->options.json)
		code = explain_with(client, reply.body);
	else if (!code)
		client_print_json(reply.body);
	reply_release(&reply);
	return code;
}
