#include "lease.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/digest.h"
#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "clock.h"
#include "waiting.h"

enum { PATH_MAX_BYTES = 2200, GIVE_UP_MS = 2000, ANSWER_LEAST_MS = 2000, ANSWER_MOST_MS = 10 * 1000 };

/* What the requests of lease_close and lease_pass are composed from. */
struct asking {
	struct client *client;
	const struct lease *lease;
	const char *outer; /* token, or NULL */
	char path[PATH_MAX_BYTES];
};

void lease_init(struct lease *lease, const char *gates, const char *token)
{
	char digest[DIGEST_HEX_LEN + 1];

	digest_hex(token, digest);
	*lease = (struct lease){ .gates = gates };
	snprintf(lease->token, sizeof(lease->token), "%s", token);
	snprintf(lease->id, sizeof(lease->id), "%.*s", LEASE_ID_LEN, digest);
}

void lease_make(struct lease *lease, const char *gates, bool is_pass)
{
	char token[TOKEN_MADE_LEN + 1];

	token_make(token);
	lease_init(lease, gates, token);
	lease->is_pass = is_pass;
}

cJSON *lease_token_json(const struct lease *lease)
{
	cJSON *body = or_die(cJSON_CreateObject());

	json_add_text(body, "token", lease->token);
	return body;
}

/* How long an answer may take, so that a short reach is enough to ask at every address. */
static int64_t answer_within(const struct client *client)
{
	int64_t answer_ms = client->options.reach_ms / client->urls.count;

	if (answer_ms > ANSWER_MOST_MS)
		return ANSWER_MOST_MS;
	return answer_ms < ANSWER_LEAST_MS ? ANSWER_LEAST_MS : answer_ms;
}

/* A duration as the service reads it; none if absent. */
static void add_duration(cJSON *body, const char *name, int64_t ms)
{
	char text[DURATION_TEXT_MAX];

	if (ms < 0)
		return;
	duration_format(ms, text);
	json_add_text(body, name, text);
}

/* Ends a request whose members are all there. Takes the body. */
static void finish_request(
	struct waiting *waiting, struct request *request, cJSON *body, int64_t left_ms, int64_t slice_ms)
{
	const struct asking *asking = waiting->context;

	json_add_text(body, "holder", asking->client->holder);
	json_add_text(body, "reason", asking->client->options.reason);
	add_duration(body, "ttl", asking->client->options.ttl_ms);
	add_duration(body, "wait", left_ms);
	add_duration(body, "timeout", slice_ms);
	waiting->text = json_finish(body);
	request->method = "POST";
	request->path = asking->path;
	request->body = waiting->text;
	request->lease_token = asking->outer;
	request->answer_ms = answer_within(asking->client);
}

static void compose_close(struct waiting *waiting, struct request *request, int64_t left_ms, int64_t slice_ms)
{
	const struct asking *asking = waiting->context;
	const struct options *options = &asking->client->options;
	cJSON *body = lease_token_json(asking->lease);

	json_add_text(body, "release", options->release);
	json_add_text(body, "url", options->link);
	json_add_text(body, "on_drain", options->on_drain);
	json_add_text(body, "on_expiry", options->on_expiry);
	add_duration(body, "max", options->max_ms);
	add_duration(body, "drain", options->drain_ms);
	add_duration(body, "grace", options->grace_ms);
	finish_request(waiting, request, body, left_ms, slice_ms);
}

static void compose_pass(struct waiting *waiting, struct request *request, int64_t left_ms, int64_t slice_ms)
{
	const struct asking *asking = waiting->context;
	cJSON *body = lease_token_json(asking->lease);

	json_add_text(body, "job", asking->client->job);
	finish_request(waiting, request, body, left_ms, slice_ms);
}

enum outcome lease_end(
	struct client *client, const struct lease *lease, bool failed, int64_t within_ms, struct reply *reply)
{
	int64_t reach_ms = client->options.reach_ms;

	if (within_ms < reach_ms)
		client->options.reach_ms = within_ms > 0 ? within_ms : 0;
	if (lease->is_pass)
		lease_release(client, lease, reply);
	else
		lease_open(client, lease, failed, reply);
	client->options.reach_ms = reach_ms;
	return reply->outcome;
}

void lease_say_held(struct client *client, const struct lease *lease)
{
	report_say(&client->report,
		"%s stays shut behind the deploy that failed: the next one takes over, or `deploy-gate open %s --force "
		"--reason WHY` opens",
		lease->gates, lease->gates);
}

enum outcome lease_give_up(struct client *client, const struct lease *lease, bool failed)
{
	enum outcome outcome;
	int interrupted = client->interrupted;
	struct reply reply;

	client->interrupted = 0;
	outcome = lease_end(client, lease, failed, GIVE_UP_MS, &reply);
	reply_release(&reply);
	if (client->interrupted)
		outcome = OUTCOME_UNAVAILABLE;
	client->interrupted = interrupted;
	return outcome;
}

/* After a signal. The place of a pass ends with a request that waits no more, or else there is a pass to release; a window
 * is the service's to end from the first. */
static enum outcome give_place_up(struct asking *asking, struct waiting *waiting)
{
	struct client *client = asking->client;
	enum outcome outcome = OUTCOME_OK;
	int interrupted = client->interrupted;
	int64_t reach_ms = client->options.reach_ms;
	struct reply reply;

	if (asking->lease->is_pass) {
		client->interrupted = 0;
		client->options.reach_ms = reach_ms < GIVE_UP_MS ? reach_ms : GIVE_UP_MS;
		waiting->deadline_ms = clock_ms();
		outcome = waiting_ask(client, waiting, &reply);
		reply_release(&reply);
		if (client->interrupted)
			outcome = OUTCOME_UNAVAILABLE;
		client->options.reach_ms = reach_ms;
		client->interrupted = interrupted;
	}
	return outcome == OUTCOME_OK || outcome == OUTCOME_MADE ? lease_give_up(client, asking->lease, false) : outcome;
}

/* Whether the drain was over, in vain, before we asked again: then the lease that it was for has ended. */
static bool drained_in_vain(const struct reply *reply)
{
	const char *end = reply->outcome == OUTCOME_GONE ? json_text(reply->body, "lease.end") : NULL;

	return end && strcmp(end, outcome_row(OUTCOME_DRAIN_TIMEOUT)->word) == 0;
}

/* Asks until the lease is there; if a signal comes first it is given up again. */
static enum outcome ask_for(struct asking *asking, struct waiting *waiting, struct reply *reply)
{
	struct client *client = asking->client;
	enum outcome outcome;

	waiting->deadline_ms = clock_ms() + client->options.wait_ms;
	waiting->context = asking;
	snprintf(asking->path, sizeof(asking->path), "/v1/gates/%s/%s", asking->lease->gates,
		asking->lease->is_pass ? "pass" : "close");
	outcome = waiting_ask(client, waiting, reply);
	if (client->interrupted && give_place_up(asking, waiting) == OUTCOME_UNAVAILABLE)
		outcome = OUTCOME_UNAVAILABLE;
	if (drained_in_vain(reply))
		outcome = reply->outcome = OUTCOME_DRAIN_TIMEOUT;
	return outcome;
}

enum outcome lease_close(struct client *client, const struct lease *lease, struct reply *reply)
{
	struct asking asking = { .client = client, .lease = lease };
	struct waiting waiting = { .through_draining = true, .compose = compose_close };

	return ask_for(&asking, &waiting, reply);
}

enum outcome lease_pass(struct client *client, const struct lease *lease, const char *outer, struct reply *reply)
{
	struct asking asking = { .client = client, .lease = lease, .outer = outer };
	struct waiting waiting = { .compose = compose_pass };

	return ask_for(&asking, &waiting, reply);
}

/* Sends a request about it, of which the body is taken. */
static enum outcome send(struct client *client, const char *method, const char *path, cJSON *body, struct reply *reply)
{
	const struct request request = { .method = method, .path = path, .answer_ms = answer_within(client) };

	return client_send(client, &request, body, reply);
}

enum outcome lease_open(struct client *client, const struct lease *lease, bool failed, struct reply *reply)
{
	char path[PATH_MAX_BYTES];
	cJSON *body = lease_token_json(lease);

	if (failed)
		json_add_text(body, "outcome", "failed");
	snprintf(path, sizeof(path), "/v1/gates/%s/open", lease->gates);
	return send(client, "POST", path, body, reply);
}

/* Likewise, a change of it. A lease that the service does not know is one that ended long ago. */
static enum outcome change(
	struct client *client, const char *method, const char *path, cJSON *body, struct reply *reply)
{
	if (send(client, method, path, body, reply) == OUTCOME_NOT_FOUND)
		reply->outcome = OUTCOME_GONE;
	return reply->outcome;
}

enum outcome lease_renew(struct client *client, const struct lease *lease, int64_t ttl_ms, struct reply *reply)
{
	cJSON *body = lease_token_json(lease);
	char path[PATH_MAX_BYTES];

	add_duration(body, "ttl", ttl_ms);
	snprintf(path, sizeof(path), "/v1/leases/%s/renew", lease->id);
	return change(client, "POST", path, body, reply);
}

enum outcome lease_release(struct client *client, const struct lease *lease, struct reply *reply)
{
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "/v1/leases/%s/release", lease->id);
	return change(client, "POST", path, lease_token_json(lease), reply);
}

enum outcome lease_set_reason(struct client *client, const struct lease *lease, const char *reason, struct reply *reply)
{
	cJSON *body = lease_token_json(lease);
	char path[PATH_MAX_BYTES];

	json_add_text(body, "reason", reason);
	snprintf(path, sizeof(path), "/v1/leases/%s", lease->id);
	return change(client, "PATCH", path, body, reply);
}

enum outcome lease_look(struct client *client, const struct lease *lease, struct reply *reply)
{
	char path[PATH_MAX_BYTES];

	snprintf(path, sizeof(path), "/v1/leases/%s", lease->id);
	return client_ask(client, &(struct request){ .method = "GET", .path = path }, reply);
}

int lease_print(struct client *client, const struct lease *lease)
{
	struct reply reply;
	int code = EXIT_SUCCESS;

	if (lease_look(client, lease, &reply) == OUTCOME_OK)
		client_print_json(reply.body);
	else
		code = client_end(client, &reply);
	reply_release(&reply);
	return code;
}

bool lease_is_live(const struct reply *reply)
{
	const char *state = reply->outcome == OUTCOME_OK ? json_text(reply->body, "state") : NULL;

	return state && strcmp(state, "ended") != 0;
}
