#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"
#include "held.h"
#include "nested.h"

enum { PATH_MAX_BYTES = 256 };

/* What a gate is behind the window that ended: another deploy, or what shuts a gate above it, may have it by then. Who does not
 * answer at once is not waited for. */
static int say_what_it_is(struct client *client, const char *gates)
{
	int64_t reach_ms = client->options.reach_ms;
	struct reply reply;
	int code = EXIT_SUCCESS;

	client->options.reach_ms = 0;
	switch (gates_check(client, gates, &reply)) {
	case OUTCOME_OK:
		report_say(&client->report, "%s is open", gates);
		break;
	case OUTCOME_CLOSED:
		report_say(
			&client->report, "the window over %s has ended, but the gate is shut: %s", gates, reply.detail);
		break;
	default:
		if (client->interrupted)
			code = client_end(client, &reply);
		else
			report_say(&client->report, "the window over %s has ended", gates);
	}
	reply_release(&reply);
	client->options.reach_ms = reach_ms;
	return code;
}

static int say_opened(struct client *client, const char *gates, const struct reply *reply)
{
	if (client->options.json && reply->body)
		client_print_json(reply->body);
	else if (!client->options.quiet)
		return say_what_it_is(client, gates);
	return EXIT_SUCCESS;
}

/* Forgets the token for every gate of its window, of which the command line may have named one. */
static void forget(const struct client *client, const struct held *held, const struct lease *lease, const cJSON *body)
{
	const cJSON *gate;

	state_forget(&held->state, client->gates, lease->token);
	for (gate = client_first(body, "gates"); gate; gate = gate->next) {
		struct gates *one;
		struct fault unread;

		if (!cJSON_IsString(gate) || gates_parse(gate->valuestring, &one, &unread) != OUTCOME_OK)
			continue;
		state_forget(&held->state, one, lease->token);
		free(one);
	}
}

static int open_one(struct client *client, const struct held *held, const struct lease *lease)
{
	struct reply reply;
	int code = EXIT_SUCCESS;

	switch (lease_open(client, lease, client->options.failed, &reply)) {
	case OUTCOME_OK:
		forget(client, held, lease, reply.body);
		if (client->options.failed && !client->options.json)
			lease_say_held(client, lease);
		else
			code = say_opened(client, lease->gates, &reply);
		break;
	case OUTCOME_GONE:
	case OUTCOME_NOT_HOLDER:
		forget(client, held, lease, cJSON_GetObjectItemCaseSensitive(reply.body, "lease"));
		code = client_end(client, &reply);
		break;
	default:
		code = client_end(client, &reply);
	}
	reply_release(&reply);
	return code;
}

/* Opens all that is found; ends with the first failure. */
static int open_held(struct client *client)
{
	struct held held;
	int code = EXIT_SUCCESS;

	if (!held_find(client, &held, &code))
		return code;
	for (unsigned i = 0; i < held.count && !client->interrupted; i++) {
		int one = open_one(client, &held, &held.leases[i]);

		if (!code)
			code = one;
	}
	return code;
}

/* Ends the window that was seen, and no other that may have come since. */
static int force(struct client *client, const char *gate, const struct reply *seen)
{
	const char *lease = json_text(seen->body, "window.id");
	cJSON *body = or_die(cJSON_CreateObject());
	char path[PATH_MAX_BYTES];
	struct reply reply;
	int code;

	json_add_text(body, "reason", client->options.reason);
	json_add_text(body, "lease", lease);
	json_add_text(body, "holder", client->holder);
	snprintf(path, sizeof(path), "/v1/gates/%s/force-open", gate);
	if (client_send(client, &(struct request){ .method = "POST", .path = path }, body, &reply) == OUTCOME_OK)
		code = say_opened(client, gate, &reply);
	else
		code = client_end(client, &reply);
	reply_release(&reply);
	return code;
}

/* One that is full is open, and nobody's window is to be ended there. */
static bool is_open(const struct reply *seen)
{
	const char *state = json_text(seen->body, "state");

	return state && (strcmp(state, "open") == 0 || strcmp(state, "full") == 0);
}

static int force_one(struct client *client, const char *gate)
{
	struct reply reply;
	int code;

	if (gates_look(client, gate, &reply) != OUTCOME_OK)
		code = client_end(client, &reply);
	else if (gates_known(client, gate, reply.body, &code))
		code = is_open(&reply) ? say_opened(client, gate, &reply) : force(client, gate, &reply);
	reply_release(&reply);
	return code;
}

static int open_by_force(struct client *client)
{
	int code = EXIT_SUCCESS;

	if (client->options.failed || client->options.token_file)
		return report_end(&client->report, EXIT_USAGE, "usage",
			"--force ends whatever window there is, and takes no %s",
			client->options.failed ? "--failed" : "--token-file");
	if (!client->options.reason)
		return report_end(&client->report, EXIT_USAGE, "usage", "--force wants a --reason, which is recorded");
	for (unsigned i = 0; !code && i < client->gates->count; i++)
		code = force_one(client, gates_name(client->gates, i));
	return code;
}

int cmd_open(struct client *client)
{
	struct nested nested;
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (client->options.force)
		return open_by_force(client);
	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else {
		if (nested.closed[0])
			report_say(
				&client->report, "opening %s is left to the deploy that this runs in", nested.closed);
		if (nested.to_close[0]) {
			nested_narrow(client, &nested);
			code = open_held(client);
		} else {
			code = nested_print(client, &nested);
		}
	}
	reply_release(&reply);
	return code;
}
