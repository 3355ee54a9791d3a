/* The clock of the database is stepped, an hour forward or back, while servers are at work: what has time left keeps it, and what
 * waits goes on waiting. To the service a step looks as if all that it has stored had moved the other way. */
#include "support/stage.h"

#include <stdio.h>

#include "support/stream.h"

/* A step gives the time since the last stamp besides. */
enum { TTL_MS = 60000, SHORT_MS = 3000, SLACK_MS = 20000 };

static const char *const steps[] = { "1 h", "-1 h" };

/* Steps the clock, and returns once a batch has seen it. */
static void step(struct stage *stage, const char *by)
{
	psql_run(&stage->admin,
		"begin; select from deploy_gate.service for update;"
		"update deploy_gate.service set stamped_at = stamped_at - interval '%s', serving_since = '-infinity';"
		"select deploy_gate.shift_clocks(- interval '%s');"
		"update deploy_gate.lease"
		" set created_at = created_at - interval '%s', closed_at = closed_at - interval '%s'"
		" where ended_at is null; commit",
		by, by, by, by);
	psql_until(&stage->admin, "select serving_since > '-infinity' from deploy_gate.service");
}

static long long left_ms(struct stage *stage, const char *id, const char *until)
{
	return psql_number(&stage->admin,
		"select deploy_gate.ms_between(clock_timestamp(), %s) from deploy_gate.lease where id = '%s'", until,
		id);
}

/* What is there while the clock is stepped. */
struct scene {
	struct ask *window, *pass, *stream, *queued, *wait, *draining;
	char token[64];
};

static struct scene begin_scene(struct stage *stage, int number)
{
	struct scene scene;
	char id[40], token[64];

	snprintf(scene.token, sizeof(scene.token), "%d-%s", number, TOKEN("clock"));
	snprintf(token, sizeof(token), "%d-%s", number, TOKEN("attached"));
	scene.window = post(stage, "/v1/gates/clock/close", "ttl=1m&max=2m&token=%s", scene.token);
	scene.pass = post(stage, "/v1/gates/job/pass", "ttl=1m&token=%d-" TOKEN("job"), number);
	snprintf(id, sizeof(id), "%s", ask_text(post(stage, "/v1/gates/held/close", "ttl=30s&token=%s", token), "id"));
	scene.stream = stream_attach(&stage->http, &stage->two, id, token);
	scene.draining = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/job/close", "drain=1m&token=%d-" TOKEN("drain"), number);
	scene.queued = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/clock/close", "wait=1m&token=%d-" TOKEN("queued"), number);
	scene.wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/clock.below/wait?timeout=1m", NULL);
	await_deploys(stage, "clock", 1);
	await_jobs(stage, "clock.below", 1);
	psql_until(
		&stage->admin, "select exists (select from deploy_gate.lease where drain_until > clock_timestamp())");
	return scene;
}

/* All is as before, and then it comes to its end. */
static void end_scene(struct stage *stage, struct scene *scene)
{
	char target[80];
	unsigned renewed = stream_count(scene->stream, "renewed");

	stream_await(scene->stream, "renewed", renewed + 2);
	assert_in_range(stream_number(scene->stream, "renewed", 0, "expires_in_ms"), 1, 30000 + SLACK_MS);
	assert_false(http_done(scene->queued) || http_done(scene->wait) || http_done(scene->draining));
	snprintf(target, sizeof(target), "/v1/leases/%s/release", ask_text(scene->pass, "id"));
	assert_answer(post(stage, target, "token=%s", ask_text(scene->pass, "token")), 200, NULL);
	http_finish(scene->draining);
	assert_answer(scene->draining, 201, NULL);
	assert_answer(post(stage, "/v1/gates/clock/open", "token=%s", scene->token), 200, NULL);
	http_finish(scene->wait);
	http_finish(scene->queued);
	assert_answer(scene->wait, 200, NULL);
	assert_answer(scene->queued, 201, NULL);
	assert_true(ask_number(scene->queued, "fence") > ask_number(scene->window, "fence"));
	assert_int_equal(stream_count(scene->stream, "lost"), 0);
	assert_answer(post(stage, "/v1/reap", "all=true&reason=over"), 200, NULL);
}

static void test_clock__a_step_takes_and_gives_no_time(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 2; i++) {
		struct scene scene = begin_scene(stage, i);

		step(stage, steps[i]);
		assert_in_range(left_ms(stage, ask_text(scene.window, "id"), "expires_at"), 1, TTL_MS + SLACK_MS);
		assert_in_range(left_ms(stage, ask_text(scene.window, "id"), "max_at"), TTL_MS, 2 * TTL_MS + SLACK_MS);
		assert_in_range(left_ms(stage, ask_text(scene.pass, "id"), "expires_at"), 1, TTL_MS + SLACK_MS);
		assert_in_range(psql_number(&stage->admin,
					"select deploy_gate.ms_between(clock_timestamp(), drain_until)"
					" from deploy_gate.lease where state = 'draining'"),
			1, TTL_MS + SLACK_MS);
		end_scene(stage, &scene);
	}
}

/* Not before its time to live has passed by a clock that nobody stepped; and then it does end. */
static void test_clock__an_expiry_comes_after_the_time_to_live(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 2; i++) {
		int64_t began_ns = clock_ns();
		struct ask *wait, *window = post(stage, "/v1/gates/expiry/close", "ttl=3s");

		assert_answer(window, 201, NULL);
		wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/expiry/wait?timeout=50s", NULL);
		step(stage, steps[i]);
		http_finish(wait);
		assert_answer(wait, 200, NULL);
		assert_true(wait->came_ns - began_ns >= SHORT_MS * 1000000LL);
		assert_true(psql_true(&stage->admin, "select ending = 'expired' from deploy_gate.lease where id = '%s'",
			ask_text(window, "id")));
	}
}

/* Neither server is taken for dead or silent by the other. */
static void test_clock__a_step_kills_no_replica(void **state)
{
	struct stage *stage = *state;
	long long sessions = psql_number(&stage->admin, "select count(*) from deploy_gate.session");

	for (int i = 0; i < 2; i++) {
		struct ask *ask;

		step(stage, steps[i]);
		ask = http_ask(&stage->http, &stage->two, "GET /v1/replicas", NULL);
		assert_null(strstr(ask->text, "silent"));
		assert_answer(get(stage, "/readyz"), 200, NULL);
	}
	assert_int_equal(psql_number(&stage->admin, "select count(*) from deploy_gate.session where ended_at is null"),
		sessions);
}

/* How long a window lasted is not known where the clock went back meanwhile; it lasted no less than nothing. */
static void test_clock__a_step_back_shortens_what_is_usual_by_no_more_than_that(void **state)
{
	static const struct {
		const char *gates, *gate;
	} cases[] = { { "eta", "eta" }, { "both,two", "two" } };
	struct stage *stage = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char close[48], open[48], look[48];

		snprintf(close, sizeof(close), "/v1/gates/%s/close", cases[i].gates);
		snprintf(open, sizeof(open), "/v1/gates/%s/open", cases[i].gate);
		snprintf(look, sizeof(look), "/v1/gates/%s", cases[i].gate);
		assert_answer(post(stage, close, "token=%zu-" TOKEN("eta"), i), 201, NULL);
		psql_run(&stage->admin, "update deploy_gate.gate set typical_ms = 40000 where name = '%s'",
			cases[i].gate);
		step(stage, "-1 h");
		assert_in_range(ask_number(get(stage, look), "eta_ms"), 0, 40000);
		assert_answer(post(stage, open, "token=%zu-" TOKEN("eta"), i), 200, NULL);
		assert_int_equal(psql_number(&stage->admin, "select typical_ms from deploy_gate.gate where name = '%s'",
					 cases[i].gate),
			30000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock__a_step_takes_and_gives_no_time),
		cmocka_unit_test(test_clock__an_expiry_comes_after_the_time_to_live),
		cmocka_unit_test(test_clock__a_step_kills_no_replica),
		cmocka_unit_test(test_clock__a_step_back_shortens_what_is_usual_by_no_more_than_that),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
