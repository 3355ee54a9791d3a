#include "http/calls.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/advice.h"
#include "base/die.h"
#include "base/digest.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/names.h"
#include "config.h"
#include "gate/keeper.h"
#include "http/decode.h"
#include "http/request.h"
#include "http/route.h"

enum { WAIT_DEFAULT_MS = 30 * 1000, MAX_DEFAULT_MS = 4 * 60 * 60 * 1000 };

/* The gates that the path names. */
static enum outcome read_gates(struct request *request, struct gates **gates, struct fault *fault)
{
	char *text = or_die(strndup(request->capture, request->capture_size));
	enum outcome outcome = decode_percent("path", text, false, fault);

	if (outcome == OUTCOME_OK)
		outcome = gates_parse(text, gates, fault);
	free(text);
	return outcome;
}

/* Whom a check or a wait acts as: the token's digest goes into request->inside. */
static enum outcome read_inside(struct request *request, struct fault *fault)
{
	const char *token = request->headers.lease_token;
	enum outcome outcome;

	if (!token)
		return OUTCOME_OK;
	outcome = token_check(token, fault);
	if (outcome != OUTCOME_OK)
		return outcome;
	request->inside = or_die(malloc(DIGEST_HEX_LEN + 1));
	digest_hex(token, request->inside);
	return OUTCOME_OK;
}

enum outcome call_check(struct request *request, struct fault *fault)
{
	struct gates *gates;
	enum outcome outcome = read_inside(request, fault);

	if (outcome == OUTCOME_OK)
		outcome = read_gates(request, &gates, fault);
	if (outcome != OUTCOME_OK)
		return outcome;
	outcome = request_hand_over(request, STAY_MOMENT, fault);
	if (outcome != OUTCOME_OK) {
		free(gates);
		return outcome;
	}
	keeper_check(request->desk->keeper, &request->call, gates, request->inside);
	return OUTCOME_OK;
}

/* Reads and bounds how long one answer may take. */
static enum outcome bound_timeout(const struct request *request, int64_t *timeout_ms, struct fault *fault)
{
	int64_t most = request->desk->config->max_wait_ms;
	char text[DURATION_TEXT_MAX];

	if (*timeout_ms <= most)
		return OUTCOME_OK;
	duration_format(most, text);
	return fault_set(fault, OUTCOME_BAD_REQUEST, "timeout: at most %s (setting max-wait); " ADVICE_IN_STEPS, text);
}

static enum outcome read_timeout(const struct request *request, int64_t *timeout_ms, struct fault *fault)
{
	const char *text = params_value(&request->params, "timeout");
	enum outcome outcome;

	*timeout_ms = WAIT_DEFAULT_MS;
	if (!text) {
		if (*timeout_ms > request->desk->config->max_wait_ms)
			*timeout_ms = request->desk->config->max_wait_ms;
		return OUTCOME_OK;
	}
	outcome = duration_parse("timeout", text, true, timeout_ms, fault);
	return outcome == OUTCOME_OK ? bound_timeout(request, timeout_ms, fault) : outcome;
}

/* The texts that tell others who waits. */
static enum outcome read_waiter(const struct request *request, struct wait_terms *terms, struct fault *fault)
{
	enum outcome outcome = OUTCOME_OK;

	terms->inside = request->inside;
	terms->holder = params_value(&request->params, "holder");
	terms->job = params_value(&request->params, "job");
	if (terms->holder)
		outcome = text_check("holder", terms->holder, fault);
	if (outcome == OUTCOME_OK && terms->job)
		outcome = text_check("job", terms->job, fault);
	return outcome;
}

enum outcome call_wait(struct request *request, struct fault *fault)
{
	char room[REQUEST_ID_ROOM];
	struct wait_terms terms = { .id = request_id(request, room) };
	struct gates *gates = NULL;
	enum outcome outcome = read_inside(request, fault);

	if (outcome == OUTCOME_OK)
		outcome = read_timeout(request, &terms.timeout_ms, fault);
	if (outcome == OUTCOME_OK)
		outcome = read_waiter(request, &terms, fault);
	if (outcome == OUTCOME_OK)
		outcome = read_gates(request, &gates, fault);
	if (outcome == OUTCOME_OK)
		outcome = request_hand_over(request, STAY_LONG, fault);
	if (outcome != OUTCOME_OK) {
		free(gates);
		return outcome;
	}
	keeper_wait(request->desk->keeper, &request->call, gates, &terms);
	return OUTCOME_OK;
}

/* Adds what the path names: "gates" as a list, "gate" or "id" as a text. */
static enum outcome fill_capture(struct request *request, cJSON *object, struct fault *fault)
{
	const char *pattern = request->route->pattern;
	bool many = strstr(pattern, "{gates}") != NULL, one = strstr(pattern, "{gate}") != NULL;
	struct gates *gates;
	enum outcome outcome;

	if (strstr(pattern, "{id}")) {
		static const struct param id[] = { { "id", PARAM_ID, "id", 0, 0, 0, NULL }, { 0 } };
		char *value = or_die(strndup(request->capture, request->capture_size)), *values[] = { value };

		outcome = params_fill(&(struct params){ .table = id, .values = values }, object, fault);
		free(value);
		return outcome;
	}
	if (!many && !one)
		return OUTCOME_OK;
	outcome = read_gates(request, &gates, fault);
	if (outcome != OUTCOME_OK)
		return outcome;
	if (one && gates->count > 1)
		outcome = fault_set(fault, OUTCOME_BAD_REQUEST, "one gate at a time, please: this route takes no list");
	else if (one)
		json_add_text(object, "gate", gates_name(gates, 0));
	if (many)
		json_add_gates(object, "gates", gates);
	free(gates);
	return outcome;
}

/* Makes the request object of the route from path and parameters. */
static enum outcome make_object(struct request *request, cJSON **object, struct fault *fault)
{
	const char *token = request->headers.lease_token;
	enum outcome outcome = OUTCOME_OK;

	*object = or_die(cJSON_CreateObject());
	if (token && params_knows(&request->params, "token"))
		outcome = params_add(&request->params, "token", token, fault);
	if (outcome == OUTCOME_OK)
		outcome = fill_capture(request, *object, fault);
	if (outcome == OUTCOME_OK)
		outcome = params_fill(&request->params, *object, fault);
	if (outcome != OUTCOME_OK)
		cJSON_Delete(*object);
	return outcome;
}

/* The token of a close or a pass is told with the lease; where the caller chose none, one is made here. */
static void settle_token(struct request *request, cJSON *object)
{
	const char *chosen = params_value(&request->params, "token");
	char made[TOKEN_MADE_LEN + 1], digest[DIGEST_HEX_LEN + 1];

	if (chosen) {
		request->token = or_die(strdup(chosen));
		return;
	}
	token_make(made);
	digest_hex(made, digest);
	request->token = or_die(strdup(made));
	json_add_text(object, "digest", digest);
}

/* Bounds the time of this one answer, which is as long as it may be unless the request says otherwise. */
static enum outcome settle_timeout(const struct request *request, cJSON *object, struct fault *fault)
{
	int64_t timeout_ms = json_number(object, "timeout_ms", -1);

	if (timeout_ms >= 0)
		return bound_timeout(request, &timeout_ms, fault);
	json_add_number(object, "timeout_ms", request->desk->config->max_wait_ms);
	return OUTCOME_OK;
}

/* max_default_ms: what applies where the request says no max. */
static enum outcome check_life(const cJSON *object, int64_t max_default_ms, struct fault *fault)
{
	int64_t ttl_ms = json_number(object, "ttl_ms", 0), max_ms = json_number(object, "max_ms", max_default_ms);

	if (ttl_ms <= max_ms)
		return OUTCOME_OK;
	return fault_set(fault, OUTCOME_BAD_REQUEST,
		"ttl: is above max, which renewals cannot pass; where nothing is said of max it is 4h");
}

/* The max of the gate's settings only SQL knows. */
static enum outcome settle_close(struct request *request, cJSON *object, struct fault *fault)
{
	enum outcome outcome = check_life(object, INT64_MAX, fault);

	if (outcome == OUTCOME_OK && cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "takeover")) &&
		!json_text(object, "reason"))
		outcome = fault_set(fault, OUTCOME_BAD_REQUEST, "reason: is missing; a takeover has to be explained");
	if (outcome == OUTCOME_OK)
		outcome = settle_timeout(request, object, fault);
	if (outcome == OUTCOME_OK)
		settle_token(request, object);
	return outcome;
}

static enum outcome settle_pass(struct request *request, cJSON *object, struct fault *fault)
{
	enum outcome outcome = settle_timeout(request, object, fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	json_add_text(object, "inside", request->inside);
	settle_token(request, object);
	return OUTCOME_OK;
}

static enum outcome settle_settings(struct request *request, cJSON *object, struct fault *fault)
{
	(void)request;
	return check_life(object, MAX_DEFAULT_MS, fault);
}

/* Everything is never meant by saying nothing. */
static enum outcome settle_reap(struct request *request, cJSON *object, struct fault *fault)
{
	bool all = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, "all"));

	(void)request;
	if (all == (json_number(object, "older_than_ms", -1) < 0))
		return OUTCOME_OK;
	return fault_set(
		fault, OUTCOME_BAD_REQUEST, "older_than or all=true: say one of them, for what is to be ended");
}

/* Hands over what the request asks to be read. */
static enum outcome hand_read(struct request *request, enum read_kind kind, struct fault *fault)
{
	cJSON *object;
	enum outcome outcome = make_object(request, &object, fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	outcome = request_hand_over(request, STAY_SHORT, fault);
	if (outcome == OUTCOME_OK)
		keeper_read(request->desk->keeper, &request->call, kind, json_print(object));
	cJSON_Delete(object);
	return outcome;
}

/* Hands over what the request asks to be changed, once settle (NULL for none) has looked at it and added to it. */
static enum outcome hand_change(struct request *request, enum stay stay,
	enum outcome (*settle)(struct request *, cJSON *, struct fault *), struct fault *fault)
{
	cJSON *object;
	enum outcome outcome = make_object(request, &object, fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	if (settle)
		outcome = settle(request, object, fault);
	if (outcome == OUTCOME_OK)
		outcome = request_hand_over(request, stay, fault);
	if (outcome == OUTCOME_OK)
		keeper_change(request->desk->keeper, &request->call, (enum change_kind)request->route->kind, object);
	else
		cJSON_Delete(object);
	return outcome;
}

enum outcome call_close(struct request *request, struct fault *fault)
{
	return hand_change(request, STAY_LONG, settle_close, fault);
}

/* The X-Lease-Token of a pass is the one that it acts under, never its own. */
enum outcome call_pass(struct request *request, struct fault *fault)
{
	enum outcome outcome = read_inside(request, fault);

	request->headers.lease_token = NULL;
	return outcome == OUTCOME_OK ? hand_change(request, STAY_LONG, settle_pass, fault) : outcome;
}

/* HEAD is told what GET would be, and attaches nothing: whatever stream the lease has goes on. */
enum outcome call_attach(struct request *request, struct fault *fault)
{
	request->for_stream_head = strcmp(request->method, "HEAD") == 0;
	if (request->for_stream_head)
		return hand_read(request, READ_ATTACH, fault);
	return hand_change(request, STAY_LONG, NULL, fault);
}

enum outcome call_settings(struct request *request, struct fault *fault)
{
	return hand_change(request, STAY_SHORT, settle_settings, fault);
}

enum outcome call_reap(struct request *request, struct fault *fault)
{
	return hand_change(request, STAY_SHORT, settle_reap, fault);
}

enum outcome call_change(struct request *request, struct fault *fault)
{
	return hand_change(request, STAY_SHORT, NULL, fault);
}

enum outcome call_read(struct request *request, struct fault *fault)
{
	return hand_read(request, (enum read_kind)request->route->kind, fault);
}

enum outcome call_health(struct request *request, struct fault *fault)
{
	(void)fault;
	request_reply(request, OUTCOME_OK, "{\"state\":\"ok\"}");
	return OUTCOME_OK;
}

enum outcome call_ready(struct request *request, struct fault *fault)
{
	char why[KEEPER_WHY_MAX];

	if (request->desk->leaving)
		return fault_set(fault, OUTCOME_UNAVAILABLE, "this server is leaving");
	if (request->desk->short_of_memory)
		return fault_set(fault, OUTCOME_UNAVAILABLE, "this replica is short of memory");
	if (!keeper_ready(request->desk->keeper, why))
		return fault_set(fault, OUTCOME_UNAVAILABLE, "%s", why);
	request_reply(request, OUTCOME_OK, "{\"state\":\"ready\"}");
	return OUTCOME_OK;
}
