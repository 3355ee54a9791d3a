#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"
#include "nested.h"

/* answer: as of gates_print_open. */
static int say_open(struct client *client, const cJSON *answer)
{
	if (client->options.json)
		gates_print_open(answer);
	else if (!client->options.quiet)
		puts("open");
	return EXIT_SUCCESS;
}

/* Shut is an answer and no failure: 1. */
static int say_shut(struct client *client, const struct reply *reply)
{
	const char *state = json_text(reply->body, "gate.state");
	const struct outcome_row *row = outcome_row(reply->outcome);

	if (!state)
		state = row->word;
	if (client->options.json)
		client_print_json(reply->body);
	else if (!client->options.quiet)
		puts(state);
	return report_answer(&client->report, EXIT_SHUT, state, reply->detail[0] ? reply->detail : row->title);
}

static int check(struct client *client, const char *gates, struct reply *reply)
{
	int code;

	switch (gates_check(client, gates, reply)) {
	case OUTCOME_OK:
		return gates_known(client, gates, reply->body, &code) ? say_open(client, reply->body) : code;
	case OUTCOME_CLOSED:
	case OUTCOME_FULL:
		return say_shut(client, reply);
	default:
		return client_end(client, reply);
	}
}

int cmd_check(struct client *client)
{
	struct nested nested;
	struct reply reply;
	int code;

	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else if (!nested.to_wait[0]) {
		code = say_open(client, NULL);
	} else {
		reply_release(&reply);
		code = check(client, nested.to_wait, &reply);
	}
	reply_release(&reply);
	return code;
}
