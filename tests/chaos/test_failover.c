/* The primary is lost with everything in full swing, and its standby promoted: by streaming replication, for real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chaos/arena.h"
#include "chaos/faults.h"
#include "chaos/places.h"
#include "support/stage.h"

enum { WINDOWS = 20, WAITERS = 200, LOST = 60, REPLICAS = 2, SOON_MS = 60000, FENCES_LEFT_OUT = 1000000 };

struct scene {
	struct arena arena;
	struct http http;
	struct window {
		char id[40];
		long long fence;
	} windows[WINDOWS];
	struct ask *waiters[WAITERS];
};

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	*state = scene;
	arena_start(&scene->arena, &(struct arena_plan){ .replicas = REPLICAS });
	http_init(&scene->http);
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	http_release(&scene->http);
	arena_stop(&scene->arena, false);
	free(scene);
	return 0;
}

static const struct server *server(struct scene *scene, int number)
{
	return &scene->arena.posts[number % REPLICAS].server;
}

/* A request at the replica with that number: the body, then the form of the rest. */
static struct ask *begin_at(struct scene *, int at, const char *body, const char *form, ...)
	__attribute__((format(printf, 4, 5)));

static struct ask *begin_at(struct scene *scene, int at, const char *body, const char *form, ...)
{
	char request[96];
	va_list arguments;

	va_start(arguments, form);
	vsnprintf(request, sizeof(request), form, arguments);
	va_end(arguments);
	return http_begin(&scene->http, server(scene, at), request, body ? "%s" : NULL, body);
}

static struct ask *finish(struct ask *ask)
{
	http_finish(ask);
	return ask;
}

static void close_gate(struct scene *scene, int gate)
{
	struct window *window = &scene->windows[gate];
	struct ask *close;
	char body[96];

	snprintf(body, sizeof(body), "ttl=10m&token=failover-%02d-0123456789abcdef", gate);
	close = finish(begin_at(scene, gate, body, "POST /v1/gates/failover-%d/close", gate));
	assert_answer(close, 201, NULL);
	snprintf(window->id, sizeof(window->id), "%s", ask_text(close, "id"));
	window->fence = ask_number(close, "fence");
}

static void open_gate(struct scene *scene, int gate)
{
	char body[96];

	snprintf(body, sizeof(body), "token=failover-%02d-0123456789abcdef", gate);
	assert_answer(finish(begin_at(scene, gate + 1, body, "POST /v1/gates/failover-%d/open", gate)), 200, NULL);
}

static void await_all_waiting(struct scene *scene)
{
	int64_t deadline_ns = clock_ns() + SOON_MS * 1000000LL;

	while (!arena_true(&scene->arena,
		"select sum((w.value ->> 'count')::int) = %d from deploy_gate.session s, jsonb_each(s.waiting) w"
		" where s.ended_at is null and s.role = 'locks' and w.key <> '*'",
		WAITERS)) {
		assert_true(clock_ns() < deadline_ns);
		http_turn(&scene->http);
	}
}

static void fail_over(struct scene *scene)
{
	struct dice dice = { 1 };
	struct strike strike;

	fault_strike(fault_called("failover"), &scene->arena, &dice, &strike);
	assert_true(strike.effective_ns && strike.well_ns);
}

static void assert_still_there(struct scene *scene, int gate)
{
	const struct window *window = &scene->windows[gate];
	struct ask *look = finish(begin_at(scene, gate, NULL, "GET /v1/gates/failover-%d", gate));

	assert_answer(look, 200, NULL);
	assert_text(look, "state", "closed");
	assert_text(look, "window.id", window->id);
	assert_number(look, "window.fence", window->fence);
	assert_answer(
		finish(begin_at(scene, gate + 1, NULL, "GET /v1/gates/failover-%d.below/check", gate)), 423, "closed");
}

/* The locks of all windows are held by sessions of the service. */
static void await_locks(struct scene *scene)
{
	int64_t deadline_ns = clock_ns() + SOON_MS * 1000000LL;

	while (!arena_true(&scene->arena,
		"select count(*) = %d from deploy_gate.locks l join deploy_gate.session s on s.pid = l.pid"
		" where s.ended_at is null and l.mode = 'exclusive' and l.gate like 'failover-%%'",
		WINDOWS))
		assert_true(clock_ns() < deadline_ns);
}

static void test_failover__keeps_every_window_and_lets_no_job_in(void **state)
{
	struct scene *scene = *state;
	long long last = 0;
	struct ask *later;

	for (int i = 0; i < WINDOWS; i++)
		close_gate(scene, i);
	for (int i = 0; i < WAITERS; i++)
		scene->waiters[i] = begin_at(
			scene, i / WINDOWS, NULL, "GET /v1/gates/failover-%d.below/wait?timeout=5m", i % WINDOWS);
	await_all_waiting(scene);
	fail_over(scene);
	await_locks(scene);
	for (int i = 0; i < WINDOWS; i++) {
		assert_still_there(scene, i);
		last = last > scene->windows[i].fence ? last : scene->windows[i].fence;
	}
	for (int i = 0; i < WAITERS; i++)
		assert_false(http_done(scene->waiters[i]));
	later = finish(begin_at(scene, 0, NULL, "POST /v1/gates/later-%d/close", 0));
	assert_answer(later, 201, NULL);
	assert_true(ask_number(later, "fence") > last + FENCES_LEFT_OUT);
	for (int i = 0; i < WINDOWS; i++)
		open_gate(scene, i);
	for (int i = 0; i < WAITERS; i++) {
		http_finish(scene->waiters[i]);
		assert_answer(scene->waiters[i], 200, NULL);
	}
}

/* From now on the standby gets nothing more, and the primary does not wait for it. */
static void part_standby(struct scene *scene)
{
	struct psql standby;

	psql_open(&standby, &arena_standby(&scene->arena)->db, NULL);
	assert_string_equal(arena_state(&scene->arena, "alter system set synchronous_standby_names = ''"), "00000");
	assert_true(arena_true(&scene->arena, "select pg_reload_conf()"));
	psql_run(&standby, "alter system set primary_conninfo = ''");
	psql_run(&standby, "select pg_reload_conf()");
	while (arena_true(&scene->arena, "select exists (select from pg_stat_replication)"))
		places_pause(20);
	psql_close(&standby);
}

static long long fence_of_new_window(struct scene *scene, int gate)
{
	struct ask *close = finish(begin_at(scene, gate, "ttl=10m", "POST /v1/gates/lossy-%d/close", gate));

	assert_answer(close, 201, NULL);
	return ask_number(close, "fence");
}

/* PostgreSQL numbers ahead by 32 at most: that many more are lost. */
static void test_failover__that_loses_commits_hands_out_no_fence_twice(void **state)
{
	struct scene *scene = *state;
	long long before = 0, fence;

	part_standby(scene);
	for (int i = 0; i < LOST; i++) {
		fence = fence_of_new_window(scene, i);
		assert_true(fence > before);
		before = fence;
	}
	fail_over(scene);
	assert_true(arena_true(
		&scene->arena, "select not exists (select from deploy_gate.lease where gates[1] like 'lossy-%%')"));
	for (int i = 0; i < LOST; i++) {
		fence = fence_of_new_window(scene, i);
		assert_true(fence > before);
		before = fence;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failover__keeps_every_window_and_lets_no_job_in),
		cmocka_unit_test(test_failover__that_loses_commits_hands_out_no_fence_twice),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
