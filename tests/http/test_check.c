/* check, wait and the gates as they are told. */
#include "support/stage.h"

#include <cjson/cJSON.h>

static void test_check__an_unknown_gate_is_open(void **state)
{
	struct ask *ask = get(*state, "/v1/gates/check.never/check");

	assert_answer(ask, 200, NULL);
	assert_text(ask, "state", "open");
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(ask->body, "known")));
}

static void test_check__a_shut_gate_is_423_and_says_who_and_why(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/check.shut/close", "holder=ann&reason=the+migration&token=" TOKEN("check-shut"));
	ask = get(*state, "/v1/gates/check.shut/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "closed");
	assert_text(ask, "type", "/problems/closed");
	assert_number(ask, "status", 423);
	assert_text(ask, "gate.name", "check.shut");
	assert_text(ask, "gate.window.holder", "ann");
	assert_contains(ask_text(ask, "detail"), "check.shut is closed by ann (the migration)");
	assert_contains(ask_text(ask, "detail"), "the window ends in");
	assert_string_equal(ask_field(ask, "Retry-After"), "1");
	assert_string_equal(ask_field(ask, "Content-Type"), "application/problem+json");
}

static void test_check__a_gate_below_a_shut_one_names_it(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/check.tree/close", "holder=bob&token=" TOKEN("check-tree"));
	ask = get(*state, "/v1/gates/check.tree.a.b/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "gate.closed_by", "check.tree");
	assert_contains(ask_text(ask, "detail"), "check.tree.a.b is shut because check.tree is closed by bob");
	assert_answer(get(*state, "/v1/gates/check/check"), 200, NULL);
	assert_answer(get(*state, "/v1/gates/check.treetop/check"), 200, NULL);
}

static void test_check__of_a_set_is_open_only_if_all_are(void **state)
{
	post(*state, "/v1/gates/check.set2/close", "token=" TOKEN("check-set"));
	assert_answer(get(*state, "/v1/gates/check.set1,check.set3/check"), 200, NULL);
	assert_answer(get(*state, "/v1/gates/check.set1,check.set2,check.set3/check"), 423, "closed");
}

static void test_check__inside_the_window_is_let_in_by_its_token_alone(void **state)
{
	struct stage *stage = *state;

	post(stage, "/v1/gates/check.in/close", "token=" TOKEN("check-inside"));
	post(stage, "/v1/gates/check.other/close", "token=" TOKEN("check-other"));
	assert_answer(http_ask_with(&stage->http, &stage->two, "X-Lease-Token: " TOKEN("check-inside"),
			      "GET /v1/gates/check.in.below/check", NULL),
		200, NULL);
	assert_answer(http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("check-other"),
			      "GET /v1/gates/check.in/check", NULL),
		423, "closed");
	assert_answer(http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("check-nobody"),
			      "GET /v1/gates/check.in/check", NULL),
		423, "closed");
	assert_answer(http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("check-inside"),
			      "GET /v1/gates/check.in,check.other/check", NULL),
		423, "closed");
	/* What a window left behind lets nobody in. */
	assert_answer(post(stage, "/v1/gates/check.in/open", "outcome=failed&token=" TOKEN("check-inside")), 200, NULL);
	assert_answer(http_ask_with(&stage->http, &stage->two, "X-Lease-Token: " TOKEN("check-inside"),
			      "GET /v1/gates/check.in.below/check", NULL),
		423, "closed");
	assert_answer(http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("check-inside"),
			      "GET /v1/gates/check.in/wait?timeout=10ms", NULL),
		423, "closed");
}

static void test_wait__an_open_gate_answers_at_once(void **state)
{
	struct ask *ask = get(*state, "/v1/gates/wait.open,wait.too/wait?timeout=1h");

	assert_answer(ask, 200, NULL);
	assert_text(ask, "state", "open");
}

static void test_wait__ends_with_the_window(void **state)
{
	struct stage *stage = *state;
	struct ask *here, *there;

	post(stage, "/v1/gates/wait.end/close", "token=" TOKEN("wait-end"));
	here = http_begin(&stage->http, &stage->one, "GET /v1/gates/wait.end/wait?timeout=1m", NULL);
	there = http_begin(&stage->http, &stage->two, "GET /v1/gates/wait.end.below/wait?timeout=1m", NULL);
	await_jobs(stage, "wait.end", 1);
	await_jobs(stage, "wait.end.below", 1);
	assert_false(http_done(here) || http_done(there));
	assert_answer(post(stage, "/v1/gates/wait.end/open", "token=" TOKEN("wait-end")), 200, NULL);
	http_finish(here);
	http_finish(there);
	assert_answer(here, 200, NULL);
	assert_answer(there, 200, NULL);
}

static void test_wait__its_timeout_is_423_with_the_gate(void **state)
{
	struct ask *ask;

	post(*state, "/v1/gates/wait.late/close", "holder=ann&token=" TOKEN("wait-late"));
	ask = get(*state, "/v1/gates/wait.late/wait?timeout=150ms");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "gate.window.holder", "ann");
	assert_true(ask->came_ns - ask->sent_ns >= 150000000);
	assert_answer(get(*state, "/v1/gates/wait.late/wait?timeout=0s"), 423, "closed");
}

static void test_wait__its_timeout_has_a_most(void **state)
{
	struct ask *ask = get(*state, "/v1/gates/wait.most/wait?timeout=61m");

	assert_answer(ask, 400, "bad_request");
	assert_contains(ask_text(ask, "detail"), "max-wait");
}

static void test_wait__who_waits_is_told_with_the_gate_by_both_servers(void **state)
{
	struct stage *stage = *state;
	struct ask *wait, *gate;
	const cJSON *job;

	post(stage, "/v1/gates/wait.list/close", "token=" TOKEN("wait-list"));
	wait = http_begin(
		&stage->http, &stage->one, "GET /v1/gates/wait.list/wait?timeout=1m&holder=cron%40h&job=night", NULL);
	await_jobs(stage, "wait.list", 1);
	gate = http_ask(&stage->http, &stage->two, "GET /v1/gates/wait.list", NULL);
	assert_number(gate, "waiting.jobs.count", 1);
	job = cJSON_GetArrayItem(
		cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(gate->body, "waiting"), "jobs"), "oldest"),
		0);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(job, "holder")), "cron@h");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(job, "job")), "night");
	http_hang_up(wait);
	await_jobs(stage, "wait.list", 0);
}

/* At most 80 % of the connections may wait, so that there is always room for an answer. */
static void test_wait__too_many_at_once_are_429(void **state)
{
	struct stage *stage = *state;
	struct ask *waits[12], *ask;
	struct server small;

	server_start(&small, stage->db.conninfo, "small", (const char *const[]){ "--connections", "16", NULL });
	post(stage, "/v1/gates/wait.many/close", "token=" TOKEN("wait-many"));
	for (int i = 0; i < 12; i++)
		waits[i] = http_begin(&stage->http, &small, "GET /v1/gates/wait.many/wait?timeout=50s", NULL);
	await_jobs(stage, "wait.many", 12);
	ask = http_ask(&stage->http, &small, "GET /v1/gates/wait.many/wait?timeout=50s", NULL);
	assert_answer(ask, 429, "too_many");
	assert_string_equal(ask_field(ask, "Retry-After"), "2");
	assert_answer(http_ask(&stage->http, &small, "GET /v1/gates/wait.many/check", NULL), 423, "closed");
	assert_answer(http_ask(&stage->http, &small, "GET /healthz", NULL), 200, NULL);
	post(stage, "/v1/gates/wait.many/open", "token=" TOKEN("wait-many"));
	for (int i = 0; i < 12; i++) {
		http_finish(waits[i]);
		assert_answer(waits[i], 200, NULL);
	}
	server_release(&small);
}

static void test_gates__are_listed_by_prefix_in_pages(void **state)
{
	struct ask *page;

	assert_answer(
		post(*state, "/v1/gates/list.c,list.a,list.b,liszt/close", "token=" TOKEN("gates-list")), 201, NULL);
	page = get(*state, "/v1/gates?prefix=list.&limit=2");
	assert_answer(page, 200, NULL);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(page->body, "gates")), 2);
	assert_contains(page->text, "\"list.a\"");
	assert_text(page, "next", "list.b");
	page = get(*state, "/v1/gates?prefix=list.&limit=2&after=list.b");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(page->body, "gates")), 1);
	assert_contains(page->text, "\"list.c\"");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(page->body, "next")));
	page = get(*state, "/v1/gates?prefix=nobody.has.this");
	assert_answer(page, 200, NULL);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(page->body, "gates")), 0);
}

static void test_gate__tells_its_window_and_its_fence(void **state)
{
	struct ask *window = post(*state, "/v1/gates/gate.told/close",
		"holder=ann&reason=why&release=v7&url=https://ci/7&ttl=10m&token=" TOKEN("gate-told"));
	struct ask *gate = get(*state, "/v1/gates/gate.told");

	assert_answer(gate, 200, NULL);
	assert_text(gate, "name", "gate.told");
	assert_text(gate, "state", "closed");
	assert_true(ask_true(gate, "known"));
	assert_text(gate, "closed_by", "gate.told");
	assert_number(gate, "fence", ask_number(window, "fence"));
	assert_text(gate, "window.id", ask_text(window, "id"));
	assert_text(gate, "window.release", "v7");
	assert_text(gate, "window.url", "https://ci/7");
	assert_true(ask_number(gate, "window.expires_in_ms") > 590000);
	assert_null(strstr(gate->text, TOKEN("gate-told")));
	assert_number(gate, "waiting.jobs.count", 0);
	assert_number(gate, "passes.count", 0);
}

static void test_gate__that_nobody_knows_is_open(void **state)
{
	struct ask *gate = get(*state, "/v1/gates/gate.unknown");

	assert_answer(gate, 200, NULL);
	assert_text(gate, "state", "open");
	assert_true(cJSON_IsFalse(cJSON_GetObjectItem(gate->body, "known")));
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(gate->body, "window")));
}

static void test_gate__must_be_known_where_that_is_set(void **state)
{
	struct stage *stage = *state;
	struct server strict;

	server_start(&strict, stage->db.conninfo, "strict", (const char *const[]){ "--known-gates-only", NULL });
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a/check", NULL), 404, "not_found");
	assert_answer(
		http_ask(&stage->http, &strict, "GET /v1/gates/strict.a/wait?timeout=1s", NULL), 404, "not_found");
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a", NULL), 404, "not_found");
	assert_answer(http_ask(&stage->http, &strict, "POST /v1/gates/strict.a/close", NULL), 404, "not_found");
	assert_answer(http_ask(&stage->http, &strict, "POST /v1/gates/strict.a/open", "token=" TOKEN("strict")), 404,
		"not_found");
	assert_answer(
		http_ask(&stage->http, &strict, "POST /v1/gates/strict.a/force-open", "reason=x"), 404, "not_found");
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a/settings", NULL), 404, "not_found");
	post(stage, "/v1/gates/strict.a/close", "token=" TOKEN("strict"));
	assert_answer(
		http_ask(&stage->http, &strict, "POST /v1/gates/strict.a/open", "token=" TOKEN("strict")), 200, NULL);
	assert_answer(
		http_ask(&stage->http, &strict, "POST /v1/gates/strict.a/force-open", "reason=x"), 409, "not_holder");
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a/settings", NULL), 200, NULL);
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a/check", NULL), 200, NULL);
	assert_answer(http_ask(&stage->http, &strict, "GET /v1/gates/strict.a", NULL), 200, NULL);
	server_release(&strict);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check__an_unknown_gate_is_open),
		cmocka_unit_test(test_check__a_shut_gate_is_423_and_says_who_and_why),
		cmocka_unit_test(test_check__a_gate_below_a_shut_one_names_it),
		cmocka_unit_test(test_check__of_a_set_is_open_only_if_all_are),
		cmocka_unit_test(test_check__inside_the_window_is_let_in_by_its_token_alone),
		cmocka_unit_test(test_wait__an_open_gate_answers_at_once),
		cmocka_unit_test(test_wait__ends_with_the_window),
		cmocka_unit_test(test_wait__its_timeout_is_423_with_the_gate),
		cmocka_unit_test(test_wait__its_timeout_has_a_most),
		cmocka_unit_test(test_wait__who_waits_is_told_with_the_gate_by_both_servers),
		cmocka_unit_test(test_wait__too_many_at_once_are_429),
		cmocka_unit_test(test_gates__are_listed_by_prefix_in_pages),
		cmocka_unit_test(test_gate__tells_its_window_and_its_fence),
		cmocka_unit_test(test_gate__that_nobody_knows_is_open),
		cmocka_unit_test(test_gate__must_be_known_where_that_is_set),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
