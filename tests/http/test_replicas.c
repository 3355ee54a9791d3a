/* Replicas: what is told of them, while they serve, stand still, and have gone. */
#include "support/stage.h"

#include <signal.h>
#include <stdio.h>

#include <cjson/cJSON.h>

static const char target[] = "GET /v1/replicas";

/* A member of the nth replica, as a text by "%s" of its number. */
static const char *told(const struct ask *ask, int n, const char *member)
{
	const cJSON *all = cJSON_GetObjectItem(ask->body, "replicas");
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(all, n), member));

	return text ? text : "";
}

static int number(const struct ask *ask, int n, const char *member)
{
	const cJSON *all = cJSON_GetObjectItem(ask->body, "replicas");

	return (int)cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetArrayItem(all, n), member));
}

static int count(const struct ask *ask)
{
	return cJSON_GetArraySize(cJSON_GetObjectItem(ask->body, "replicas"));
}

static struct ask *ask_two(struct stage *stage)
{
	return http_ask(&stage->http, &stage->two, target, NULL);
}

/* Asks the second server until the first has so many leases and waiters. */
static struct ask *await(struct stage *stage, int leases, int waiters)
{
	int64_t deadline_ns = clock_ns() + 60000000000;
	struct ask *ask = ask_two(stage);

	while (number(ask, 0, "leases") != leases || number(ask, 0, "waiters") != waiters) {
		if (clock_ns() > deadline_ns)
			fail_msg("no %d leases and %d waiters: %s", leases, waiters, ask->text);
		ask = ask_two(stage);
	}
	return ask;
}

static void test_replicas__are_told_by_each_of_them(void **state)
{
	struct stage *stage = *state;
	struct ask *one = http_ask(&stage->http, &stage->one, target, NULL), *two = ask_two(stage), *text;
	const cJSON *sessions =
		cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(one->body, "replicas"), 0), "sessions");

	assert_answer(one, 200, NULL);
	assert_int_equal(count(one), 2);
	assert_int_equal(count(two), 2);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(one->body, "next")));
	for (int i = 0; i < 2; i++) {
		assert_string_equal(told(one, i, "name"), i ? "two" : "one");
		assert_string_equal(told(one, i, "state"), "up");
		assert_string_equal(told(one, i, "since"), told(two, i, "since"));
		assert_true(strlen(told(one, i, "version")) > 0 && strlen(told(one, i, "host")) > 0);
		assert_true(number(one, i, "since_ago_ms") >= number(one, i, "heard_ago_ms"));
	}
	assert_int_equal(cJSON_GetArraySize(sessions), 3);
	for (int i = 0; i < 3; i++)
		assert_true(psql_true(&stage->admin,
			"select application_name like 'deploy-gated/%%' from pg_stat_activity where pid = %d",
			(int)cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetArrayItem(sessions, i), "pid"))));
	text = http_ask(&stage->http, &stage->one, "GET /v1/replicas?format=text", NULL);
	assert_contains(text->text, "replicas.0.name: one\n");
	assert_contains(text->text, "replicas.1.sessions.2.role: reads\n");
	assert_answer(http_ask(&stage->http, &stage->one, "GET /v1/replicas?limit=1", NULL), 400, "bad_request");
}

/* Whose locks it holds, and whose clients wait there, each once. */
static void test_replicas__their_leases_and_waiters_are_counted(void **state)
{
	struct stage *stage = *state;
	struct ask *wait, *queued;

	assert_answer(post(stage, "/v1/gates/count.a,count.b/close", "token=" TOKEN("count")), 201, NULL);
	post(stage, "/v1/gates/elsewhere/pass", "token=" TOKEN("count-pass"));
	wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/count.a,count.b/wait?timeout=50s", NULL);
	queued = http_begin(&stage->http, &stage->one, "POST /v1/gates/count/close", "wait=50s&token=" TOKEN("queued"));
	await(stage, 2, 2);
	assert_int_equal(number(ask_two(stage), 1, "leases"), 0);
	assert_int_equal(number(ask_two(stage), 1, "waiters"), 0);
	http_hang_up(wait);
	await(stage, 2, 1);
	post(stage, "/v1/gates/count.a/open", "token=" TOKEN("count"));
	http_finish(queued);
	await(stage, 2, 0);
	post(stage, "/v1/gates/count/open", "token=" TOKEN("queued"));
	await(stage, 1, 0);
}

/* One that stands still is silent, and up again once it goes on; one that stopped, or died, is told of no more. */
static void test_replicas__that_fall_silent_and_that_go(void **state)
{
	struct stage *stage = *state;
	int64_t deadline_ns = clock_ns() + 60000000000;
	struct server three;

	server_signal(&stage->one, SIGSTOP);
	while (strcmp(told(ask_two(stage), 0, "state"), "silent") != 0)
		assert_true(clock_ns() < deadline_ns);
	assert_true(number(ask_two(stage), 0, "heard_ago_ms") > 4000);
	assert_string_equal(told(ask_two(stage), 1, "state"), "up");
	server_signal(&stage->one, SIGCONT);
	while (strcmp(told(ask_two(stage), 0, "state"), "up") != 0)
		assert_true(clock_ns() < deadline_ns);
	server_start(&three, stage->db.conninfo, "three", NULL);
	assert_int_equal(count(ask_two(stage)), 3);
	server_stop(&three);
	assert_int_equal(count(ask_two(stage)), 2);
	server_release(&three);
	server_kill(&stage->one);
	while (count(ask_two(stage)) != 1)
		assert_true(clock_ns() < deadline_ns);
	assert_string_equal(told(ask_two(stage), 0, "name"), "two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replicas__are_told_by_each_of_them),
		cmocka_unit_test(test_replicas__their_leases_and_waiters_are_counted),
		cmocka_unit_test(test_replicas__that_fall_silent_and_that_go),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
