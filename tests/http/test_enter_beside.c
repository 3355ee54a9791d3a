/* Jobs in plain SQL beside deploys over HTTP: a window waits for who entered, keeps others out meanwhile, and is starved by
 * none of them. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <stdio.h>

enum { CROWD = 4, STAY_NS = 100 * 1000 * 1000 };

/* Somebody in psql who is inside a gate. */
static void enter(struct stage *stage, struct psql *psql, const char *gate)
{
	psql_open(psql, &stage->db, "application_name=nightly");
	psql_run(psql, "call deploy_gate.enter('%s', '10 s')", gate);
}

/* The name of the session that an answer says is in the way. */
static const char *named(const struct ask *ask)
{
	const cJSON *external = cJSON_GetObjectItem(ask->body, "external");

	return cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(external, 0), "application_name"));
}

/* Begins a close, and returns once it waits for those inside. */
static struct ask *begin_drain(struct stage *stage, const char *gate, const char *body)
{
	char request[128];
	struct ask *ask;

	snprintf(request, sizeof(request), "POST /v1/gates/%s/close", gate);
	ask = http_begin(&stage->http, &stage->one, request, "%s", body);
	http_done(ask);
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.lease where gates = '{%s}' and state = 'draining'"
		" and drain_until is not null and expires_at is null)",
		gate);
	assert_false(http_done(ask));
	return ask;
}

static void test_beside__a_close_waits_for_who_entered(void **state)
{
	struct stage *stage = *state;
	struct psql ann, bob;
	struct ask *ask;

	enter(stage, &ann, "drain.x.y");
	psql_open(&bob, &stage->db, NULL);
	ask = begin_drain(stage, "drain.x", "wait=0s");
	assert_text(get(stage, "/v1/gates/drain.x.y/check"), "state", "draining");
	assert_string_equal(named(get(stage, "/v1/gates/drain.x")), "nightly");
	assert_string_equal(psql_state(&bob, "call deploy_gate.enter('drain.x', '100 ms')"), "55P03");
	psql_run(&bob, "call deploy_gate.enter('drain.z', '10 s')");
	psql_run(&ann, "select deploy_gate.leave('drain.x.y')");
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_text(ask, "state", "closed");
	psql_close(&ann);
	psql_close(&bob);
}

static void test_beside__a_session_that_dies_has_left(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;

	enter(stage, &ann, "dies");
	ask = begin_drain(stage, "dies", "drain=1h");
	psql_run(&stage->admin, "select pg_terminate_backend(%d)", ann.pid);
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_true(ask->came_ns - ask->sent_ns < 30 * INT64_C(1000000000));
	psql_close(&ann);
}

static void test_beside__enter_waits_until_the_window_ends(void **state)
{
	struct stage *stage = *state;
	struct psql ann;

	psql_open(&ann, &stage->db, NULL);
	assert_answer(post(stage, "/v1/gates/waits/close", "token=" TOKEN("waits")), 201, NULL);
	psql_send(&ann, "call deploy_gate.enter('waits.below', '50 s')");
	psql_until(&stage->admin, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %d", ann.pid);
	assert_answer(post(stage, "/v1/gates/waits/open", "token=" TOKEN("waits")), 200, NULL);
	assert_string_equal(psql_finish(&ann), "00000");
	psql_close(&ann);
}

static void test_beside__a_drain_that_is_over_aborts(void **state)
{
	struct stage *stage = *state;
	struct psql ann, bob;
	struct ask *ask;

	enter(stage, &ann, "stays.a");
	ask = post(stage, "/v1/gates/stays.a/close", "drain=200ms");
	assert_answer(ask, 409, "drain_timeout");
	assert_contains(ask_text(ask, "detail"), "inside now: a plain SQL session, pid ");
	assert_contains(ask_text(ask, "detail"), " in nightly");
	enter(stage, &bob, "stays.a");
	psql_close(&ann);
	psql_close(&bob);
}

/* The deploy goes on over their heads, says so, and has the lock once they are gone; meanwhile nobody else gets in. */
static void closes_over_heads(struct stage *stage, const char *gate, const char *on_drain)
{
	struct psql ann, bob;
	struct ask *ask;
	char request[128], id[64];

	enter(stage, &ann, gate);
	psql_open(&bob, &stage->db, NULL);
	snprintf(request, sizeof(request), "/v1/gates/%s/close", gate);
	ask = post(stage, request, "drain=200ms&on_drain=%s", on_drain);
	assert_answer(ask, 201, NULL);
	assert_text(ask, "state", "closed");
	assert_true(ask_true(ask, "contested"));
	assert_string_equal(named(ask), "nightly");
	snprintf(id, sizeof(id), "%s", ask_text(ask, "id"));
	assert_string_equal(psql_state(&bob, "call deploy_gate.enter('%s', '100 ms')", gate), "55P03");
	/* Who is inside still is not let in again: this window waits for nobody. */
	assert_string_equal(psql_state(&ann, "call deploy_gate.enter('%s', '0')", gate), "55P03");
	assert_true(psql_true(&ann, "select deploy_gate.leave('%s')", gate));
	psql_until(&stage->admin, "select locked and not contested from deploy_gate.lease where id = '%s'", id);
	psql_close(&ann);
	psql_close(&bob);
}

static void test_beside__a_drain_that_is_over_proceeds(void **state)
{
	closes_over_heads(*state, "stays.p", "proceed");
}

static void test_beside__a_drain_that_is_over_stops(void **state)
{
	closes_over_heads(*state, "stays.s", "stop");
}

/* Jobs that come and go without pause: each stays for a moment and enters again at once. */
struct crowd {
	struct psql jobs[CROWD];
	int64_t leaves_ns[CROWD]; /* when it leaves; 0: it waits to get in */
	int entered;
};

static void crowd_turn(struct crowd *crowd)
{
	for (int i = 0; i < CROWD; i++) {
		struct psql *job = &crowd->jobs[i];

		if (!job->pg)
			return;
		if (!crowd->leaves_ns[i]) {
			if (psql_busy(job))
				continue;
			assert_string_equal(psql_finish(job), "00000");
			crowd->leaves_ns[i] = clock_ns() + STAY_NS;
			crowd->entered++;
		} else if (clock_ns() >= crowd->leaves_ns[i]) {
			psql_run(job, "select deploy_gate.leave('crowd.jobs')");
			crowd->leaves_ns[i] = 0;
			psql_send(job, "call deploy_gate.enter('crowd.jobs', '1 min')");
		}
	}
}

static int crowd_inside(const struct crowd *crowd)
{
	int inside = 0;

	for (int i = 0; i < CROWD; i++)
		inside += crowd->leaves_ns[i] != 0;
	return inside;
}

/* They come in one after the other, so that there is always one inside. */
static void crowd_gather(struct crowd *crowd, struct stage *stage)
{
	*crowd = (struct crowd){ 0 };
	for (int i = 0; i < CROWD; i++) {
		int64_t next_ns = clock_ns() + STAY_NS / CROWD;

		psql_open(&crowd->jobs[i], &stage->db, NULL);
		psql_send(&crowd->jobs[i], "call deploy_gate.enter('crowd.jobs', '1 min')");
		while (clock_ns() < next_ns)
			crowd_turn(crowd);
	}
}

static void test_beside__jobs_that_overlap_do_not_starve_a_deploy(void **state)
{
	struct stage *stage = *state;
	struct crowd crowd;

	crowd_gather(&crowd, stage);
	for (int i = 0; i < 5; i++) {
		int entered = crowd.entered;
		struct ask *ask = http_begin(&stage->http, &stage->one, "POST /v1/gates/crowd/close",
			"drain=15s&token=" TOKEN("crowd-%d"), i);

		while (!http_done(ask))
			crowd_turn(&crowd);
		assert_answer(ask, 201, NULL);
		/* All that were told to be inside have left by now, as far as the database knows. */
		assert_true(psql_true(&stage->admin,
			"select count(*) = 0 from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and "
			"granted"
			" and (classid::bigint << 32) | objid::bigint = deploy_gate.key('crowd')"));
		assert_int_equal(crowd_inside(&crowd), 0);
		assert_answer(post(stage, "/v1/gates/crowd/open", "token=" TOKEN("crowd-%d"), i), 200, NULL);
		while (crowd.entered < entered + 2 * CROWD)
			crowd_turn(&crowd);
	}
	for (int i = 0; i < CROWD; i++)
		psql_close(&crowd.jobs[i]);
}

/* A deploy in plain SQL waits for passes too, and none is given while it stands in line, not even where the server has the
 * lock already for others. */
static void test_beside__close_here_waits_for_passes_and_lets_no_more_in(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *inside = post(stage, "/v1/gates/here.below/pass", "token=" TOKEN("here-1")), *late;
	char target[96], id[64];

	assert_answer(inside, 201, NULL);
	snprintf(id, sizeof(id), "%s", ask_text(inside, "id"));
	psql_open(&ann, &stage->db, NULL);
	assert_string_equal(psql_state(&ann, "call deploy_gate.close_here('here', 'x', '50 ms')"), "55P03");
	psql_send(&ann, "call deploy_gate.close_here('here', 'by hand', '50 s')");
	psql_until(&stage->admin, "select exists (select from pg_locks where pid = %d and not granted)", ann.pid);
	assert_answer(post(stage, "/v1/gates/here.below/pass", NULL), 423, "closed");
	late = http_begin(&stage->http, &stage->two, "POST /v1/gates/here.below/pass", "wait=50s");
	await_jobs(stage, "here.below", 1);
	assert_true(psql_busy(&ann));
	snprintf(target, sizeof(target), "/v1/leases/%s/release", id);
	assert_answer(post(stage, target, "token=" TOKEN("here-1")), 200, NULL);
	assert_string_equal(psql_finish(&ann), "00000");
	assert_false(http_done(late));
	psql_run(&ann, "select deploy_gate.open_here('here')");
	http_finish(late);
	assert_answer(late, 201, NULL);
	psql_close(&ann);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside__a_close_waits_for_who_entered),
		cmocka_unit_test(test_beside__a_session_that_dies_has_left),
		cmocka_unit_test(test_beside__enter_waits_until_the_window_ends),
		cmocka_unit_test(test_beside__a_drain_that_is_over_aborts),
		cmocka_unit_test(test_beside__a_drain_that_is_over_proceeds),
		cmocka_unit_test(test_beside__a_drain_that_is_over_stops),
		cmocka_unit_test(test_beside__jobs_that_overlap_do_not_starve_a_deploy),
		cmocka_unit_test(test_beside__close_here_waits_for_passes_and_lets_no_more_in),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
