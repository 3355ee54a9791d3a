#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"
#include "table.h"

enum { COLUMNS = 6, PATH_MAX_BYTES = 4096 };

static void print_events(const cJSON *answer)
{
	static const char *const heads[] = { "AT", "GATE", "WHAT", "HOLDER", "BY", "REASON" };
	static const char *const members[COLUMNS] = { "at", "gate", "kind", "holder", "by", "reason" };
	struct table table;
	const cJSON *event;

	table_init(&table, COLUMNS);
	table_add(&table, heads);
	for (event = client_first(answer, "events"); event; event = event->next) {
		const char *row[COLUMNS];

		for (unsigned i = 0; i < COLUMNS; i++)
			row[i] = json_text(event, members[i]);
		table_add(&table, row);
	}
	table_print(&table);
}

int cmd_history(struct client *client)
{
	const struct options *options = &client->options;
	char path[PATH_MAX_BYTES], *kind;
	const char *gate = options->argument[0];
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (gate && !gates_known_ask(client, client->gates, &code))
		return code;
	kind = options->kind ? http_escape(options->kind) : NULL;
	snprintf(path, sizeof(path), "/v1/events?limit=%" PRId64 "%s%s%s%s", options->limit, gate ? "&gate=" : "",
		gate ? gate : "", kind ? "&kind=" : "", kind ? kind : "");
	if (client_ask(client, &(struct request){ .method = "GET", .path = path }, &reply) != OUTCOME_OK)
		code = client_end(client, &reply);
	else if (options->json)
		client_print_json(reply.body);
	else
		print_events(reply.body);
	reply_release(&reply);
	free(kind);
	return code;
}
