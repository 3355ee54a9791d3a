#include "held.h"

#include <string.h>

#include "client.h"
#include "secret.h"

static void add(struct held *held, const char *gates, const char *token)
{
	for (unsigned i = 0; i < held->count; i++)
		if (strcmp(held->leases[i].token, token) == 0)
			return;
	lease_init(&held->leases[held->count++], gates, token);
}

static bool recall(struct client *client, struct held *held, int *code)
{
	char token[TOKEN_MAX + 1];

	for (unsigned i = 0; i < client->gates->count; i++) {
		const char *gate = gates_name(client->gates, i);

		if (!state_recall(&held->state, gate, token)) {
			*code = report_end(&client->report, EXIT_USAGE, "usage",
				"no close of %s is remembered in %s; --token-file names its token", gate,
				held->state.directory);
			return false;
		}
		add(held, gate, token);
	}
	return true;
}

bool held_find(struct client *client, struct held *held, int *code)
{
	const char *file = client->options.token_file;
	char token[TOKEN_MAX + 1];
	struct fault fault;

	held->count = 0;
	if (state_init(&held->state, &fault) != OUTCOME_OK && !file) {
		*code = report_end(&client->report, EXIT_CONFIGURATION, "configuration", "%s", fault.detail);
		return false;
	}
	if (!file)
		return recall(client, held, code);
	if (token_file_read(file, &client->signals.before, token, &fault) != OUTCOME_OK) {
		*code = report_end(&client->report, EXIT_CONFIGURATION, "configuration", "%s", fault.detail);
		return false;
	}
	add(held, client->options.argument[0], token);
	return true;
}
