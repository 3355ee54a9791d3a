#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

int stage_setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	*state = stage;
	db_create(&stage->db);
	server_start(&stage->one, stage->db.conninfo, "one", NULL);
	server_start(&stage->two, stage->db.conninfo, "two", NULL);
	psql_open(&stage->admin, &stage->db, NULL);
	http_init(&stage->http);
	return 0;
}

int stage_teardown(void **state)
{
	struct stage *stage = *state;

	http_release(&stage->http);
	psql_close(&stage->admin);
	server_release(&stage->one);
	server_release(&stage->two);
	db_drop(&stage->db);
	free(stage);
	return 0;
}

static struct ask *ask_one(struct stage *stage, const char *method, const char *target, const char *body)
{
	char request[4096];

	snprintf(request, sizeof(request), "%s %s", method, target);
	return http_ask(&stage->http, &stage->one, request, body ? "%s" : NULL, body);
}

struct ask *get(void *stage, const char *target)
{
	return ask_one(stage, "GET", target, NULL);
}

struct ask *post(void *stage, const char *target, const char *body, ...)
{
	char text[4096];
	va_list arguments;

	if (!body)
		return ask_one(stage, "POST", target, NULL);
	va_start(arguments, body);
	vsnprintf(text, sizeof(text), body, arguments);
	va_end(arguments);
	return ask_one(stage, "POST", target, text);
}

static const struct server *in_turn(const struct stage *stage, int turn)
{
	return turn % 2 ? &stage->two : &stage->one;
}

static struct ask *begin_at_gates(struct stage *stage, int turn, const char *gates, const char *verb, const char *body)
{
	char request[1024];

	snprintf(request, sizeof(request), "POST /v1/gates/%s/%s", gates, verb);
	return http_begin(&stage->http, in_turn(stage, turn), request, "%s", body);
}

struct ask *begin_pass(struct stage *stage, int turn, const char *gates, const char *body)
{
	return begin_at_gates(stage, turn, gates, "pass", body);
}

struct ask *begin_close(struct stage *stage, int turn, const char *gates, const char *body)
{
	return begin_at_gates(stage, turn, gates, "close", body);
}

struct ask *begin_release(struct stage *stage, int turn, const struct ask *lease)
{
	char request[160];

	snprintf(request, sizeof(request), "POST /v1/leases/%s/release", ask_text(lease, "id"));
	return http_begin(&stage->http, in_turn(stage, turn), request, "token=%s", ask_text(lease, "token"));
}

void release(struct stage *stage, int turn, const struct ask *lease)
{
	struct ask *ask = begin_release(stage, turn, lease);

	http_finish(ask);
	assert_answer(ask, 200, NULL);
}

struct ask *begin_ballast(struct stage *stage, const struct server *server)
{
	char request[1024];
	int length = snprintf(request, sizeof(request), "GET /v1/gates/");

	for (int i = 0; i < 16; i++)
		length += snprintf(request + length, sizeof(request) - (size_t)length, "%sballast.%d.b.c.d.e.f.g",
			i ? "," : "", i);
	snprintf(request + length, sizeof(request) - (size_t)length, "/check");
	return http_begin(&stage->http, server, request, NULL);
}

void await_jobs(struct stage *stage, const char *gate, int count)
{
	psql_until(&stage->admin,
		"select coalesce(sum((waiting -> '%s' ->> 'count')::int), 0) = %d from deploy_gate.session where "
		"ended_at is null",
		gate, count);
}

void await_deploys(struct stage *stage, const char *gate, int count)
{
	psql_until(&stage->admin,
		"select count(*) = %d from deploy_gate.lease_gate where gate = '%s' and role = 'ticket'", count, gate);
}
