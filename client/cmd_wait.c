#include <stdlib.h>

#include "client.h"
#include "command.h"
#include "gates.h"
#include "nested.h"

static int wait_for(struct client *client, const char *gates, struct reply *reply)
{
	int code = EXIT_SUCCESS;

	if (gates_wait(client, gates, reply) != OUTCOME_OK)
		return client_end(client, reply);
	if (gates_known(client, gates, reply->body, &code) && client->options.json)
		gates_print_open(reply->body);
	return code;
}

int cmd_wait(struct client *client)
{
	struct nested nested;
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else if (nested.to_wait[0]) {
		reply_release(&reply);
		code = wait_for(client, nested.to_wait, &reply);
	} else if (client->options.json) {
		gates_print_open(NULL);
	}
	reply_release(&reply);
	return code;
}
