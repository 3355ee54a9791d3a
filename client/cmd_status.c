#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"
#include "table.h"

enum { COLUMNS = 9, CELL_MAX = 320, PATH_MAX_BYTES = 512 };

/* "4m 10s ago", "in 25m", or nothing where the member is absent. */
static void say_time(char cell[static CELL_MAX], const cJSON *gate, const char *path, const char *format)
{
	int64_t ms = json_number(gate, path, -1);
	char text[DURATION_TEXT_MAX];

	cell[0] = '\0';
	if (ms < 0)
		return;
	duration_say(ms < 1000 ? ms : ms / 1000 * 1000, text);
	snprintf(cell, CELL_MAX, "%s%s%s", *format == '+' ? "in " : "", text, *format == '-' ? " ago" : "");
}

/* Who shuts the gate: a deploy, named or not, or somebody in plain SQL. */
static void say_holder(char cell[static CELL_MAX], const cJSON *gate)
{
	const cJSON *outsider = client_first(gate, "external");
	const char *holder = json_text(gate, "window.holder"), *state = json_text(gate, "state");
	const char *application = outsider ? json_text(outsider, "application_name") : NULL;

	cell[0] = '\0';
	if (holder)
		snprintf(cell, CELL_MAX, "%s", holder);
	else if (outsider && !json_text(gate, "window.id") && state && strcmp(state, "closed") == 0)
		snprintf(cell, CELL_MAX, "SQL: %s (pid %" PRId64 ")",
			application && *application ? application : json_text(outsider, "user"),
			json_number(outsider, "pid", 0));
}

static void say_waiting(char cell[static CELL_MAX], const cJSON *gate)
{
	int64_t jobs = json_number(gate, "waiting.jobs.count", 0);
	const cJSON *waiting = cJSON_GetObjectItemCaseSensitive(gate, "waiting");
	int deploys = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(waiting, "deploys"));
	size_t size = 0;

	cell[0] = '\0';
	if (jobs)
		size = (size_t)snprintf(cell, CELL_MAX, "%" PRId64 " job%s", jobs, jobs == 1 ? "" : "s");
	if (deploys)
		snprintf(cell + size, CELL_MAX - size, "%s%d deploy%s", size ? ", " : "", deploys,
			deploys == 1 ? "" : "s");
}

/* How many jobs hold passes there, of how many that may. */
static void say_inside(char cell[static CELL_MAX], const cJSON *gate)
{
	int64_t count = json_number(gate, "passes.count", 0), limit = json_number(gate, "passes.limit", -1);

	cell[0] = '\0';
	if (limit >= 0)
		snprintf(cell, CELL_MAX, "%" PRId64 " of %" PRId64, count, limit);
	else if (count)
		snprintf(cell, CELL_MAX, "%" PRId64, count);
}

static void say_state(char cell[static CELL_MAX], const cJSON *gate)
{
	const char *state = json_text(gate, "state"), *by = json_text(gate, "closed_by"),
		   *name = json_text(gate, "name");

	if (by && name && strcmp(by, name) != 0)
		snprintf(cell, CELL_MAX, "%s by %s", state ? state : "?", by);
	else
		snprintf(cell, CELL_MAX, "%s", state ? state : "?");
}

/* When it opens, or in a drain closes, at the latest: a crashed one does not, and the lease of what ended means nothing. */
static void say_until(char cell[static CELL_MAX], const cJSON *gate)
{
	const char *state = json_text(gate, "state"), *path = "window.expires_in_ms";

	cell[0] = '\0';
	if (state && strcmp(state, "crashed") == 0)
		return;
	if (state && strcmp(state, "draining") == 0)
		path = "window.drain_in_ms";
	else if (json_text(gate, "window.ended_at"))
		path = "window.opens_in_ms";
	say_time(cell, gate, path, "+");
}

static void add_gate(struct table *table, const cJSON *gate)
{
	char state[CELL_MAX], holder[CELL_MAX], since[CELL_MAX], until[CELL_MAX], inside[CELL_MAX], waiting[CELL_MAX],
		fence[CELL_MAX] = "";
	int64_t number = json_number(gate, "window.fence", json_number(gate, "fence", 0));

	say_state(state, gate);
	say_holder(holder, gate);
	say_time(since, gate,
		json_number(gate, "window.closed_ago_ms", -1) >= 0 ? "window.closed_ago_ms" : "window.created_ago_ms",
		"-");
	say_until(until, gate);
	say_inside(inside, gate);
	say_waiting(waiting, gate);
	if (number)
		snprintf(fence, sizeof(fence), "%" PRId64, number);
	table_add(table,
		(const char *[]){ json_text(gate, "name"), state, holder, json_text(gate, "window.reason"), since,
			until, fence, inside, waiting });
}

static void print_gates(const struct client *client, const cJSON *gates)
{
	static const char *const heads[] = { "GATE", "STATE", "HOLDER", "REASON", "SINCE", "UNTIL", "FENCE", "INSIDE",
		"WAITING" };
	struct table table;
	const cJSON *gate;

	if (client->options.json) {
		cJSON *answer = or_die(cJSON_CreateObject());

		cJSON_AddItemReferenceToObject(answer, "gates", (cJSON *)gates);
		client_print_json(answer);
		cJSON_Delete(answer);
		return;
	}
	table_init(&table, COLUMNS);
	table_add(&table, heads);
	for (gate = gates->child; gate; gate = gate->next)
		add_gate(&table, gate);
	table_print(&table);
}

/* Adds the gates that were named. */
static bool ask_named(struct client *client, cJSON *gates, int *code)
{
	for (unsigned i = 0; i < client->gates->count; i++) {
		const char *name = gates_name(client->gates, i);
		struct reply reply;

		if (gates_look(client, name, &reply) != OUTCOME_OK)
			*code = client_end(client, &reply);
		else if (gates_known(client, name, reply.body, code)) {
			cJSON_AddItemToArray(gates, reply.body);
			continue;
		}
		reply_release(&reply);
		return false;
	}
	return true;
}

/* Moves the gates of one page; the name to go on after is in path, or the path is left empty at the end. */
static void take_page(cJSON *gates, const cJSON *body, char path[static PATH_MAX_BYTES])
{
	cJSON *page = cJSON_GetObjectItemCaseSensitive(body, "gates");
	const char *next = json_text(body, "next");

	while (page && page->child)
		cJSON_AddItemToArray(gates, cJSON_DetachItemViaPointer(page, page->child));
	path[0] = '\0';
	if (next) {
		char *after = http_escape(next);

		snprintf(path, PATH_MAX_BYTES, "/v1/gates?limit=1000&after=%s", after);
		free(after);
	}
}

static bool ask_all(struct client *client, cJSON *gates, int *code)
{
	char path[PATH_MAX_BYTES] = "/v1/gates?limit=1000";

	while (path[0]) {
		struct reply reply;

		if (client_ask(client, &(struct request){ .method = "GET", .path = path }, &reply) != OUTCOME_OK) {
			*code = client_end(client, &reply);
			reply_release(&reply);
			return false;
		}
		take_page(gates, reply.body, path);
		reply_release(&reply);
	}
	return true;
}

int cmd_status(struct client *client)
{
	cJSON *gates = or_die(cJSON_CreateArray());
	int code = EXIT_SUCCESS;

	if (client->gates ? ask_named(client, gates, &code) : ask_all(client, gates, &code))
		print_gates(client, gates);
	cJSON_Delete(gates);
	return code;
}
