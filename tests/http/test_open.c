/* open and force-open: each way they come out. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static void test_open__ends_the_window_and_again_is_the_same(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/open.ok/close", "token=" TOKEN("open-ok"));
	struct ask *first =
		http_ask(&stage->http, &stage->two, "POST /v1/gates/open.ok/open", "token=" TOKEN("open-ok"));
	struct ask *second = post(stage, "/v1/gates/open.ok/open", "token=" TOKEN("open-ok"));

	assert_answer(first, 200, NULL);
	assert_answer(second, 200, NULL);
	assert_text(first, "state", "ended");
	assert_text(first, "end", "opened");
	assert_text(second, "id", ask_text(window, "id"));
	assert_text(second, "ended_at", ask_text(first, "ended_at"));
	assert_int_equal(psql_number(&stage->admin,
				 "select count(*) from deploy_gate.event where gate = 'open.ok' and kind = 'opened'"),
		1);
}

static void test_open__with_another_token_is_not_holder(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/open.not/close", "holder=ann&token=" TOKEN("open-not"));
	ask = post(*state, "/v1/gates/open.not/open", "token=" TOKEN("open-nobody"));
	assert_answer(ask, 409, "not_holder");
	assert_contains(ask_text(ask, "detail"), "open.not is closed by ann");
	assert_string_equal(ask_field(ask, "Retry-After"), "");
	assert_answer(get(*state, "/v1/gates/open.not/check"), 423, "closed");
}

static void test_open__of_a_gate_that_is_not_its_own_is_not_holder(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/open.own/close", "token=" TOKEN("open-own"));
	assert_answer(post(*state, "/v1/gates/open.own.below/open", "token=" TOKEN("open-own")), 409, "not_holder");
	ask = post(*state, "/v1/gates/open.else/open", "token=" TOKEN("open-own"));
	assert_answer(ask, 409, "not_holder");
	assert_contains(ask_text(ask, "detail"), "open.else is open");
	assert_answer(get(*state, "/v1/gates/open.own/check"), 423, "closed");
}

/* The list may name others besides: one of its own is enough, and the window ends whole. */
static void test_open__of_one_of_its_gates_ends_it_whole(void **state)
{
	post(*state, "/v1/gates/open.x,open.y/close", "token=" TOKEN("open-xy"));
	assert_answer(post(*state, "/v1/gates/open.z,open.y/open", "token=" TOKEN("open-xy")), 200, NULL);
	assert_answer(get(*state, "/v1/gates/open.x,open.y/check"), 200, NULL);
}

static void test_open__after_its_expiry_is_gone(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/open.late/close", "ttl=50ms&token=" TOKEN("open-late"));
	assert_answer(get(stage, "/v1/gates/open.late/wait?timeout=20s"), 200, NULL);
	ask = post(stage, "/v1/gates/open.late/open", "token=" TOKEN("open-late"));
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "expired");
	assert_contains(ask_text(ask, "detail"), "it expired: nobody renewed it in time");
}

/* Renewals cannot pass its max: nobody has neglected it. */
static void test_open__after_its_max_is_told_so(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/open.max/close", "ttl=3s&max=4s&token=" TOKEN("open-max")), *ask;
	char target[96];

	snprintf(target, sizeof(target), "/v1/leases/%s/renew", ask_text(window, "id"));
	while ((ask = post(stage, target, "token=" TOKEN("open-max")))->status == 200)
		continue;
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end_reason", "it reached its max");
	assert_contains(ask_text(ask, "detail"), "it expired: it was not to last longer than 4s");
}

static void test_open__with_an_old_token_never_opens_the_next_window(void **state)
{
	post(*state, "/v1/gates/open.old/close", "token=" TOKEN("open-old-1"));
	post(*state, "/v1/gates/open.old/open", "token=" TOKEN("open-old-1"));
	assert_answer(post(*state, "/v1/gates/open.old/close", "token=" TOKEN("open-old-2")), 201, NULL);
	assert_answer(post(*state, "/v1/gates/open.old/open", "token=" TOKEN("open-old-1")), 200, NULL);
	assert_answer(get(*state, "/v1/gates/open.old/check"), 423, "closed");
	assert_answer(post(*state, "/v1/gates/open.old/close", "token=" TOKEN("open-old-2")), 200, NULL);
}

static void test_open__as_failed_leaves_it_crashed_until_the_next_close(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *wait;

	post(stage, "/v1/gates/open.crash/close", "holder=ann&token=" TOKEN("crash-1"));
	ask = post(stage, "/v1/gates/open.crash/open", "outcome=failed&reason=tests+fail&token=" TOKEN("crash-1"));
	assert_answer(ask, 200, NULL);
	assert_text(ask, "end", "failed");
	ask = get(stage, "/v1/gates/open.crash/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "crashed");
	assert_contains(ask_text(ask, "detail"), "open.crash is crashed: after the window of ann");
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/open.crash/wait?timeout=1m", NULL);
	ask = http_ask(&stage->http, &stage->two, "POST /v1/gates/open.crash/close", "token=" TOKEN("crash-2"));
	assert_answer(ask, 201, NULL);
	assert_true(psql_true(&stage->admin,
		"select exists (select from deploy_gate.event where gate = 'open.crash' and kind = 'taken_over')"));
	assert_false(http_done(wait));
	post(stage, "/v1/gates/open.crash/open", "token=" TOKEN("crash-2"));
	http_finish(wait);
	assert_answer(wait, 200, NULL);
}

/* A close that covers but a part of what crashed would open the rest by accident: it is told what to close. */
static void test_open__what_crashed_together_is_taken_over_together(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/open.set.a,open.set.b/close", "token=" TOKEN("set-1"));
	post(stage, "/v1/gates/open.set.a/open", "outcome=failed&token=" TOKEN("set-1"));
	ask = post(stage, "/v1/gates/open.set.b/close", NULL);
	assert_answer(ask, 409, "held");
	assert_contains(
		ask_text(ask, "detail"), "until the next close of open.set.a and open.set.b together, or a force-open");
	ask = post(stage, "/v1/gates/open.set.a.below/close", NULL);
	assert_answer(ask, 409, "held");
	assert_contains(
		ask_text(ask, "detail"), "until the next close of open.set.a and open.set.b together, or a force-open");
	assert_answer(post(stage, "/v1/gates/open.set.b,open.set.a/close", "token=" TOKEN("set-2")), 201, NULL);
	post(stage, "/v1/gates/open.set.a/open", "outcome=failed&token=" TOKEN("set-2"));
	assert_answer(post(stage, "/v1/gates/open.set/close", "token=" TOKEN("set-3")), 201, NULL);
	assert_answer(post(stage, "/v1/gates/open.set/open", "token=" TOKEN("set-3")), 200, NULL);
}

/* The lock passes from the crashed window to the next without being free for an instant: its session inherits it. */
static void test_open__a_takeover_of_a_crashed_gate_never_drops_the_lock(void **state)
{
	struct stage *stage = *state;
	struct psql outside;
	const char *state_then;

	post(stage, "/v1/gates/open.inherit/close", "token=" TOKEN("inherit-1"));
	post(stage, "/v1/gates/open.inherit/open", "outcome=failed&token=" TOKEN("inherit-1"));
	psql_open(&outside, &stage->db, NULL);
	psql_send(&outside, "select pg_advisory_lock_shared(deploy_gate.key('open.inherit'))");
	psql_until(&stage->admin, "select exists (select from pg_locks where pid = %d and not granted)", outside.pid);
	assert_answer(
		http_ask(&stage->http, &stage->two, "POST /v1/gates/open.inherit/close", "token=" TOKEN("inherit-2")),
		201, NULL);
	assert_true(psql_busy(&outside));
	post(stage, "/v1/gates/open.inherit/open", "token=" TOKEN("inherit-2"));
	state_then = psql_finish(&outside);
	assert_string_equal(state_then, "00000");
	psql_close(&outside);
}

static void test_open__an_expired_window_on_hold_is_crashed(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/open.hold/close", "ttl=50ms&on_expiry=hold&token=" TOKEN("hold"));
	psql_until(&stage->admin, "select ended_at is not null from deploy_gate.lease where gates = '{open.hold}'");
	ask = get(stage, "/v1/gates/open.hold/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "crashed");
	ask = post(stage, "/v1/gates/open.hold/force-open", "reason=looked+at+it&holder=eve");
	assert_answer(ask, 200, NULL);
	assert_answer(get(stage, "/v1/gates/open.hold/check"), 200, NULL);
}

static void test_open__a_grace_keeps_it_shut_behind_the_expiry(void **state)
{
	struct stage *stage = *state;

	post(stage, "/v1/gates/open.grace/close", "ttl=50ms&grace=4s&token=" TOKEN("grace"));
	psql_until(&stage->admin, "select ended_at is not null from deploy_gate.lease where gates = '{open.grace}'");
	assert_answer(get(stage, "/v1/gates/open.grace/check"), 423, "closed");
	assert_answer(get(stage, "/v1/gates/open.grace/wait?timeout=20s"), 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select freed_at - ended_at >= interval '4 s' from deploy_gate.gate g"
		" join deploy_gate.lease on gates = array[g.name] where name = 'open.grace'"));
}

static void test_force_open__ends_the_window_and_is_recorded(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *events;

	post(stage, "/v1/gates/force.ok/close", "holder=ann&token=" TOKEN("force-ok"));
	assert_answer(post(stage, "/v1/gates/force.ok/force-open", NULL), 400, "bad_request");
	ask = post(stage, "/v1/gates/force.ok/force-open", "reason=ann+went+home&holder=eve");
	assert_answer(ask, 200, NULL);
	assert_text(ask, "end", "forced");
	assert_text(ask, "ended_by", "eve");
	assert_text(ask, "end_reason", "ann went home");
	assert_answer(get(stage, "/v1/gates/force.ok/check"), 200, NULL);
	ask = post(stage, "/v1/gates/force.ok/open", "token=" TOKEN("force-ok"));
	assert_answer(ask, 410, "gone");
	assert_contains(ask_text(ask, "detail"), "it was forced open by eve");
	assert_contains(ask_text(ask, "detail"), "ann went home");
	events = get(stage, "/v1/events?gate=force.ok&kind=forced");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(events->body, "events")), 1);
	assert_answer(post(stage, "/v1/gates/force.ok/force-open", "reason=again"), 409, "not_holder");
}

static void test_force_open__that_names_its_lease_never_ends_the_next(void **state)
{
	struct stage *stage = *state;
	struct ask *first = post(stage, "/v1/gates/force.lease/close", "token=" TOKEN("force-1"));
	struct ask *second;

	assert_answer(
		post(stage, "/v1/gates/force.lease/force-open", "reason=a&lease=%s", ask_text(first, "id")), 200, NULL);
	second = post(stage, "/v1/gates/force.lease/close", "token=" TOKEN("force-2"));
	assert_answer(
		post(stage, "/v1/gates/force.lease/force-open", "reason=a&lease=%s", ask_text(first, "id")), 200, NULL);
	assert_answer(get(stage, "/v1/gates/force.lease/check"), 423, "closed");
	post(stage, "/v1/gates/force.lease/open", "token=" TOKEN("force-2"));
	assert_answer(post(stage, "/v1/gates/force.lease/force-open", "reason=a&lease=%s", ask_text(second, "id")), 410,
		"gone");
	assert_answer(
		post(stage, "/v1/gates/force.lease/force-open", "reason=a&lease=0123456789abcdef0123456789abcdef"), 404,
		"not_found");
}

/* A repeated request has the effect of one, also where what it ended was a crashed state. */
static void test_force_open__of_a_crashed_gate_again_is_the_same(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/force.crash/close", "token=" TOKEN("force-crash"));

	post(stage, "/v1/gates/force.crash/open", "outcome=failed&token=" TOKEN("force-crash"));
	for (int i = 0; i < 2; i++)
		assert_answer(
			post(stage, "/v1/gates/force.crash/force-open", "reason=x&lease=%s", ask_text(window, "id")),
			200, NULL);
	assert_answer(get(stage, "/v1/gates/force.crash/check"), 200, NULL);
	assert_int_equal(
		psql_number(&stage->admin,
			"select count(*) from deploy_gate.event where gate = 'force.crash' and kind = 'forced'"),
		1);
}

/* A deploy that only stands in line has not ended, and is not what shuts the gate. */
static void test_force_open__that_names_a_place_in_line_is_refused(void **state)
{
	struct stage *stage = *state;
	struct ask *queued, *ask;
	const char *id;

	post(stage, "/v1/gates/force.line/close", "holder=ann&token=" TOKEN("force-line-1"));
	queued = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/force.line/close", "wait=50s&token=" TOKEN("force-line-2"));
	await_deploys(stage, "force.line", 1);
	id = psql_value(
		&stage->admin, "select id from deploy_gate.lease where gates = '{force.line}' and state = 'queued'");
	ask = post(stage, "/v1/gates/force.line/force-open", "reason=x&lease=%s", id);
	assert_answer(ask, 409, "not_holder");
	assert_contains(ask_text(ask, "detail"), "force.line is closed by ann");
	post(stage, "/v1/gates/force.line/open", "token=" TOKEN("force-line-1"));
	http_finish(queued);
	assert_answer(queued, 201, NULL);
}

static void test_force_open__of_a_gate_that_an_ancestor_shuts_names_it(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/force.tree/close", "token=" TOKEN("force-tree"));
	ask = post(*state, "/v1/gates/force.tree.a/force-open", "reason=x");
	assert_answer(ask, 409, "held");
	assert_text(ask, "gate.closed_by", "force.tree");
	assert_contains(ask_text(ask, "detail"), "What shuts it has to be opened itself");
	assert_answer(get(*state, "/v1/gates/force.tree/check"), 423, "closed");
}

static void test_force_open__cannot_end_a_plain_sql_session(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	psql_run(&stage->admin, "select pg_advisory_lock(deploy_gate.key('force.sql'))");
	ask = post(stage, "/v1/gates/force.sql/force-open", "reason=x");
	assert_answer(ask, 409, "held");
	assert_contains(ask_text(ask, "detail"), "by a plain SQL session, pid");
	assert_contains(ask_text(ask, "detail"), "end it: SELECT pg_terminate_backend(pid)");
	psql_run(&stage->admin, "select pg_advisory_unlock(deploy_gate.key('force.sql'))");
	assert_answer(post(stage, "/v1/gates/force.sql/force-open", "reason=x"), 409, "not_holder");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open__ends_the_window_and_again_is_the_same),
		cmocka_unit_test(test_open__with_another_token_is_not_holder),
		cmocka_unit_test(test_open__of_a_gate_that_is_not_its_own_is_not_holder),
		cmocka_unit_test(test_open__of_one_of_its_gates_ends_it_whole),
		cmocka_unit_test(test_open__after_its_expiry_is_gone),
		cmocka_unit_test(test_open__after_its_max_is_told_so),
		cmocka_unit_test(test_open__with_an_old_token_never_opens_the_next_window),
		cmocka_unit_test(test_open__as_failed_leaves_it_crashed_until_the_next_close),
		cmocka_unit_test(test_open__what_crashed_together_is_taken_over_together),
		cmocka_unit_test(test_open__a_takeover_of_a_crashed_gate_never_drops_the_lock),
		cmocka_unit_test(test_open__an_expired_window_on_hold_is_crashed),
		cmocka_unit_test(test_open__a_grace_keeps_it_shut_behind_the_expiry),
		cmocka_unit_test(test_force_open__ends_the_window_and_is_recorded),
		cmocka_unit_test(test_force_open__that_names_its_lease_never_ends_the_next),
		cmocka_unit_test(test_force_open__of_a_crashed_gate_again_is_the_same),
		cmocka_unit_test(test_force_open__that_names_a_place_in_line_is_refused),
		cmocka_unit_test(test_force_open__of_a_gate_that_an_ancestor_shuts_names_it),
		cmocka_unit_test(test_force_open__cannot_end_a_plain_sql_session),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
