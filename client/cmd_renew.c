#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "held.h"

enum { PATH_MAX_BYTES = 128 };

/* Sends a change of a lease. A lease that the service does not know is one that ended long ago. */
static enum outcome change(
	struct client *client, const char *method, const char *path, cJSON *body, struct reply *reply)
{
	char *text = json_print(body);

	cJSON_Delete(body);
	client_ask(client, &(struct request){ .method = method, .path = path, .body = text }, reply);
	free(text);
	if (reply->outcome == OUTCOME_NOT_FOUND)
		reply->outcome = OUTCOME_GONE;
	return reply->outcome;
}

static int say_renewed(struct client *client, const struct lease *lease, const struct reply *reply)
{
	const char *at = json_text(reply->body, "expires_at");
	char left[DURATION_TEXT_MAX];

	duration_say(json_number(reply->body, "expires_in_ms", 0), left);
	if (client->options.json)
		client_print_json(reply->body);
	else
		report_say(&client->report, "%s stays shut for %s, until %s%s", lease->gates, left, at ? at : "?",
			cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply->body, "max_reached"))
				? ", and no longer (--max)"
				: "");
	return EXIT_SUCCESS;
}

static int renew_one(struct client *client, const struct lease *lease)
{
	cJSON *body = lease_token_json(lease);
	char path[PATH_MAX_BYTES];
	struct reply reply;
	int code;

	lease_add_duration(body, "ttl", client->options.ttl_ms);
	snprintf(path, sizeof(path), "/v1/leases/%s/renew", lease->id);
	code = change(client, "POST", path, body, &reply) == OUTCOME_OK ? say_renewed(client, lease, &reply)
									: client_end(client, &reply);
	reply_release(&reply);
	return code;
}

static int reason_one(struct client *client, const struct lease *lease)
{
	cJSON *body = lease_token_json(lease);
	char path[PATH_MAX_BYTES];
	struct reply reply;
	int code = EXIT_SUCCESS;

	json_add_text(body, "reason", client->options.argument[1]);
	snprintf(path, sizeof(path), "/v1/leases/%s", lease->id);
	if (change(client, "PATCH", path, body, &reply) != OUTCOME_OK)
		code = client_end(client, &reply);
	else if (client->options.json)
		client_print_json(reply.body);
	reply_release(&reply);
	return code;
}

static int each_held(struct client *client, int (*act)(struct client *, const struct lease *))
{
	struct held held;
	int code = EXIT_SUCCESS;

	if (!held_find(client, &held, &code))
		return code;
	for (unsigned i = 0; !code && i < held.count; i++)
		code = act(client, &held.leases[i]);
	return code;
}

int cmd_renew(struct client *client)
{
	return each_held(client, renew_one);
}

int cmd_reason(struct client *client)
{
	return each_held(client, reason_one);
}
