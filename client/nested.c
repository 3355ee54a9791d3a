#include "nested.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client.h"
#include "gates.h"

enum { PATH_MAX_BYTES = 2200 };

static void append(char list[static GATES_TEXT_MAX], const char *gate)
{
	size_t size = strlen(list);

	snprintf(list + size, GATES_TEXT_MAX - size, "%s%s", size ? "," : "", gate);
}

/* Whether a gate of that lease is this one or above it; or with reversed, this one or below it. */
static bool is_covered(const cJSON *lease, const char *gate, bool reversed)
{
	const cJSON *outer;

	for (outer = client_first(lease, "gates"); outer; outer = outer->next)
		if (cJSON_IsString(outer) &&
			(reversed ? gate_covers(gate, outer->valuestring) : gate_covers(outer->valuestring, gate)))
			return true;
	return false;
}

/* The service has the last word: whether the token of the window opens the gates that it covers at this instant. */
static enum outcome look_at_window(struct client *client, struct nested *nested, const struct lease *window,
	const cJSON *answer, struct reply *reply)
{
	char covered[GATES_TEXT_MAX] = "", path[PATH_MAX_BYTES];
	struct request request = { .method = "GET", .path = path, .lease_token = window->token };

	for (unsigned i = 0; i < client->gates->count; i++)
		if (is_covered(answer, gates_name(client->gates, i), false))
			append(covered, gates_name(client->gates, i));
	if (!covered[0])
		return OUTCOME_OK;
	snprintf(path, sizeof(path), "/v1/gates/%s/check", covered);
	if (client_ask(client, &request, reply) != OUTCOME_OK)
		return reply->outcome;
	for (unsigned i = 0; i < client->gates->count; i++)
		if (is_covered(answer, gates_name(client->gates, i), false))
			nested->places[i].window = window;
	return OUTCOME_OK;
}

/* Of a gate below one of the pass: whether what shuts it is above the pass too. That deploy waits for the pass, or the
 * pass itself fills the gate; any other deploy does not wait for it. */
static bool waits_for_pass(const cJSON *pass, const cJSON *gate)
{
	const char *state = json_text(gate, "state"), *by = json_text(gate, "closed_by");

	return state && by && strcmp(state, "open") != 0 && is_covered(pass, by, true);
}

/* A pass keeps deploys out of its gates and those above them, and not out of those below. */
static enum outcome look_at_pass(struct client *client, struct nested *nested, const cJSON *answer, struct reply *reply)
{
	for (unsigned i = 0; i < client->gates->count; i++) {
		const char *gate = gates_name(client->gates, i);
		struct nested_place *place = &nested->places[i];

		place->in_way |= is_covered(answer, gate, true) || is_covered(answer, gate, false);
		place->in_pass |= is_covered(answer, gate, true);
		if (place->in_pass || !is_covered(answer, gate, false))
			continue;
		if (gates_look(client, gate, reply) != OUTCOME_OK)
			return reply->outcome;
		place->in_pass = waits_for_pass(answer, reply->body);
		reply_release(reply);
	}
	return OUTCOME_OK;
}

/* Looks at one of the outer leases. OK with why: it means nothing. */
static enum outcome look_at(
	struct client *client, struct nested *nested, struct lease *lease, const char **why, struct reply *reply)
{
	enum outcome outcome = lease_look(client, lease, reply);
	const char *kind = json_text(reply->body, "kind");
	cJSON *answer = reply->body;

	*why = NULL;
	if (outcome == OUTCOME_NOT_FOUND || outcome == OUTCOME_GONE)
		*why = "the service knows no lease of it";
	else if (outcome == OUTCOME_OK && !lease_is_live(reply))
		*why = "its lease has ended";
	else if (outcome != OUTCOME_OK)
		return outcome;
	reply->body = NULL;
	lease->is_pass = kind && strcmp(kind, "pass") == 0;
	lease->is_kept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "was_attached"));
	if (*why)
		outcome = OUTCOME_OK;
	else if (lease->is_pass)
		outcome = look_at_pass(client, nested, answer, reply);
	else
		outcome = look_at_window(client, nested, lease, answer, reply);
	cJSON_Delete(answer);
	if (outcome != OUTCOME_CLOSED)
		return outcome;
	*why = "its lease does not open these gates";
	return OUTCOME_OK;
}

/* What it comes to, with all leases looked at. */
static void sum_up(const struct client *client, struct nested *nested)
{
	for (unsigned i = 0; i < client->gates->count; i++) {
		const struct nested_place *place = &nested->places[i];

		nested->inside |= place->window || place->in_pass;
		nested->in_way |= !place->window && place->in_way;
		if (!place->in_pass && place->window && (!nested->window || place->window < nested->window))
			nested->window = place->window;
	}
	for (unsigned i = 0; i < client->gates->count; i++) {
		const struct nested_place *place = &nested->places[i];
		const char *gate = gates_name(client->gates, i);

		append(place->window ? nested->closed : nested->to_close, gate);
		if (!place->window && !place->in_pass)
			append(nested->to_wait, gate);
		if (!place->in_pass && (!place->window || place->window == nested->window))
			append(nested->to_pass, gate);
	}
}

enum outcome nested_look(struct client *client, struct nested *nested, struct reply *reply)
{
	struct outers *outers = &nested->outers;

	*nested = (struct nested){ .inside = false };
	*reply = (struct reply){ .outcome = OUTCOME_OK };
	outers_read(client, outers);
	for (unsigned i = 0; i < outers->count;) {
		const char *why;

		reply_release(reply);
		if (look_at(client, nested, &outers->at[i], &why, reply) != OUTCOME_OK)
			return reply->outcome;
		if (why)
			outers_ignore(client, outers, i, why);
		else
			i++;
	}
	sum_up(client, nested);
	return OUTCOME_OK;
}

int nested_each_window(
	struct client *client, const struct nested *nested, int (*act)(struct client *, const struct lease *))
{
	int code = EXIT_SUCCESS;

	for (unsigned i = 0; !code && i < nested->outers.count; i++) {
		struct lease window = nested->outers.at[i];
		char gates[GATES_TEXT_MAX] = "";

		for (unsigned j = 0; j < client->gates->count; j++)
			if (nested->places[j].window == &nested->outers.at[i])
				append(gates, gates_name(client->gates, j));
		if (!gates[0])
			continue;
		window.gates = gates;
		code = act(client, &window);
	}
	return code;
}

int nested_print(struct client *client, const struct nested *nested)
{
	return client->options.json ? nested_each_window(client, nested, lease_print) : EXIT_SUCCESS;
}

void nested_narrow(struct client *client, const struct nested *nested)
{
	struct gates *rest;
	struct fault unread;

	if (gates_parse(nested->to_close, &rest, &unread) != OUTCOME_OK)
		return;
	free(client->gates);
	client->gates = rest;
	client->options.argument[0] = nested->to_close;
}
