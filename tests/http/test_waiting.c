/* Who waits, as both servers tell it: each once, and not for longer than they do. */
#include "support/stage.h"

#include <stdio.h>

/* The gate as the other server than the one that most is asked of tells it, once all who wait have been told of. */
static struct ask *look(struct stage *stage, const char *gate)
{
	char request[96];

	snprintf(request, sizeof(request), "GET /v1/gates/%s", gate);
	return http_ask(&stage->http, &stage->two, request, NULL);
}

/* How many rows tell of a job at the gate. */
static void await_told(struct stage *stage, const char *gate, int times)
{
	psql_until(&stage->admin,
		"select count(*) = %d from deploy_gate.session where waiting ? '%s' and ended_at is null", times, gate);
}

static void test_waiting__a_token_that_asks_at_both_servers_waits_once(void **state)
{
	struct stage *stage = *state;
	struct ask *gate, *one, *two;

	post(stage, "/v1/gates/twice/close", "token=" TOKEN("twice"));
	one = http_begin(&stage->http, &stage->one, "POST /v1/gates/twice/pass", "wait=50s&token=" TOKEN("twice-job"));
	two = http_begin(&stage->http, &stage->two, "POST /v1/gates/twice/pass", "wait=50s&token=" TOKEN("twice-job"));
	await_told(stage, "twice", 2);
	gate = look(stage, "twice");
	assert_number(gate, "waiting.jobs.count", 1);
	assert_contains(gate->text, "\"since_ago_ms\"");
	post(stage, "/v1/gates/twice/open", "token=" TOKEN("twice"));
	http_finish(one);
	http_finish(two);
	assert_int_equal(one->status + two->status, 200 + 201);
	assert_number(look(stage, "twice"), "waiting.jobs.count", 0);
}

/* A job that asks again, elsewhere, says that it is the same by its request's id. */
static void test_waiting__a_request_that_asks_at_both_servers_waits_once(void **state)
{
	static const char target[] = "GET /v1/gates/again/wait?timeout=50s&holder=ann", id[] = "X-Request-Id: mine";
	struct stage *stage = *state;

	post(stage, "/v1/gates/again/close", "token=" TOKEN("again"));
	http_begin_with(&stage->http, &stage->one, id, target, NULL);
	http_begin_with(&stage->http, &stage->two, id, target, NULL);
	await_told(stage, "again", 2);
	assert_number(look(stage, "again"), "waiting.jobs.count", 1);
	http_begin_with(&stage->http, &stage->two, "X-Request-Id: another", target, NULL);
	http_begin_with(&stage->http, &stage->two, NULL, target, NULL);
	await_jobs(stage, "again", 4);
	assert_number(look(stage, "again"), "waiting.jobs.count", 3);
	post(stage, "/v1/gates/again/open", "token=" TOKEN("again"));
}

/* How many have waited there since before that instant. */
static long long waiting_before(struct stage *stage, const char *gate, const char *instant)
{
	return psql_number(&stage->admin,
		"select count(*) from json_array_elements("
		"deploy_gate.gate_json('%s', clock_timestamp()) #> '{waiting,jobs,oldest}') j"
		" where j ->> 'since' < '%s'",
		gate, instant);
}

/* Whoever waits for long asks in steps, of which the list is not to tell. */
static void test_waiting__in_steps_is_since_the_first(void **state)
{
	static const char first[] = "GET /v1/gates/steps/wait?timeout=100ms&holder=ann",
			  second[] = "GET /v1/gates/steps/wait?timeout=50s&holder=ann", id[] = "X-Request-Id: steps";
	struct stage *stage = *state;
	struct ask *step;
	char between[32];

	post(stage, "/v1/gates/steps/close", "token=" TOKEN("steps"));
	step = http_ask_with(&stage->http, &stage->one, id, first, NULL);
	assert_answer(step, 423, "closed");
	snprintf(between, sizeof(between), "%s",
		psql_value(&stage->admin, "select deploy_gate.rfc3339(clock_timestamp())"));
	http_begin_with(&stage->http, &stage->one, id, second, NULL);
	http_begin_with(&stage->http, &stage->one, "X-Request-Id: another", second, NULL);
	await_jobs(stage, "steps", 2);
	assert_int_equal(waiting_before(stage, "steps", between), 1);
	post(stage, "/v1/gates/steps/open", "token=" TOKEN("steps"));
}

/* Not even for the second until its server tells who waits now. */
static void test_waiting__ends_with_the_answer(void **state)
{
	struct stage *stage = *state;
	struct ask *pass, *wait;

	post(stage, "/v1/gates/ends,ends2/close", "token=" TOKEN("ends"));
	pass = http_begin(&stage->http, &stage->one, "POST /v1/gates/ends,ends2/pass", "wait=50s");
	wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/ends/wait?timeout=50s", NULL);
	await_jobs(stage, "ends", 2);
	post(stage, "/v1/gates/ends/open", "token=" TOKEN("ends"));
	http_finish(wait);
	http_finish(pass);
	assert_number(look(stage, "ends"), "waiting.jobs.count", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting__a_token_that_asks_at_both_servers_waits_once),
		cmocka_unit_test(test_waiting__a_request_that_asks_at_both_servers_waits_once),
		cmocka_unit_test(test_waiting__in_steps_is_since_the_first),
		cmocka_unit_test(test_waiting__ends_with_the_answer),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
