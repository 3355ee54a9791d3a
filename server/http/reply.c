#include "http/reply.h"

#include <cjson/cJSON.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "http/problem.h"

enum { STREAM_BYTES = 1024 };		/* that leave at once */

static const char id_field[] = "X-Request-Id";

bool reply_prefers_text(const char *accept)
{
	return accept && strcasestr(accept, "text/plain") && !strcasestr(accept, "json");
}

static bool add_headers(struct MHD_Response *response, const struct reply_terms *terms, const char *type)
{
	return MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES &&
		MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
		MHD_add_response_header(response, id_field, terms->request_id) == MHD_YES &&
		(!terms->close || MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES);
}

/* nginx would keep events back until it has a page of them. */
struct MHD_Response *reply_stream(
	const struct reply_terms *terms, ssize_t (*read)(void *, uint64_t, char *, size_t), void *context)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BYTES, read, context, NULL);

	if (response &&
		(!add_headers(response, terms, "text/event-stream") ||
			MHD_add_response_header(response, "X-Accel-Buffering", "no") != MHD_YES)) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

static ssize_t end_at_once(void *context, uint64_t position, char *to, size_t room)
{
	(void)context, (void)position, (void)to, (void)room;
	return MHD_CONTENT_READER_END_OF_STREAM;
}

struct MHD_Response *reply_stream_head(const struct reply_terms *terms)
{
	return reply_stream(terms, end_at_once, NULL);
}

/* Makes a response of text, which it copies. */
static struct MHD_Response *make(const struct reply_terms *terms, const char *text, const char *type)
{
	struct MHD_Response *response;

	/* The library wants a pointer it may write to, but with MUST_COPY it does not. */
	response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	if (response && !add_headers(response, terms, type)) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

/* As lines. What comes from SQL is JSON always; were it not, it goes out as it is. */
static struct MHD_Response *make_text(const struct reply_terms *terms, const char *json)
{
	cJSON *value = cJSON_Parse(json);
	char *text = value ? json_print_text(value) : NULL;
	struct MHD_Response *response = make(terms, text ? text : json, "text/plain; charset=utf-8");

	free(text);
	cJSON_Delete(value);
	return response;
}

void reply_forget(struct reply_kept *kept)
{
	if (kept->response)
		MHD_destroy_response(kept->response);
	kept->response = NULL;
}

/* Gives what is kept the id of this request; false if that says something else. */
static bool say_again(const struct reply_kept *kept, const char *json, const char *id)
{
	const char *last_id = kept->response ? MHD_get_response_header(kept->response, id_field) : NULL;

	return last_id && strcmp(kept->json, json) == 0 &&
		MHD_del_response_header(kept->response, id_field, last_id) == MHD_YES &&
		MHD_add_response_header(kept->response, id_field, id) == MHD_YES;
}

struct MHD_Response *reply_json(const struct reply_terms *terms, const char *json, struct reply_kept *kept)
{
	struct MHD_Response *response;

	if (terms->text)
		return make_text(terms, json);
	if (!terms->close && say_again(kept, json, terms->request_id))
		return kept->response;
	response = make(terms, json, "application/json");
	if (response && !terms->close && strlen(json) < sizeof(kept->json)) {
		reply_forget(kept);
		kept->response = response;
		memcpy(kept->json, json, strlen(json) + 1);
	}
	return response;
}

struct MHD_Response *reply_problem(const struct reply_terms *terms, const struct problem *problem)
{
	char *json = problem_print(problem), seconds[12];
	struct MHD_Response *response;
	int retry_after_s = outcome_row(problem->outcome)->retry_after_s;

	response = terms->text ? make_text(terms, json) : make(terms, json, "application/problem+json");
	free(json);
	if (!response)
		return NULL;
	if (retry_after_s > 0) {
		snprintf(seconds, sizeof(seconds), "%d", retry_after_s);
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	if (problem->outcome == OUTCOME_UNAUTHORIZED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (terms->allow)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, terms->allow);
	return response;
}
