#include "nested.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client.h"

enum { PATH_MAX_BYTES = 2200 };

static void append(char list[static GATES_TEXT_MAX], const char *gate)
{
	size_t size = strlen(list);

	snprintf(list + size, GATES_TEXT_MAX - size, "%s%s", size ? "," : "", gate);
}

/* Whether a gate of the outer lease is this one or above it; or with reversed, this one or below it. */
static bool is_covered(const cJSON *answer, const char *gate, bool reversed)
{
	const cJSON *outer;

	for (outer = client_first(answer, "gates"); outer; outer = outer->next)
		if (cJSON_IsString(outer) &&
			(reversed ? gate_covers(gate, outer->valuestring) : gate_covers(outer->valuestring, gate)))
			return true;
	return false;
}

/* Sorts the gates into those that the outer lease covers and the rest. */
static void sort_gates(struct nested *nested, const char *text, const cJSON *answer)
{
	struct gates *gates;
	struct fault unread;

	if (gates_parse(text, &gates, &unread) != OUTCOME_OK)
		return;
	for (unsigned i = 0; i < gates->count; i++) {
		const char *gate = gates_name(gates, i);

		append(is_covered(answer, gate, false) ? nested->covered : nested->rest, gate);
		nested->in_way |=
			nested->is_pass && (is_covered(answer, gate, false) || is_covered(answer, gate, true));
	}
	free(gates);
}

static enum outcome ignore(struct client *client, const char *why)
{
	report_say(&client->report, "DEPLOY_GATE_TOKEN is ignored: %s", why);
	unsetenv("DEPLOY_GATE_TOKEN"); /* or every command in a script would say so again */
	return OUTCOME_OK;
}

/* The service has the last word: whether the token opens these gates at this instant. */
static enum outcome confirm(struct client *client, struct nested *nested, struct reply *reply)
{
	char path[PATH_MAX_BYTES];
	struct request request = { .method = "GET", .path = path, .lease_token = nested->outer.token };

	snprintf(path, sizeof(path), "/v1/gates/%s/check", nested->covered);
	reply_release(reply);
	switch (client_ask(client, &request, reply)) {
	case OUTCOME_OK:
		nested->inside = true;
		nested->todo = nested->rest;
		return OUTCOME_OK;
	case OUTCOME_CLOSED:
		return ignore(client, "its lease does not open these gates");
	default:
		return reply->outcome;
	}
}

enum outcome nested_look(struct client *client, const char *gates, struct nested *nested, struct reply *reply)
{
	const char *token = getenv("DEPLOY_GATE_TOKEN"), *kind;
	struct fault unread;

	*nested = (struct nested){ .todo = gates };
	*reply = (struct reply){ .outcome = OUTCOME_OK };
	if (!token || !*token)
		return OUTCOME_OK;
	if (token_check(token, &unread) != OUTCOME_OK)
		return ignore(client, "it is no lease token");
	lease_init(&nested->outer, gates, token);
	switch (lease_look(client, &nested->outer, reply)) {
	case OUTCOME_OK:
		break;
	case OUTCOME_NOT_FOUND:
	case OUTCOME_GONE:
		return ignore(client, "the service knows no lease of it");
	default:
		return reply->outcome;
	}
	if (!lease_is_live(reply))
		return ignore(client, "its lease has ended");
	kind = json_text(reply->body, "kind");
	nested->is_pass = kind && strcmp(kind, "pass") == 0;
	sort_gates(nested, gates, reply->body);
	if (!nested->covered[0])
		return OUTCOME_OK;
	if (!nested->is_pass)
		return confirm(client, nested, reply);
	nested->inside = true;
	nested->todo = nested->rest;
	return OUTCOME_OK;
}

void nested_narrow(struct client *client, const struct nested *nested)
{
	struct gates *rest;
	struct fault unread;

	if (!nested->inside || gates_parse(nested->todo, &rest, &unread) != OUTCOME_OK)
		return;
	free(client->gates);
	client->gates = rest;
	client->options.argument[0] = nested->todo;
}
