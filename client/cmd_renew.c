#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "held.h"
#include "nested.h"

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

/* What a wrapper keeps needs no renewal, and with a longer TTL would outlive it. */
static int renew_one(struct client *client, const struct lease *lease)
{
	struct reply reply;
	int code;

	if (lease->is_kept) {
		report_say(&client->report, "%s is kept shut by the deploy that this runs in", lease->gates);
		return client->options.json ? lease_print(client, lease) : EXIT_SUCCESS;
	}
	if (lease_renew(client, lease, client->options.ttl_ms, &reply) == OUTCOME_OK)
		code = say_renewed(client, lease, &reply);
	else
		code = client_end(client, &reply);
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

/* Of the window of a token file; else of those that we run inside of, and of those remembered for the rest. */
static int each(struct client *client, int (*act)(struct client *, const struct lease *))
{
	struct nested nested;
	struct reply reply;
	int code;

	if (client->options.token_file)
		return each_held(client, act);
	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else {
		code = nested_each_window(client, &nested, act);
		if (!code && nested.to_close[0]) {
			nested_narrow(client, &nested);
			code = each_held(client, act);
		}
	}
	reply_release(&reply);
	return code;
}

int cmd_renew(struct client *client)
{
	return each(client, renew_one);
}

int cmd_reason(struct client *client)
{
	return each(client, reason_one);
}
