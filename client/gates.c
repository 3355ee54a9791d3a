#include "gates.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/names.h"
#include "client.h"
#include "clock.h"
#include "waiting.h"

enum { PATH_MAX_BYTES = 2200 };

/* Somebody else's 200 must not let a job run. */
static enum outcome only_if_open(struct reply *reply)
{
	const char *state = reply->outcome == OUTCOME_OK ? json_text(reply->body, "state") : NULL;

	if (reply->outcome == OUTCOME_OK && (!state || strcmp(state, "open") != 0)) {
		reply->outcome = OUTCOME_INTERNAL;
		snprintf(reply->detail, sizeof(reply->detail), "the answer does not say that the gate is open");
	}
	return reply->outcome;
}

enum outcome gates_check(struct client *client, const char *gates, struct reply *reply)
{
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "/v1/gates/%s/check", gates);
	client_ask(client, &(struct request){ .method = "GET", .path = path }, reply);
	return only_if_open(reply);
}

/* What gates_wait composes its requests from. */
struct standing {
	const char *gates;
	char *holder, *job; /* escaped */
};

static void compose_wait(struct waiting *waiting, struct request *request, int64_t left_ms, int64_t slice_ms)
{
	const struct standing *standing = waiting->context;
	char timeout[DURATION_TEXT_MAX];

	(void)left_ms;
	duration_format(slice_ms, timeout);
	if (asprintf(&waiting->text, "/v1/gates/%s/wait?timeout=%s&holder=%s%s%s", standing->gates, timeout,
		    standing->holder, standing->job ? "&job=" : "", standing->job ? standing->job : "") < 0)
		die("out of memory");
	request->method = "GET";
	request->path = waiting->text;
}

enum outcome gates_wait(struct client *client, const char *gates, struct reply *reply)
{
	struct standing standing = {
		.gates = gates,
		.holder = http_escape(client->holder),
		.job = client->job ? http_escape(client->job) : NULL,
	};
	struct waiting waiting = {
		.deadline_ms = clock_ms() + client->options.wait_ms,
		.compose = compose_wait,
		.context = &standing,
	};

	waiting_ask(client, &waiting, reply);
	free(standing.holder);
	free(standing.job);
	return only_if_open(reply);
}

void gates_print_open(const cJSON *answer)
{
	if (answer)
		client_print_json(answer);
	else
		puts("{\"state\":\"open\"}");
}

enum outcome gates_look(struct client *client, const char *gate, struct reply *reply)
{
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "/v1/gates/%s", gate);
	return client_ask(client, &(struct request){ .method = "GET", .path = path }, reply);
}

bool gates_known(struct client *client, const char *gates, const cJSON *answer, int *code)
{
	static const char sentence[] = "nobody ever closed or declared %s%s; is the name right?";
	const char *which = strchr(gates, ',') ? "all of " : "";

	if (!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(answer, "known")))
		return true;
	if (client->options.require_known) {
		*code = report_end(
			&client->report, EXIT_USAGE, outcome_row(OUTCOME_NOT_FOUND)->word, sentence, which, gates);
		return false;
	}
	report_say(&client->report, sentence, which, gates);
	return true;
}

bool gates_known_ask(struct client *client, const struct gates *gates, int *code)
{
	bool known = true;

	for (unsigned i = 0; known && i < gates->count; i++) {
		const char *gate = gates_name(gates, i);
		struct reply reply;

		if (gates_look(client, gate, &reply) == OUTCOME_OK) {
			known = gates_known(client, gate, reply.body, code);
		} else {
			*code = client_end(client, &reply);
			known = false;
		}
		reply_release(&reply);
	}
	return known;
}
