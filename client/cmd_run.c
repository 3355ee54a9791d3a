#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "gates.h"
#include "nested.h"
#include "wrap.h"

/* Whether the command is to run although nobody answered. */
static bool runs_anyway(struct client *client, const struct reply *reply)
{
	if (client->interrupted || reply->outcome != OUTCOME_UNAVAILABLE ||
		strcmp(client->options.on_unreachable, "run") != 0)
		return false;
	report_say(&client->report, "running the command without knowing whether the gate is open: %s", reply->detail);
	return true;
}

/* Whether the way is free; if not, *code is what to end with. */
static bool may_run(struct client *client, struct nested *nested, int *code)
{
	const char *gates = client->options.argument[0];
	struct reply reply;
	bool free_way;
	enum outcome outcome = nested_look(client, gates, nested, &reply);

	if (outcome == OUTCOME_OK && nested->todo[0]) {
		reply_release(&reply);
		outcome = gates_wait(client, nested->todo, &reply);
		free_way = outcome == OUTCOME_OK && gates_known(client, nested->todo, reply.body, code);
	} else {
		free_way = outcome == OUTCOME_OK;
	}
	if (outcome != OUTCOME_OK) {
		free_way = runs_anyway(client, &reply);
		if (!free_way)
			*code = client_end(client, &reply);
	}
	reply_release(&reply);
	return free_way;
}

int cmd_run(struct client *client)
{
	struct nested nested;
	struct wrap_end end;
	int code = EXIT_INTERNAL;

	if (!may_run(client, &nested, &code))
		return code;
	if (!nested.inside)
		wrap_tell(NULL, client->options.argument[0], NULL, NULL);
	wrap_run(client, NULL, &end);
	return end.code;
}
