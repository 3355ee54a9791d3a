#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "held.h"

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
	struct reply reply;
	bool renewed = lease_renew(client, lease, client->options.ttl_ms, &reply) == OUTCOME_OK;
	int code = renewed ? say_renewed(client, lease, &reply) : client_end(client, &reply);

	reply_release(&reply);
	return code;
}

static int reason_one(struct client *client, const struct lease *lease)
{
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (lease_set_reason(client, lease, client->options.argument[1], &reply) != OUTCOME_OK)
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
