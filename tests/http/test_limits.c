/* limit: no more jobs inside than there may be, and in the order in which they came. */
#include "support/stage.h"

#include <stdio.h>

enum { ROUNDS = 200, RIVALS = 8 };

static void limit(struct stage *stage, const char *gate, int most)
{
	psql_run(&stage->admin,
		"insert into deploy_gate.gate (name, pass_limit) values ('%s', %d)"
		" on conflict (name) do update set pass_limit = excluded.pass_limit",
		gate, most);
}

static void test_limit__is_full_until_one_leaves(void **state)
{
	struct stage *stage = *state;
	struct ask *first, *second, *third;

	limit(stage, "pass.full", 1);
	first = post(stage, "/v1/gates/pass.full.x/pass", NULL);
	assert_answer(first, 201, NULL);
	second = post(stage, "/v1/gates/pass.full.y/pass", "token=" TOKEN("full"));
	assert_answer(second, 423, "full");
	assert_text(second, "gate.state", "full");
	assert_contains(ask_text(second, "detail"), "pass.full.y is full");
	assert_text(get(stage, "/v1/gates/pass.full"), "state", "full");
	assert_number(get(stage, "/v1/gates/pass.full"), "passes.limit", 1);
	/* It is full for passes alone. */
	assert_answer(get(stage, "/v1/gates/pass.full/check"), 200, NULL);
	assert_answer(post(stage, "/v1/gates/pass.full/pass", "wait=200ms"), 423, "full");
	second = begin_pass(stage, 1, "pass.full.y", "wait=50s&token=" TOKEN("full"));
	await_jobs(stage, "pass.full.y", 1);
	third = begin_pass(stage, 1, "pass.full.z,pass.free", "wait=50s");
	await_jobs(stage, "pass.full.z", 1);
	release(stage, 0, first);
	http_finish(second);
	assert_answer(second, 201, NULL);
	assert_false(http_done(third));
	release(stage, 0, second);
	http_finish(third);
	assert_answer(third, 201, NULL);
}

/* Inside a window it is not the window that keeps its own jobs out. */
static void test_limit__inside_a_window_is_not_explained_by_the_window(void **state)
{
	static const char *const bodies[] = { "", "wait=200ms" };
	struct stage *stage = *state;
	struct ask *ask;

	limit(stage, "pass.inside", 1);
	assert_answer(post(stage, "/v1/gates/pass.inside/close", "holder=ann&token=" TOKEN("inside")), 201, NULL);
	ask = http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("inside"),
		"POST /v1/gates/pass.inside.x/pass", NULL);
	assert_answer(ask, 201, NULL);
	for (int i = 0; i < 2; i++) {
		ask = http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("inside"),
			"POST /v1/gates/pass.inside.y/pass", bodies[i]);
		assert_answer(ask, 423, "full");
		assert_text(ask, "state", "full");
		assert_contains(ask_text(ask, "detail"),
			"pass.inside.y is full: as many jobs are inside pass.inside as may be");
	}
}

/* Those who came first get in first; who hung up and came back with its token has kept its place. */
static void test_limit__lets_in_by_order_of_arrival(void **state)
{
	struct stage *stage = *state;
	struct ask *inside, *asks[RIVALS];

	limit(stage, "pass.order", 1);
	inside = post(stage, "/v1/gates/pass.order/pass", NULL);
	for (int i = 0; i < RIVALS; i++) {
		char body[80];

		snprintf(body, sizeof(body), "wait=50s&token=order-%d-%s", i, TOKEN("order"));
		asks[i] = begin_pass(stage, 0, "pass.order", body);
		await_jobs(stage, "pass.order", i + 1);
	}
	http_hang_up(asks[1]);
	/* Behind an answer that came after it, the hang-up has been noticed. */
	get(stage, "/healthz");
	asks[1] = begin_pass(stage, 0, "pass.order", "wait=50s&token=order-1-" TOKEN("order"));
	for (int i = 0; i < RIVALS; i++) {
		release(stage, 1, inside);
		http_finish(asks[i]);
		assert_answer(asks[i], 201, NULL);
		for (int later = i + 1; later < RIVALS; later++)
			if (http_done(asks[later]))
				fail_msg("job %d is through behind job %d: %s", later, i, asks[later]->text);
		inside = asks[i];
	}
}

/* Whose other gate is shut cannot take the room that there is. */
static void test_limit__is_not_waited_for_behind_one_who_waits_for_another_gate(void **state)
{
	struct stage *stage = *state;
	struct ask *inside, *first, *second;

	limit(stage, "pass.pair", 1);
	inside = post(stage, "/v1/gates/pass.pair/pass", NULL);
	first = begin_pass(stage, 0, "pass.pair,pass.shut", "wait=50s");
	await_jobs(stage, "pass.shut", 1);
	second = begin_pass(stage, 0, "pass.pair", "wait=50s");
	await_jobs(stage, "pass.pair", 2);
	post(stage, "/v1/gates/pass.shut/close", "token=" TOKEN("pair"));
	release(stage, 1, inside);
	http_finish(second);
	assert_answer(second, 201, NULL);
	release(stage, 1, second);
	assert_false(http_done(first));
	post(stage, "/v1/gates/pass.shut/open", "token=" TOKEN("pair"));
	http_finish(first);
	assert_answer(first, 201, NULL);
}

static void test_limit__is_never_exceeded(void **state)
{
	struct stage *stage = *state;
	enum { MOST = 3 };

	limit(stage, "pass.never", MOST);
	stage->http.together = true;
	for (int round = 0; round < ROUNDS; round++) {
		struct ask *asks[RIVALS];
		int inside = 0;

		for (int i = 0; i < RIVALS; i++)
			asks[i] = begin_pass(stage, i + round, i % 3 ? "pass.never.x" : "pass.never,pass.beside", "");
		for (int i = 0; i < RIVALS; i++) {
			http_finish(asks[i]);
			inside += asks[i]->status == 201;
			if (asks[i]->status != 201)
				assert_answer(asks[i], 423, "full");
		}
		assert_int_equal(inside, MOST);
		for (int i = 0; i < RIVALS; i++)
			if (asks[i]->status == 201)
				release(stage, i, asks[i]);
		http_forget(&stage->http);
	}
	stage->http.together = false;
}

/* PostgreSQL's table of locks is not this service's alone. */
static void test_limit__of_locks_is_told_with_what_to_do(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	psql_run(&stage->admin,
		"create or replace function deploy_gate.lock_budget() returns integer language sql as 'select 1'");
	assert_answer(post(stage, "/v1/gates/budget.a/close", NULL), 429, "too_many");
	ask = post(stage, "/v1/gates/budget.a/pass", "wait=100ms");
	assert_answer(ask, 429, "too_many");
	assert_contains(ask_text(ask, "detail"), "may hold 1 locks");
	assert_contains(ask_text(ask, "detail"), "raise max_locks_per_transaction");
	ask = post(stage, "/v1/gates/budget/close", "token=" TOKEN("budget"));
	assert_answer(ask, 201, NULL);
	assert_answer(post(stage, "/v1/gates/budget/close", "token=" TOKEN("budget")), 200, NULL);
	assert_answer(post(stage, "/v1/gates/budget/open", "token=" TOKEN("budget")), 200, NULL);
}

int main(void)
{
	const struct CMUnitTest alone[] = { STAGE_TEST(test_limit__of_locks_is_told_with_what_to_do) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit__is_full_until_one_leaves),
		cmocka_unit_test(test_limit__inside_a_window_is_not_explained_by_the_window),
		cmocka_unit_test(test_limit__lets_in_by_order_of_arrival),
		cmocka_unit_test(test_limit__is_not_waited_for_behind_one_who_waits_for_another_gate),
		cmocka_unit_test(test_limit__is_never_exceeded),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown) + cmocka_run_group_tests(alone, NULL, NULL);
}
