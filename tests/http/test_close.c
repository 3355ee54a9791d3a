/* close: each way it comes out, the queue, sets and trees. */
#include "support/stage.h"

#include <stdio.h>

static void test_close__makes_a_window(void **state)
{
	struct ask *ask = post(*state, "/v1/gates/close.made/close", "ttl=10m&holder=ann");

	assert_answer(ask, 201, NULL);
	assert_int_equal(strlen(ask_text(ask, "token")), 32);
	assert_int_equal(strlen(ask_text(ask, "id")), 32);
	assert_text(ask, "kind", "window");
	assert_text(ask, "state", "closed");
	assert_text(ask, "holder", "ann");
	assert_true(ask_number(ask, "fence") > 0);
	assert_number(ask, "ttl_ms", 600000);
	assert_true(ask_number(ask, "expires_in_ms") > 590000 && ask_number(ask, "expires_in_ms") <= 600000);
	assert_int_equal(strlen(ask_text(ask, "expires_at")), strlen("2024-05-31T14:30:00.000Z"));
	assert_string_equal(ask_field(ask, "Content-Type"), "application/json");
}

static void test_close__again_with_its_token_is_the_same_window(void **state)
{
	struct stage *stage = *state;
	struct ask *first = post(stage, "/v1/gates/close.again/close", "token=" TOKEN("close-again"));
	struct ask *second = post(stage, "/v1/gates/close.again/close", "token=" TOKEN("close-again"));
	struct ask *third =
		http_ask(&stage->http, &stage->two, "POST /v1/gates/close.again/close", "token=" TOKEN("close-again"));

	assert_answer(first, 201, NULL);
	assert_answer(second, 200, NULL);
	assert_answer(third, 200, NULL);
	assert_text(second, "id", ask_text(first, "id"));
	assert_number(third, "fence", ask_number(first, "fence"));
	assert_text(third, "token", TOKEN("close-again"));
}

static void test_close__of_a_held_gate_is_409_and_leaves_no_trace(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/close.held/close", "holder=ann&reason=first&token=" TOKEN("close-held"));
	ask = post(stage, "/v1/gates/close.held/close", "token=" TOKEN("close-held-2"));
	assert_answer(ask, 409, "held");
	assert_contains(ask_text(ask, "detail"), "close.held is closed by ann (first)");
	assert_contains(ask_text(ask, "detail"), "wait=30m");
	assert_string_equal(ask_field(ask, "Retry-After"), "2");
	assert_text(ask, "gate.window.holder", "ann");
	assert_answer(post(stage, "/v1/gates/close.held.below/close", "token=" TOKEN("close-held-2")), 409, "held");
	assert_int_equal(
		psql_number(&stage->admin,
			"select count(*) from deploy_gate.lease where gates <@ '{close.held,close.held.below}'"),
		1);
	assert_answer(post(stage, "/v1/gates/close.other/close", "token=" TOKEN("close-held-2")), 201, NULL);
}

static void test_close__with_a_token_of_other_gates_is_token_used(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/close.used,close.used2/close", "token=" TOKEN("close-used"));
	ask = post(*state, "/v1/gates/close.used/close", "token=" TOKEN("close-used"));
	assert_answer(ask, 409, "token_used");
	assert_contains(ask_text(ask, "detail"), "close.used, close.used2");
	assert_answer(post(*state, "/v1/gates/close.elsewhere/close", "token=" TOKEN("close-used")), 409, "token_used");
	assert_answer(post(*state, "/v1/gates/close.used2,close.used/close", "token=" TOKEN("close-used")), 200, NULL);
}

static void test_close__after_its_end_is_gone(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/close.gone/close", "holder=ann&token=" TOKEN("close-gone"));
	post(*state, "/v1/gates/close.gone/open", "token=" TOKEN("close-gone"));
	ask = post(*state, "/v1/gates/close.gone/close", "token=" TOKEN("close-gone"));
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "opened");
	assert_contains(ask_text(ask, "detail"), "it was opened");
	assert_answer(get(*state, "/v1/gates/close.gone/check"), 200, NULL);
}

static void test_close__waits_in_line_and_gets_in(void **state)
{
	struct stage *stage = *state;
	struct ask *second;

	post(stage, "/v1/gates/close.line/close", "token=" TOKEN("close-line-1"));
	second = http_begin(&stage->http, &stage->two, "POST /v1/gates/close.line/close",
		"wait=1m&holder=bob&token=" TOKEN("close-line-2"));
	await_deploys(stage, "close.line", 1);
	assert_contains(get(stage, "/v1/gates/close.line")->text, "\"bob\"");
	assert_false(http_done(second));
	post(stage, "/v1/gates/close.line/open", "token=" TOKEN("close-line-1"));
	http_finish(second);
	assert_answer(second, 201, NULL);
	assert_answer(get(stage, "/v1/gates/close.line/check"), 423, "closed");
}

static void test_close__its_wait_bounds_the_queue(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/close.wait/close", "token=" TOKEN("close-wait-1"));
	ask = post(stage, "/v1/gates/close.wait/close", "wait=200ms&token=" TOKEN("close-wait-2"));
	assert_answer(ask, 409, "held");
	assert_true(ask->came_ns - ask->sent_ns >= 200000000);
	assert_int_equal(
		psql_number(&stage->admin, "select count(*) from deploy_gate.lease where gates = '{close.wait}'"), 1);
}

static void test_close__its_timeout_leaves_the_place_in_line(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *later;
	long long number;

	post(stage, "/v1/gates/close.time/close", "token=" TOKEN("close-time-1"));
	ask = post(stage, "/v1/gates/close.time/close", "wait=1m&timeout=200ms&token=" TOKEN("close-time-2"));
	assert_answer(ask, 409, "held");
	number = psql_number(&stage->admin,
		"select number from deploy_gate.lease where gates = '{close.time}' and state = 'queued'");
	assert_true(number > 0);
	later = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/close.time/close", "wait=1m&token=" TOKEN("close-time-3"));
	await_deploys(stage, "close.time", 2);
	ask = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/close.time/close", "wait=1m&token=" TOKEN("close-time-2"));
	psql_until(
		&stage->admin, "select claim_session is not null from deploy_gate.lease where number = %lld", number);
	post(stage, "/v1/gates/close.time/open", "token=" TOKEN("close-time-1"));
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_number(ask, "number", number);
	assert_false(http_done(later));
}

static void test_close__of_a_set_is_all_or_nothing(void **state)
{
	struct stage *stage = *state;

	post(stage, "/v1/gates/set.b/close", "token=" TOKEN("set-b"));
	assert_answer(post(stage, "/v1/gates/set.a,set.b,set.c/close", "token=" TOKEN("set-abc")), 409, "held");
	assert_answer(get(stage, "/v1/gates/set.a,set.c/check"), 200, NULL);
	post(stage, "/v1/gates/set.b/open", "token=" TOKEN("set-b"));
	assert_answer(post(stage, "/v1/gates/set.a,set.b,set.c/close", "token=" TOKEN("set-abc")), 201, NULL);
	assert_answer(get(stage, "/v1/gates/set.a/check"), 423, "closed");
	assert_answer(get(stage, "/v1/gates/set.b/check"), 423, "closed");
	assert_answer(get(stage, "/v1/gates/set.c/check"), 423, "closed");
	assert_answer(post(stage, "/v1/gates/set.b/open", "token=" TOKEN("set-abc")), 200, NULL);
	assert_answer(get(stage, "/v1/gates/set.a,set.b,set.c/check"), 200, NULL);
}

/* A set may hold a gate and one below it: neither is in the way of the other. */
static void test_close__of_a_set_with_a_gate_and_one_below_it(void **state)
{
	struct stage *stage = *state;
	struct ask *first = post(stage, "/v1/gates/set.up.down,set.up/close", "token=" TOKEN("set-up-1")), *second;

	assert_answer(first, 201, NULL);
	second = http_begin(&stage->http, &stage->two, "POST /v1/gates/set.up,set.up.down,set.up/close",
		"wait=50s&token=" TOKEN("set-up-2"));
	await_deploys(stage, "set.up", 1);
	assert_answer(post(stage, "/v1/gates/set.up/open", "token=" TOKEN("set-up-1")), 200, NULL);
	http_finish(second);
	assert_answer(second, 201, NULL);
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/set.up/open", "token=" TOKEN("set-up-2")),
		200, NULL);
	assert_true(psql_true(&stage->admin,
		"select pg_try_advisory_lock(deploy_gate.key('set.up'))"
		" and pg_try_advisory_lock(deploy_gate.key('set.up.down'))"));
	psql_run(&stage->admin, "select pg_advisory_unlock_all()");
}

static const struct pair {
	const char *live, *wanted;
	long status;
} pairs[] = {
	{ "tree", "tree.1", 409 },
	{ "tree.2", "tree", 409 },
	{ "tree.3", "tree.3.x.y", 409 },
	{ "tree.4.x.y", "tree.4", 409 },
	{ "tree.5", "tree.6", 201 },
	{ "tree.7", "tree.77", 201 },
	{ "tree.8", "tree.8-a", 201 },
	{ "tree.9,tree.10", "tree.10.a", 409 },
};

static void test_close__ancestor_and_descendant_conflict_and_siblings_do_not(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char live[64], wanted[64];
		struct ask *first, *second;

		snprintf(live, sizeof(live), "POST /v1/gates/%s/close", pairs[i].live);
		snprintf(wanted, sizeof(wanted), "POST /v1/gates/%s/close", pairs[i].wanted);
		first = http_ask(&stage->http, &stage->one, live, NULL);
		assert_answer(first, 201, NULL);
		second = http_ask(&stage->http, &stage->two, wanted, NULL);
		if (second->status != pairs[i].status)
			fail_msg("%s then %s: %ld", pairs[i].live, pairs[i].wanted, second->status);
		release(stage, 0, first);
		if (second->status == 201)
			release(stage, 0, second);
	}
}

/* Jobs that wait get in between two windows: for the gap, the gate is open though a deploy stands in line. */
static void test_close__a_gap_lets_waiting_jobs_in_between_two_deploys(void **state)
{
	struct stage *stage = *state;
	struct ask *job, *next, *other;

	post(stage, "/v1/gates/close.gap/close", "token=" TOKEN("gap-1"));
	job = http_begin(&stage->http, &stage->one, "GET /v1/gates/close.gap/wait?timeout=1m", NULL);
	other = http_begin(&stage->http, &stage->two, "GET /v1/gates/close.gap.below/wait?timeout=1m", NULL);
	psql_until(&stage->admin,
		"select jobs_waited from deploy_gate.lease where gates = '{close.gap}' and state = 'closed'");
	next = http_begin(&stage->http, &stage->two, "POST /v1/gates/close.gap/close", "wait=1m&token=" TOKEN("gap-2"));
	await_deploys(stage, "close.gap", 1);
	post(stage, "/v1/gates/close.gap/open", "token=" TOKEN("gap-1"));
	http_finish(next);
	http_finish(job);
	http_finish(other);
	assert_answer(job, 200, NULL);
	assert_answer(other, 200, NULL);
	assert_answer(next, 201, NULL);
	assert_true(psql_true(&stage->admin,
		"select b.at - a.at >= interval '500 ms' from deploy_gate.event a, deploy_gate.event b"
		" where a.gate = 'close.gap' and b.gate = 'close.gap' and a.kind = 'opened' and b.kind = 'closed' and "
		"b.at > a.at"));
}

/* A close that finds only a gap in its way waits for it, whatever its wait. */
static void test_close__waits_for_a_gap_whatever_its_wait(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/close.gapped/close", "token=" TOKEN("gapped-1"));
	post(stage, "/v1/gates/close.gapped/open", "token=" TOKEN("gapped-1"));
	psql_run(&stage->admin,
		"update deploy_gate.gate set gap_until = clock_timestamp() + interval '3 s' where name = "
		"'close.gapped'");
	ask = post(stage, "/v1/gates/close.gapped/close", "token=" TOKEN("gapped-2"));
	assert_answer(ask, 201, NULL);
	assert_true(psql_true(&stage->admin,
		"select l.closed_at >= g.gap_until from deploy_gate.gate g join deploy_gate.lease l on l.gates = "
		"array[g.name]"
		" where g.name = 'close.gapped' and l.state = 'closed'"));
	/* In one place all the while, not at the end of the queue each time it asked. */
	assert_int_equal(
		psql_number(&stage->admin,
			"select count(*) from deploy_gate.event where gate = 'close.gapped' and kind = 'queued'"),
		1);
}

static void test_close__takeover_ends_the_live_window(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/close.over/close", "holder=ann&token=" TOKEN("over-1"));
	assert_answer(
		post(stage, "/v1/gates/close.over/close", "takeover=true&token=" TOKEN("over-2")), 400, "bad_request");
	ask = post(stage, "/v1/gates/close.over/close",
		"takeover=true&reason=ann+is+ill&holder=bob&token=" TOKEN("over-2"));
	assert_answer(ask, 201, NULL);
	ask = post(stage, "/v1/gates/close.over/open", "token=" TOKEN("over-1"));
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "taken_over");
	assert_text(ask, "lease.ended_by", "bob");
	assert_text(ask, "lease.end_reason", "ann is ill");
	assert_answer(get(stage, "/v1/gates/close.over/check"), 423, "closed");
}

static void test_close__fences_grow_over_all_gates(void **state)
{
	struct ask *a = post(*state, "/v1/gates/fence.a/close", NULL),
		   *b = post(*state, "/v1/gates/fence.b/close", NULL);

	assert_true(ask_number(b, "fence") > ask_number(a, "fence"));
}

static void test_close__takes_a_form_json_and_the_query_alike(void **state)
{
	struct stage *stage = *state;
	struct ask *ask = post(stage, "/v1/gates/close.json/close",
		"{\"ttl\": \"5m\", \"holder\": \"\xc3\xa4nn\", \"takeover\": false}");

	assert_answer(ask, 201, NULL);
	assert_text(ask, "holder", "\xc3\xa4nn");
	assert_number(ask, "ttl_ms", 300000);
	ask = post(stage, "/v1/gates/close.query/close?ttl=6m&holder=a+b%2Bc", NULL);
	assert_answer(ask, 201, NULL);
	assert_text(ask, "holder", "a b+c");
	assert_number(ask, "ttl_ms", 360000);
	ask = http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("by-header"),
		"POST /v1/gates/close.header/close", NULL);
	assert_answer(ask, 201, NULL);
	assert_text(ask, "token", TOKEN("by-header"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close__makes_a_window),
		cmocka_unit_test(test_close__again_with_its_token_is_the_same_window),
		cmocka_unit_test(test_close__of_a_held_gate_is_409_and_leaves_no_trace),
		cmocka_unit_test(test_close__with_a_token_of_other_gates_is_token_used),
		cmocka_unit_test(test_close__after_its_end_is_gone),
		cmocka_unit_test(test_close__waits_in_line_and_gets_in),
		cmocka_unit_test(test_close__its_wait_bounds_the_queue),
		cmocka_unit_test(test_close__its_timeout_leaves_the_place_in_line),
		cmocka_unit_test(test_close__of_a_set_is_all_or_nothing),
		cmocka_unit_test(test_close__of_a_set_with_a_gate_and_one_below_it),
		cmocka_unit_test(test_close__ancestor_and_descendant_conflict_and_siblings_do_not),
		cmocka_unit_test(test_close__a_gap_lets_waiting_jobs_in_between_two_deploys),
		cmocka_unit_test(test_close__waits_for_a_gap_whatever_its_wait),
		cmocka_unit_test(test_close__takeover_ends_the_live_window),
		cmocka_unit_test(test_close__fences_grow_over_all_gates),
		cmocka_unit_test(test_close__takes_a_form_json_and_the_query_alike),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
