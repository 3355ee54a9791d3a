#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "clock.h"
#include "command.h"
#include "table.h"

enum { COLUMNS = 5, ANSWER_MS = 2 * 60 * 1000 };

/* All is what there was when the command began: when it asks again, because it was not answered, it does not mean what has come
 * since. */
static char *compose(const struct client *client, int64_t began_ms)
{
	const struct options *options = &client->options;
	int64_t passed_ms = clock_ms() - began_ms, older_than_ms = options->all ? passed_ms : options->older_than_ms;
	cJSON *body = or_die(cJSON_CreateObject());
	char text[DURATION_TEXT_MAX];

	if (older_than_ms > 0) {
		duration_format(older_than_ms, text);
		json_add_text(body, "older_than", text);
	} else {
		json_add_bool(body, "all", true);
	}
	json_add_text(body, "kind", options->kind);
	json_add_text(body, "gates", options->gates);
	json_add_text(body, "reason", options->reason);
	json_add_text(body, "holder", client->holder);
	return json_finish(body);
}

static enum outcome ask(struct client *client, struct reply *reply)
{
	struct reach reach = reach_begin(client);
	int64_t began_ms = clock_ms();

	for (;; reply_release(reply)) {
		char *body = compose(client, began_ms);
		bool answered = client_exchange(client,
			&(struct request){ .method = "POST", .path = "/v1/reap", .body = body, .answer_ms = ANSWER_MS },
			reply);

		free(body);
		if (!answered || reply->outcome != OUTCOME_UNAVAILABLE || !reach_again(client, &reach, reply))
			break;
	}
	return client_asked(client, reply);
}

/* "production,staging" */
static char *list_gates(const cJSON *lease)
{
	size_t size;
	char *text = NULL;
	FILE *out = or_die(open_memstream(&text, &size));

	for (const cJSON *gate = client_first(lease, "gates"); gate; gate = gate->next)
		fprintf(out, "%s%s", gate->valuestring, gate->next ? "," : "");
	fclose(out);
	return text;
}

static void print_leases(const cJSON *answer)
{
	static const char *const heads[COLUMNS] = { "GATES", "WHAT", "HOLDER", "AGE", "REASON" };
	struct table table;

	table_init(&table, COLUMNS);
	table_add(&table, heads);
	for (const cJSON *lease = client_first(answer, "leases"); lease; lease = lease->next) {
		char *gates = list_gates(lease), age[DURATION_TEXT_MAX];

		duration_say(json_number(lease, "created_ago_ms", 0), age);
		table_add(&table,
			(const char *[COLUMNS]){ gates, json_text(lease, "kind"), json_text(lease, "holder"), age,
				json_text(lease, "reason") });
		free(gates);
	}
	table_print(&table);
}

static int say_ended(struct client *client, const struct reply *reply)
{
	if (client->options.json)
		client_print_json(reply->body);
	else if (!client_first(reply->body, "leases"))
		report_say(&client->report, "nothing to end");
	else if (!client->options.quiet)
		print_leases(reply->body);
	return EXIT_SUCCESS;
}

int cmd_reap(struct client *client)
{
	const struct options *options = &client->options;
	struct reply reply;
	int code;

	if (options->all == (options->older_than_ms >= 0))
		return report_end(&client->report, EXIT_USAGE, "usage", "deploy-gate reap wants --older-than or --all");
	if (!options->reason)
		return report_end(
			&client->report, EXIT_USAGE, "usage", "deploy-gate reap wants a --reason, which is recorded");
	code = ask(client, &reply) == OUTCOME_OK ? say_ended(client, &reply) : client_end(client, &reply);
	reply_release(&reply);
	return code;
}
