#include "http/request.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/die.h"
#include "base/log.h"
#include "http/clients.h"
#include "http/problem.h"
#include "http/reply.h"
#include "http/route.h"
#include "http/stream.h"

enum { BODY_MAX = 64 * 1024, BODY_CUT = 1024 * 1024, LINGERING_MAX = 256 };

enum { ID_DIGITS_LEAST = 8 };

/* Of a target in absolute form ("http://gate:80/v1/gates") what stands before the authority; 0 for any other. */
static size_t scheme_length(const char *target)
{
	static const char *const schemes[] = { "http://", "https://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++)
		if (strncasecmp(target, schemes[i], strlen(schemes[i])) == 0)
			return strlen(schemes[i]);
	return 0;
}

struct request *request_new(
	struct desk *desk, struct client *client, struct MHD_Connection *connection, const char *target)
{
	struct request *request = calloc(1, sizeof(*request));
	size_t scheme = scheme_length(target), authority = scheme ? strcspn(target + scheme, "/?") : 0;

	if (!request || !(request->path = strdup(target + scheme + authority)) ||
		(scheme && !(request->authority = strndup(target + scheme, authority)))) {
		free(request ? request->path : NULL);
		free(request);
		return NULL;
	}
	request->desk = desk;
	request->client = client;
	request->connection = connection;
	request->query = strchr(request->path, '?');
	if (request->query)
		*request->query++ = '\0';
	request->wants_text = params_ask_for_text(request->query);
	request->number = desk->next_number++;
	request->began_ns = uv_hrtime();
	desk->count++;
	return request;
}

void request_drop_response(struct request *request)
{
	if (request->response && request->response != request->client->kept.response)
		MHD_destroy_response(request->response);
	request->response = NULL;
}

void request_free(struct request *request)
{
	request_drop_response(request);
	stream_free(request->stream);
	params_release(&request->params);
	request->desk->count--;
	free(request->path);
	free(request->authority);
	free(request->body);
	free(request->allow);
	free(request->token);
	free(request->inside);
	free(request);
}

bool request_take_body(struct request *request, const char *bytes, size_t size)
{
	size_t all = request->body_size + size;
	char *body;

	if (all > BODY_CUT)
		return false;
	if (all > BODY_MAX) {
		/* Read on and forget it: who is still sending does not listen for a refusal. */
		request->body_too_large = true;
		request->body_size = all;
		return true;
	}
	body = realloc(request->body, all + 1);
	if (!body)
		return false;
	memcpy(body + request->body_size, bytes, size);
	body[all] = '\0';
	request->body = body;
	request->body_size = all;
	return true;
}

/* Hands the connection of a request that is with the keeper back to libmicrohttpd. */
static void resume(struct request *request)
{
	if (request->lingers)
		request->desk->lingering--;
	else
		MHD_resume_connection(request->connection);
	request->lingers = false;
	request->desk->resumed = true;
}

/* The stream of a request that the keeper is through with: ends once all is sent, or now, if its client is gone. */
static void leave_stream(struct request *request)
{
	client_enter(request->client, CLIENT_REPLY, uv_now(request->desk->loop));
	if (request->place == PLACE_ABANDONED)
		stream_break(request->stream);
	else
		stream_end(request->stream);
}

/* Moves a request; what holds in a place is made to hold here. */
static void request_move(struct request *request, enum place place)
{
	struct desk *desk = request->desk;
	enum place from = request->place;

	request->place = place;
	if (place == PLACE_KEEPER) {
		if (request->lingers)
			desk->lingering++;
		else
			MHD_suspend_connection(request->connection);
		client_enter(request->client, CLIENT_BUSY, uv_now(desk->loop));
		LIST_INSERT_HEAD(&desk->with_keeper, request, entry);
		desk->waiting += request->waits;
		if (request->waits) {
			request->client->waiting = request;
			watch_client(&desk->watch, request->client);
		}
	} else if (place == PLACE_STREAM) {
		resume(request);
	} else if (from == PLACE_KEEPER || from == PLACE_STREAM) {
		desk->waiting -= request->waits;
		request->client->waiting = NULL;
		LIST_REMOVE(request, entry);
		if (from == PLACE_KEEPER)
			resume(request);
		else
			leave_stream(request);
	}
}

/* Ours is prefix and number: by hand, because every reply has one. */
const char *request_id(const struct request *request, char text[static REQUEST_ID_ROOM])
{
	static const char digits[] = "0123456789abcdef";
	const size_t prefix = sizeof(request->desk->prefix) - 1;
	uint64_t number = request->number;
	size_t at = REQUEST_ID_ROOM - 1;

	if (request->headers.request_id)
		return request->headers.request_id;
	text[at] = '\0';
	for (int i = 0; i < ID_DIGITS_LEAST || number; i++, number >>= 4)
		text[--at] = digits[number & 15];
	at -= prefix;
	return memcpy(text + at, request->desk->prefix, prefix);
}

static void log_reply(const struct request *request, enum outcome outcome, const char *id)
{
	const struct log *log = request->desk->log;
	enum log_level level = request->route && request->route->change ? LOG_INFO : LOG_DEBUG;

	if (outcome == OUTCOME_INTERNAL)
		level = LOG_ERROR;
	if (level < log->level)
		return;
	log_write(log, level, "request", "method", request->method, "path", request->path, "status",
		LOG_NUMBER(request->status), "outcome", outcome_row(outcome)->word, "ms",
		LOG_NUMBER((uv_hrtime() - request->began_ns) / 1000000), "request_id", id, NULL);
}

static struct reply_terms terms_of(const struct request *request, const char *id)
{
	struct reply_terms terms = {
		.request_id = id,
		.allow = request->allow,
		.close = request->close || request->desk->leaving,
		.text = request->wants_text || reply_prefers_text(request->headers.accept),
	};

	if (request->params.format)
		terms.text = strcmp(request->params.format, "text") == 0;
	return terms;
}

static void answer(struct request *request, enum outcome outcome, struct MHD_Response *response, const char *id)
{
	request->response = response;
	request->status = outcome_row(outcome)->status;
	log_reply(request, outcome, id);
	request_move(request, request->stream ? PLACE_STREAM : PLACE_ANSWERED);
}

static void begin_stream(struct request *request)
{
	char buffer[REQUEST_ID_ROOM];
	const char *id = request_id(request, buffer);
	struct reply_terms terms = terms_of(request, id);

	request->stream = stream_new(request->connection, request->client->fd, &request->desk->resumed);
	answer(request, OUTCOME_OK, stream_reply(request->stream, &terms), id);
}

static void reply_with_stream_head(struct request *request)
{
	char buffer[REQUEST_ID_ROOM];
	const char *id = request_id(request, buffer);
	struct reply_terms terms = terms_of(request, id);

	answer(request, OUTCOME_OK, reply_stream_head(&terms), id);
}

/* The lease with its token, for whoever made it. */
static char *add_token(const char *json, const char *token)
{
	char *text;

	if (asprintf(&text, "{\"token\":\"%s\",%s", token, json + strspn(json, " {")) < 0)
		die("out of memory");
	return text;
}

void request_reply(struct request *request, enum outcome outcome, const char *json)
{
	char buffer[REQUEST_ID_ROOM], *with_token = request->token ? add_token(json, request->token) : NULL;
	const char *id = request_id(request, buffer);
	struct reply_terms terms = terms_of(request, id);

	answer(request, outcome, reply_json(&terms, with_token ? with_token : json, &request->client->kept), id);
	free(with_token);
}

static void refuse(struct request *request, const struct problem *problem)
{
	char buffer[REQUEST_ID_ROOM];
	const char *id = request_id(request, buffer);
	struct reply_terms terms = terms_of(request, id);

	answer(request, problem->outcome, reply_problem(&terms, problem), id);
}

void request_refuse(struct request *request, const struct fault *fault)
{
	refuse(request, &(struct problem){ .outcome = fault->outcome, .detail = fault->detail });
}

static void on_told(struct call *call, const struct news *news)
{
	struct request *request = (struct request *)call;

	if (!request->stream)
		begin_stream(request);
	stream_say(request->stream,
		&(struct stream_event){
			.kind = news->kind, .data = news->lease, .size = news->size, .of_ns = news->of_ns });
}

static void on_answered(struct call *call, const struct answer *answered)
{
	struct request *request = (struct request *)call;
	struct problem problem = {
		.outcome = answered->outcome,
		.facts = answered->body,
		.detail = answered->detail,
		.advice = request->route->advice,
	};

	if (request->stream) {
		request_move(request, PLACE_ANSWERED);
		return;
	}
	if (answered->outcome == OUTCOME_OK && request->for_stream_head) {
		reply_with_stream_head(request);
		return;
	}
	if (outcome_row(answered->outcome)->status < 300) {
		request_reply(request, answered->outcome, answered->body ? answered->body : "{}");
		return;
	}
	if (answered->outcome == OUTCOME_NOT_FOUND && !answered->detail)
		problem.detail = request->route->missing;
	refuse(request, &problem);
}

enum outcome request_hand_over(struct request *request, enum stay stay, struct fault *fault)
{
	struct desk *desk = request->desk;

	if (stay == STAY_LONG && desk->waiting >= desk->waiting_max)
		return fault_set(fault, OUTCOME_TOO_MANY,
			"%u requests are waiting here already, which is the most (setting connections); ask again, or "
			"elsewhere",
			desk->waiting);
	request->waits = stay == STAY_LONG;
	request->lingers = stay == STAY_MOMENT && desk->lingering < LINGERING_MAX;
	request->call.answered = on_answered;
	request->call.told = on_told;
	request_move(request, PLACE_KEEPER);
	return OUTCOME_OK;
}

void request_hang_up(struct request *request)
{
	keeper_hang_up(&request->call);
	request_move(request, PLACE_ABANDONED);
}
