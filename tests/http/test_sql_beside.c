/* Plain SQL beside HTTP: whoever holds a gate's advisory lock in psql shuts it for HTTP, and the other way round. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* Somebody in psql, without any rights. */
static void sit_down(struct stage *stage, struct psql *psql, const char *name)
{
	char more[80];

	snprintf(more, sizeof(more), "application_name=%s", name);
	psql_open(psql, &stage->db, more);
}

static void await_blocked(struct stage *stage, const struct psql *psql)
{
	psql_until(&stage->admin, "select exists (select from pg_locks where pid = %d and not granted)", psql->pid);
}

static void test_beside__an_exclusive_lock_shuts_the_gate_and_is_named(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;
	const cJSON *outside;

	sit_down(stage, &ann, "migration-by-hand");
	psql_run(&ann, "select pg_advisory_lock(deploy_gate.key('beside.x'))");
	ask = get(stage, "/v1/gates/beside.x/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "closed");
	assert_contains(ask_text(ask, "detail"), "by a plain SQL session, pid");
	assert_contains(ask_text(ask, "detail"), "migration-by-hand");
	assert_answer(http_ask(&stage->http, &stage->two, "GET /v1/gates/beside.x.below/check", NULL), 423, "closed");
	assert_answer(get(stage, "/v1/gates/beside/check"), 200, NULL);
	ask = get(stage, "/v1/gates/beside.x");
	assert_text(ask, "state", "closed");
	assert_text(ask, "closed_by", "beside.x");
	outside = cJSON_GetArrayItem(cJSON_GetObjectItem(ask->body, "external"), 0);
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(outside, "pid")), ann.pid);
	assert_string_equal(
		cJSON_GetStringValue(cJSON_GetObjectItem(outside, "application_name")), "migration-by-hand");
	psql_run(&ann, "select pg_advisory_unlock(deploy_gate.key('beside.x'))");
	assert_answer(get(stage, "/v1/gates/beside.x/check"), 200, NULL);
	psql_close(&ann);
}

static void test_beside__a_shared_lock_leaves_it_open_for_jobs(void **state)
{
	struct stage *stage = *state;
	struct psql ann;

	sit_down(stage, &ann, "a-job");
	psql_run(&ann, "select pg_advisory_lock_shared(deploy_gate.key('beside.s'))");
	assert_answer(get(stage, "/v1/gates/beside.s/check"), 200, NULL);
	psql_close(&ann);
}

/* How jobs that wait behind a plain session are woken: it unlocks, it leaves, it is killed. */
static void waiters_wake(struct stage *stage, const char *how)
{
	struct psql ann;
	struct ask *here, *there, *below;

	sit_down(stage, &ann, "by-hand");
	psql_run(&ann, "select pg_advisory_lock(deploy_gate.key('beside.wake'))");
	here = http_begin(&stage->http, &stage->one, "GET /v1/gates/beside.wake/wait?timeout=50s", NULL);
	there = http_begin(&stage->http, &stage->two, "GET /v1/gates/beside.wake/wait?timeout=50s", NULL);
	below = http_begin(&stage->http, &stage->two, "GET /v1/gates/beside.wake.below/wait?timeout=50s", NULL);
	await_jobs(stage, "beside.wake", 2);
	await_jobs(stage, "beside.wake.below", 1);
	assert_false(http_done(here) || http_done(there) || http_done(below));
	if (strcmp(how, "unlock") == 0)
		psql_run(&ann, "select pg_advisory_unlock_all()");
	else if (strcmp(how, "kill") == 0)
		psql_run(&stage->admin, "select pg_terminate_backend(%d)", ann.pid);
	else
		psql_close(&ann);
	http_finish(here);
	http_finish(there);
	http_finish(below);
	assert_answer(here, 200, NULL);
	assert_answer(there, 200, NULL);
	assert_answer(below, 200, NULL);
	psql_close(&ann);
}

static void test_beside__waiters_wake_when_it_unlocks(void **state)
{
	waiters_wake(*state, "unlock");
}

static void test_beside__waiters_wake_when_it_leaves_or_dies(void **state)
{
	waiters_wake(*state, "leave");
	waiters_wake(*state, "kill");
}

static void test_beside__a_close_is_refused_or_waits_and_gets_in(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;

	sit_down(stage, &ann, "by-hand");
	psql_run(&ann, "select pg_advisory_lock(deploy_gate.key('beside.close'))");
	ask = post(stage, "/v1/gates/beside.close/close", "token=" TOKEN("beside-1"));
	assert_answer(ask, 409, "held");
	assert_contains(ask_text(ask, "detail"), "by a plain SQL session");
	assert_int_equal(
		psql_number(&stage->admin, "select count(*) from deploy_gate.lease where gates = '{beside.close}'"), 0);
	assert_answer(post(stage, "/v1/gates/beside.close.below/close", NULL), 409, "held");
	ask = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/beside.close/close", "wait=50s&token=" TOKEN("beside-2"));
	await_deploys(stage, "beside.close", 1);
	assert_false(http_done(ask));
	psql_close(&ann);
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_int_equal(
		psql_number(&stage->admin,
			"select count(*) from deploy_gate.event where gate = 'beside.close' and kind = 'closed'"),
		1);
}

/* A deploy in psql below a gate is none of the jobs that a close of that gate drains: the close is refused, whatever it would do
 * about jobs. Everybody else gets on. */
static void test_beside__close_here_below_keeps_a_close_above_out(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;
	const cJSON *outside;

	sit_down(stage, &ann, "by-hand");
	psql_run(&ann, "call deploy_gate.close_here('beside.here.below', 'by hand', '5 s')");
	ask = post(stage, "/v1/gates/beside.here/close", "drain=0s&on_drain=proceed");
	assert_answer(ask, 409, "held");
	assert_contains(ask_text(ask, "detail"),
		"beside.here is open, but a gate below it is closed by a plain SQL session, pid ");
	outside = cJSON_GetArrayItem(cJSON_GetObjectItem(get(stage, "/v1/gates/beside.here")->body, "external"), 0);
	assert_int_equal(cJSON_GetNumberValue(cJSON_GetObjectItem(outside, "pid")), ann.pid);
	ask = post(stage, "/v1/gates/beside.list,beside.here/close", NULL);
	assert_answer(ask, 409, "held");
	assert_text(ask, "gate.name", "beside.here");
	assert_answer(post(stage, "/v1/gates/beside.here.below/close", NULL), 409, "held");
	assert_answer(post(stage, "/v1/gates/beside.here.below.too/close", NULL), 409, "held");
	assert_answer(get(stage, "/v1/gates/beside.here/check"), 200, NULL);
	assert_answer(get(stage, "/v1/gates/beside.here.below/check"), 423, "closed");
	assert_answer(post(stage, "/v1/gates/beside.here/pass", "token=" TOKEN("here-job")), 201, NULL);
	assert_answer(post(stage, "/v1/gates/beside.here.side/close", "token=" TOKEN("here-side")), 201, NULL);
	assert_answer(post(stage, "/v1/gates/beside.here.side/open", "token=" TOKEN("here-side")), 200, NULL);
	psql_run(&ann, "select deploy_gate.open_here('beside.here.below')");
	assert_answer(post(stage, "/v1/gates/beside.here/close", "drain=0s&on_drain=proceed"), 201, NULL);
	psql_close(&ann);
}

/* Jobs are neither asked to leave for a close that a deploy in psql is ahead of, nor gone over, nor kept out while it waits. */
static void test_beside__jobs_get_on_while_a_close_waits_for_close_here_below(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *close;

	sit_down(stage, &ann, "by-hand");
	psql_run(&ann, "call deploy_gate.close_here('beside.behind.below', 'by hand', '5 s')");
	assert_answer(post(stage, "/v1/gates/beside.behind/pass", "token=" TOKEN("behind-job")), 201, NULL);
	assert_answer(post(stage, "/v1/gates/beside.behind/close", "drain=0s&on_drain=proceed"), 409, "held");
	assert_true(psql_true(&stage->admin,
		"select state = 'inside' and not overrun from deploy_gate.lease where gates = '{beside.behind}' and "
		"kind = 'pass'"));
	close = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/beside.behind/close", "wait=50s&drain=0s&on_drain=proceed");
	await_deploys(stage, "beside.behind", 1);
	/* However often it tries. */
	for (int i = 0; i < 100; i++) {
		psql_run(&stage->admin, "notify deploy_gate, 'beside.behind'");
		assert_answer(get(stage, "/v1/gates/beside.behind/check"), 200, NULL);
		http_done(close);
	}
	assert_false(http_done(close));
	psql_run(&stage->admin, "select pg_terminate_backend(%d)", ann.pid);
	http_finish(close);
	assert_answer(close, 201, NULL);
	psql_close(&ann);
}

/* Sharers from outside are jobs in all but name: the window drains them first. */
static void test_beside__a_close_drains_plain_sharers(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;

	sit_down(stage, &ann, "a-job");
	psql_run(&ann, "select pg_advisory_lock_shared(deploy_gate.key('beside.drain'))");
	ask = http_begin(&stage->http, &stage->one, "POST /v1/gates/beside.drain/close", "token=" TOKEN("drain-1"));
	psql_until(&stage->admin,
		"select state = 'draining' and drain_until is not null and expires_at is null"
		" from deploy_gate.lease where gates = '{beside.drain}'");
	assert_text(get(stage, "/v1/gates/beside.drain/check"), "state", "draining");
	assert_false(http_done(ask));
	psql_close(&ann);
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_text(ask, "state", "closed");
}

static void test_beside__on_drain_decides_over_those_who_stay(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *ask;

	sit_down(stage, &ann, "a-job");
	psql_run(&ann, "select pg_advisory_lock_shared(deploy_gate.key('beside.stay'))");
	ask = post(stage, "/v1/gates/beside.stay/close", "drain=100ms");
	assert_answer(ask, 409, "drain_timeout");
	assert_answer(get(stage, "/v1/gates/beside.stay/check"), 200, NULL);
	ask = post(stage, "/v1/gates/beside.stay/close", "drain=10m&timeout=500ms&token=" TOKEN("stay-1"));
	assert_answer(ask, 409, "draining");
	assert_answer(post(stage, "/v1/gates/beside.stay/open", "token=" TOKEN("stay-1")), 200, NULL);
	ask = post(stage, "/v1/gates/beside.stay/close", "drain=100ms&on_drain=proceed&token=" TOKEN("stay-2"));
	assert_answer(ask, 201, NULL);
	assert_true(ask_true(ask, "contested"));
	assert_answer(get(stage, "/v1/gates/beside.stay/check"), 423, "closed");
	psql_close(&ann);
	psql_until(&stage->admin, "select locked and not contested from deploy_gate.lease where id = '%s'",
		ask_text(ask, "id"));
}

/* An exclusive request that merely waits, behind a plain job, makes every probe fail: it counts as a conflict. */
static void test_beside__one_that_waits_for_an_exclusive_lock_counts(void **state)
{
	struct stage *stage = *state;
	struct psql ann, bob;
	struct ask *ask, *wait;

	sit_down(stage, &ann, "a-job");
	sit_down(stage, &bob, "in-line");
	psql_run(&ann, "select pg_advisory_lock_shared(deploy_gate.key('beside.line'))");
	psql_send(&bob, "select pg_advisory_lock(deploy_gate.key('beside.line'))");
	await_blocked(stage, &bob);
	ask = get(stage, "/v1/gates/beside.line/check");
	assert_answer(ask, 423, "closed");
	assert_contains(ask_text(ask, "detail"), "in-line");
	assert_answer(post(stage, "/v1/gates/beside.line/close", NULL), 409, "held");
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/beside.line/wait?timeout=50s", NULL);
	await_jobs(stage, "beside.line", 1);
	psql_close(&ann);
	assert_string_equal(psql_finish(&bob), "00000");
	assert_false(http_done(wait));
	psql_close(&bob);
	http_finish(wait);
	assert_answer(wait, 200, NULL);
}

/* While a window is closed nobody in psql gets the lock; once open has answered, at once. */
static void test_beside__a_window_keeps_plain_sql_out_until_open_answered(void **state)
{
	struct stage *stage = *state;
	struct psql ann;

	sit_down(stage, &ann, "by-hand");
	for (int i = 0; i < 20; i++) {
		struct ask *window = post(stage, "/v1/gates/beside.out.of/close", NULL);

		assert_answer(window, 201, NULL);
		assert_false(psql_true(&ann, "select pg_try_advisory_lock(deploy_gate.key('beside.out.of'))"));
		assert_false(psql_true(&ann, "select pg_try_advisory_lock_shared(deploy_gate.key('beside.out.of'))"));
		assert_false(psql_true(&ann, "select pg_try_advisory_lock(deploy_gate.key('beside.out'))"));
		assert_true(psql_true(&ann, "select pg_try_advisory_lock_shared(deploy_gate.key('beside.out'))"));
		assert_true(psql_true(&ann, "select pg_advisory_unlock_shared(deploy_gate.key('beside.out'))"));
		assert_answer(
			post(stage, "/v1/gates/beside.out.of/open", "token=%s", ask_text(window, "token")), 200, NULL);
		assert_true(psql_true(&ann, "select pg_try_advisory_lock(deploy_gate.key('beside.out.of'))"));
		assert_true(psql_true(&ann, "select pg_try_advisory_lock(deploy_gate.key('beside.out'))"));
		psql_run(&ann, "select pg_advisory_unlock_all()");
	}
	psql_close(&ann);
}

/* The lock is counted by PostgreSQL: taken once, however often the window was asked for, renewed and settled. */
static void test_beside__the_lock_is_held_once(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/beside.once.a,beside.once.b/close", "token=" TOKEN("once"));
	struct psql ann;
	char target[128];

	snprintf(target, sizeof(target), "/v1/leases/%s/renew", ask_text(window, "id"));
	for (int i = 0; i < 10; i++) {
		assert_answer(
			post(stage, "/v1/gates/beside.once.a,beside.once.b/close", "token=" TOKEN("once")), 200, NULL);
		assert_answer(post(stage, target, "token=" TOKEN("once")), 200, NULL);
	}
	psql_run(&stage->admin, "notify deploy_gate, 'beside.once.a,beside.once.b'");
	assert_answer(post(stage, "/v1/gates/beside.once.a/open", "token=" TOKEN("once")), 200, NULL);
	sit_down(stage, &ann, "by-hand");
	assert_true(psql_true(&ann,
		"select pg_try_advisory_lock(deploy_gate.key('beside.once.a'))"
		" and pg_try_advisory_lock(deploy_gate.key('beside.once.b')) and "
		"pg_try_advisory_lock(deploy_gate.key('beside.once'))"));
	psql_close(&ann);
}

/* What the views and functions of SQL users say agrees with HTTP. */
static void test_beside__sql_users_see_what_http_users_see(void **state)
{
	struct stage *stage = *state;
	struct psql ann;

	sit_down(stage, &ann, "by-hand");
	post(stage, "/v1/gates/beside.view/close", "holder=ann&reason=why&token=" TOKEN("view"));
	assert_false(psql_true(&ann, "select deploy_gate.is_open('beside.view.below')"));
	assert_string_equal(psql_value(&ann,
				    "select holder || ' ' || reason || ' ' || state from deploy_gate.status"
				    " where gate = 'beside.view'"),
		"ann why closed");
	assert_true(psql_true(&ann,
		"select ours and mode = 'exclusive' from deploy_gate.locks where gate = 'beside.view' and granted"));
	psql_send(&ann, "call deploy_gate.wait_open('beside.view', '50 s')");
	assert_true(psql_busy(&ann));
	post(stage, "/v1/gates/beside.view/open", "token=" TOKEN("view"));
	assert_string_equal(psql_finish(&ann), "00000");
	assert_true(psql_true(&ann, "select deploy_gate.is_open('beside.view.below')"));
	psql_close(&ann);
}

static void test_beside__force_open_from_sql_opens_and_wakes(void **state)
{
	struct stage *stage = *state;
	struct ask *wait;

	post(stage, "/v1/gates/beside.force/close", "token=" TOKEN("sql-force"));
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/beside.force/wait?timeout=50s", NULL);
	psql_run(&stage->admin, "select deploy_gate.force_open('beside.force', 'from psql')");
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	assert_text(post(stage, "/v1/gates/beside.force/open", "token=" TOKEN("sql-force")), "lease.end_reason",
		"from psql");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beside__an_exclusive_lock_shuts_the_gate_and_is_named),
		cmocka_unit_test(test_beside__a_shared_lock_leaves_it_open_for_jobs),
		cmocka_unit_test(test_beside__waiters_wake_when_it_unlocks),
		cmocka_unit_test(test_beside__waiters_wake_when_it_leaves_or_dies),
		cmocka_unit_test(test_beside__a_close_is_refused_or_waits_and_gets_in),
		cmocka_unit_test(test_beside__close_here_below_keeps_a_close_above_out),
		cmocka_unit_test(test_beside__jobs_get_on_while_a_close_waits_for_close_here_below),
		cmocka_unit_test(test_beside__a_close_drains_plain_sharers),
		cmocka_unit_test(test_beside__on_drain_decides_over_those_who_stay),
		cmocka_unit_test(test_beside__one_that_waits_for_an_exclusive_lock_counts),
		cmocka_unit_test(test_beside__a_window_keeps_plain_sql_out_until_open_answered),
		cmocka_unit_test(test_beside__the_lock_is_held_once),
		cmocka_unit_test(test_beside__sql_users_see_what_http_users_see),
		cmocka_unit_test(test_beside__force_open_from_sql_opens_and_wakes),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
