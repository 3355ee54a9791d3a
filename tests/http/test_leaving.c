/* A server that leaves: what is served until then, what those are told who wait, and that nothing cuts it short. */
#include "support/stage.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { SIGNALS = 30, PAUSE_NS = 10000000 };

/* A third server, which leaves so slowly. */
static struct server start(struct stage *stage, const char *leave_delay)
{
	struct server server;

	server_start(&server, stage->db.conninfo, "three", (const char *const[]){ "--leave-delay", leave_delay, NULL });
	return server;
}

static bool left(struct stage *stage)
{
	return psql_true(&stage->admin,
		"select end_reason = 'left' from deploy_gate.session where name = 'three' and role = 'locks'"
		" order by number desc limit 1");
}

/* Load balancers look at /readyz, and meanwhile nobody notices anything. */
static void test_leaving__serves_on_for_the_delay(void **state)
{
	struct stage *stage = *state;
	struct server three = start(stage, "30s");
	struct ask *wait, *ask;

	post(stage, "/v1/gates/delay/close", "token=" TOKEN("delay"));
	server_signal(&three, SIGTERM);
	server_await(&three, "event=leaving");
	assert_answer(http_ask(&stage->http, &three, "GET /readyz", NULL), 503, "unavailable");
	wait = http_begin(&stage->http, &three, "GET /v1/gates/delay/wait?timeout=50s", NULL);
	await_jobs(stage, "delay", 1);
	ask = http_ask(&stage->http, &three, "POST /v1/gates/undelayed/close", "token=" TOKEN("undelayed"));
	assert_answer(ask, 201, NULL);
	assert_string_equal(ask_field(ask, "Connection"), "close");
	post(stage, "/v1/gates/delay/open", "token=" TOKEN("delay"));
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	server_kill(&three);
	server_release(&three);
}

/* Then those who wait are sent elsewhere, whatever they wait for, and it ends. */
static void test_leaving__sends_who_waits_elsewhere_after_the_delay(void **state)
{
	struct stage *stage = *state;
	struct server three = start(stage, "1s");
	struct ask *asks[3];

	post(stage, "/v1/gates/send/close", "token=" TOKEN("send"));
	asks[0] = http_begin(&stage->http, &three, "GET /v1/gates/send/wait?timeout=50s", NULL);
	asks[1] = http_begin(&stage->http, &three, "POST /v1/gates/send/pass", "wait=50s");
	asks[2] = http_begin(&stage->http, &three, "POST /v1/gates/send/close", "wait=50s");
	await_jobs(stage, "send", 2);
	await_deploys(stage, "send", 1);
	server_signal(&three, SIGTERM);
	for (int i = 0; i < 3; i++) {
		http_finish(asks[i]);
		assert_answer(asks[i], 503, "unavailable");
		assert_contains(ask_text(asks[i], "detail"), "leaving");
		assert_string_equal(ask_field(asks[i], "Retry-After"), "1");
	}
	assert_int_equal(server_wait(&three), 0);
	assert_true(left(stage));
	server_release(&three);
	post(stage, "/v1/gates/send/open", "token=" TOKEN("send"));
}

/* Groups of processes get a signal more than once. It goes on to hand over its leases. */
static void test_leaving__is_not_cut_short_by_further_signals(void **state)
{
	struct stage *stage = *state;
	struct server three = start(stage, "0s");
	struct ask *window = http_ask(&stage->http, &three, "POST /v1/gates/short/close", "token=" TOKEN("short"));

	assert_answer(window, 201, NULL);
	/* Nothing is handed over yet. */
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	for (int i = 0; i < SIGNALS; i++) {
		server_signal(&three, i % 3 == 1 ? SIGINT : i % 3 == 2 ? SIGHUP : SIGTERM);
		nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	}
	psql_run(&stage->admin, "commit");
	assert_int_equal(server_wait(&three), 0);
	assert_true(left(stage));
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.locks where gate = 'short' and mode = 'exclusive' and "
		"granted)");
	server_release(&three);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaving__serves_on_for_the_delay),
		cmocka_unit_test(test_leaving__sends_who_waits_elsewhere_after_the_delay),
		cmocka_unit_test(test_leaving__is_not_cut_short_by_further_signals),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
