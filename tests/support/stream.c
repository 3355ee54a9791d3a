#include "support/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/json.h"

enum { PATIENCE_S = 60 };

struct ask *stream_begin(struct http *http, const struct server *server, const char *id, const char *token)
{
	char request[96], field[256];

	snprintf(request, sizeof(request), "GET /v1/leases/%s/attach", id);
	snprintf(field, sizeof(field), "X-Lease-Token: %s", token);
	return http_begin_with(http, server, field, request, NULL);
}

struct ask *stream_attach(struct http *http, const struct server *server, const char *id, const char *token)
{
	struct ask *ask = stream_begin(http, server, id, token);

	stream_await(ask, "attached", 1);
	return ask;
}

/* What came so far. */
static const char *text_of(const struct ask *ask)
{
	if (!ask->done) {
		fflush(ask->head_out);
		fflush(ask->text_out);
	}
	return ask->text ? ask->text : "";
}

/* The next event, whole, of that kind at or behind a place; NULL for none. */
static const char *find(const char *at, const char *kind)
{
	bool comment = strcmp(kind, ":") == 0;
	size_t length = strlen(kind);

	for (const char *end; (end = strstr(at, "\n\n")); at = end + 2) {
		if (comment ? *at == ':'
			    : strncmp(at, "event: ", 7) == 0 && strncmp(at + 7, kind, length) == 0 &&
					at[7 + length] == '\n')
			return at;
	}
	return NULL;
}

static unsigned count(const struct ask *ask, const char *kind)
{
	unsigned found = 0;

	for (const char *at = find(text_of(ask), kind); at; at = find(at + 1, kind))
		found++;
	return found;
}

unsigned stream_count(struct ask *ask, const char *kind)
{
	if (!ask->done)
		http_done(ask);
	return count(ask, kind);
}

void stream_await(struct ask *ask, const char *kind, unsigned wanted)
{
	int64_t deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL;

	while (stream_count(ask, kind) < wanted)
		if (ask->done || clock_ns() > deadline_ns)
			fail_msg("%s: no %u events \"%s\" in:\n%s\n%s", ask->what, wanted, kind, ask->head, ask->text);
}

void stream_await_end(struct ask *ask)
{
	int64_t deadline_ns = clock_ns() + PATIENCE_S * 1000000000LL;

	while (!http_done(ask))
		if (clock_ns() > deadline_ns)
			fail_msg("%s: the stream does not end:\n%s", ask->what, text_of(ask));
}

/* The caller's (cJSON_Delete). */
static cJSON *data(const struct ask *ask, const char *kind, unsigned nth)
{
	const char *at = text_of(ask), *event = NULL;

	nth = nth ? nth : count(ask, kind);
	for (at = find(at, kind); at && nth; at = find(at + 1, kind), nth--)
		event = at;
	if (!event || nth || !(event = strstr(event, "\ndata: ")))
		fail_msg("%s: there is no such event \"%s\"", ask->what, kind);
	return cJSON_ParseWithLength(event + 7, strcspn(event + 7, "\n"));
}

const char *stream_text(const struct ask *ask, const char *kind, unsigned nth, const char *path)
{
	static _Thread_local char value[256];
	cJSON *lease = data(ask, kind, nth);
	const char *text = json_text(lease, path);

	snprintf(value, sizeof(value), "%s", text ? text : "");
	cJSON_Delete(lease);
	return value;
}

long long stream_number(const struct ask *ask, const char *kind, unsigned nth, const char *path)
{
	cJSON *lease = data(ask, kind, nth);
	long long number = json_number(lease, path, -1);

	cJSON_Delete(lease);
	return number;
}

bool stream_true(const struct ask *ask, const char *kind, unsigned nth, const char *path)
{
	cJSON *lease = data(ask, kind, nth);
	bool truth = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(lease, path));

	cJSON_Delete(lease);
	return truth;
}
