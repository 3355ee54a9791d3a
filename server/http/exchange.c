#include "http/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/die.h"
#include "config.h"
#include "http/clients.h"
#include "http/request.h"
#include "http/routes.h"

/* A body that says it is longer is refused before it comes. */
enum { BODY_ANNOUNCED_MAX = 1024 * 1024 };

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

void *exchange_begin(void *context, const char *target, struct MHD_Connection *connection)
{
	struct desk *desk = context;
	struct client *client = client_of(connection);

	client_enter(client, CLIENT_HEADER, uv_now(desk->loop));
	return request_new(desk, client, connection, target ? target : "");
}

static enum MHD_Result send_reply(struct request *request)
{
	enum MHD_Result result;

	if (!request->response)
		return MHD_NO;
	client_enter(request->client, request->place == PLACE_STREAM ? CLIENT_BUSY : CLIENT_REPLY,
		uv_now(request->desk->loop));
	request->desk->resumed = true;
	result = MHD_queue_response(request->connection, (unsigned)request->status, request->response);
	request_drop_response(request);
	return result;
}

/* What is wrong with the way the request is framed is answered at once, and the connection is not read on: what follows could
 * be anything. */
static enum MHD_Result take_header(struct request *request, const char *method, const char *version)
{
	struct fault fault;
	const char *length;
	enum outcome outcome;

	request->seen = true;
	request->method = method;
	outcome = headers_read(&request->headers, request->connection, version, &fault);
	if (request->authority)
		request->headers.host = request->authority;
	length = request->headers.content_length;
	if (outcome == OUTCOME_OK && length && strtoull(length, NULL, 10) > BODY_ANNOUNCED_MAX)
		outcome = fault_set(&fault, OUTCOME_TOO_LARGE, "the body is too large: at most 64 KiB");
	if (outcome != OUTCOME_OK) {
		request->close = true;
		request_refuse(request, &fault);
		return send_reply(request);
	}
	if (length || request->headers.transfer_encoding)
		client_enter(request->client, CLIENT_BODY, uv_now(request->desk->loop));
	return MHD_YES;
}

static bool is_type(const char *content_type, const char *type)
{
	size_t length = strcspn(content_type, "; \t");

	return length == strlen(type) && strncasecmp(content_type, type, length) == 0;
}

static enum outcome read_body(struct request *request, struct fault *fault)
{
	const char *type = request->headers.content_type;

	if (request->body_too_large)
		return fault_set(fault, OUTCOME_TOO_LARGE, "the body is too large: at most 64 KiB");
	if (request->body_size == 0)
		return OUTCOME_OK;
	if (type && is_type(type, "application/json"))
		return params_read_json(&request->params, request->body, request->body_size, fault);
	if (type && !is_type(type, "application/x-www-form-urlencoded"))
		return fault_set(fault, OUTCOME_UNSUPPORTED_MEDIA_TYPE,
			"Content-Type: send parameters as application/json or application/x-www-form-urlencoded, not "
			"as \"%.80s\"",
			type);
	if (strlen(request->body) != request->body_size)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "the body has a NUL byte");
	return params_read_form(&request->params, request->body, fault);
}

static enum outcome find_route(struct request *request, struct fault *fault)
{
	char allow[ALLOW_MAX];
	struct capture capture = { 0 };
	enum outcome outcome = routes_find(request->method, request->path, &request->route, &capture, allow, fault);

	if (outcome == OUTCOME_METHOD_NOT_ALLOWED)
		request->allow = or_die(strdup(allow));
	request->capture = capture.at;
	request->capture_size = capture.size;
	return outcome;
}

/* All has arrived: replies, or hands the request over; anything but OUTCOME_OK is a refusal. */
static enum outcome serve(struct request *request, struct fault *fault)
{
	const struct desk *desk = request->desk;
	enum outcome outcome;

	outcome = headers_check_names(&request->headers, request->client->listener, desk->config->host_names, fault);
	if (outcome == OUTCOME_OK)
		outcome = find_route(request, fault);
	if (outcome == OUTCOME_OK && desk->short_of_memory && strncmp(request->path, "/v1/", 4) == 0)
		outcome = fault_set(
			fault, OUTCOME_UNAVAILABLE, "this replica is short of memory: ask again, or another replica");
	if (outcome != OUTCOME_OK)
		return outcome;
	params_init(&request->params, request->route->params);
	if (request->query)
		outcome = params_read_query(&request->params, request->query, fault);
	if (outcome == OUTCOME_OK)
		outcome = read_body(request, fault);
	return outcome == OUTCOME_OK ? request->route->handle(request, fault) : outcome;
}

enum MHD_Result exchange_handle(void *context, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *body, size_t *body_size, void **exchange)
{
	struct request *request = *exchange;
	struct fault fault;

	(void)context;
	(void)connection;
	(void)url;
	if (!request || request->place == PLACE_ABANDONED)
		return MHD_NO;
	if (!request->seen)
		return take_header(request, method, version);
	if (*body_size > 0) {
		size_t size = *body_size;

		*body_size = 0;
		return request_take_body(request, body, size) ? MHD_YES : MHD_NO;
	}
	if (request->place == PLACE_ARRIVING && serve(request, &fault) != OUTCOME_OK)
		request_refuse(request, &fault);
	return request->place == PLACE_KEEPER ? MHD_YES : send_reply(request);
}

void exchange_end(
	void *context, struct MHD_Connection *connection, void **exchange, enum MHD_RequestTerminationCode how)
{
	struct desk *desk = context;
	struct request *request = *exchange;

	(void)how;
	*exchange = NULL;
	client_enter(client_of(connection), CLIENT_IDLE, uv_now(desk->loop));
	if (!request)
		return;
	if (request->place == PLACE_KEEPER || request->place == PLACE_STREAM)
		request_hang_up(request);	/* it lingered, or was a stream, and its client is gone */
	request_free(request);
}
