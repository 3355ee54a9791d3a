/* Requests that go out in one batch and have to do with each other: each comes out as if they had come one by one, and no lock is
 * left behind, which PostgreSQL counts. */
#include "support/stage.h"

#include <stdio.h>

enum { PAIRS = 8, PASSES = 40 };

/* A gate that was closed before, as plain ones are. */
static void know(struct stage *stage, const char *gate)
{
	psql_run(&stage->admin, "insert into deploy_gate.gate (name) values ('%s')", gate);
}

/* Somebody has the service's row, so that a batch is under way and all that comes goes with the next: that of the close of this
 * gate. */
static struct psql hold_batches(struct stage *stage, const char *gate)
{
	struct psql holder;
	char request[64];

	know(stage, gate);
	snprintf(request, sizeof(request), "POST /v1/gates/%s/close", gate);
	psql_open(&holder, &stage->db, NULL);
	psql_run(&holder, "begin; select from deploy_gate.service for no key update");
	http_begin(&stage->http, &stage->one, request, NULL);
	psql_until(&stage->admin,
		"select exists (select from pg_stat_activity where application_name = 'deploy-gated/locks' and"
		" wait_event_type = 'Lock')");
	return holder;
}

/* What was begun before has arrived when this is answered, for it was sent later. */
static void let_batches_go(struct stage *stage, struct psql *holder)
{
	assert_answer(get(stage, "/v1/gates/lists-other/check"), 200, NULL);
	psql_run(holder, "commit");
	psql_close(holder);
}

static struct ask *begin(struct stage *stage, const char *gate, const char *verb, const char *token)
{
	char request[96];

	snprintf(request, sizeof(request), "POST /v1/gates/%s/%s", gate, verb);
	return http_begin(&stage->http, &stage->one, request, "token=%s", token);
}

/* Nobody of the service has the gate's lock any more: a session of plain SQL can have it. */
static void assert_free(struct stage *stage, const char *gate)
{
	psql_until(&stage->admin, "select pg_try_advisory_lock(deploy_gate.key('%s'))", gate);
	psql_run(&stage->admin, "select pg_advisory_unlock(deploy_gate.key('%s'))", gate);
}

/* The simpler way: to tell each statement of a batch what locks were held before it. */
static void test_lists__an_open_beside_its_close_leaves_no_lock(void **state)
{
	struct stage *stage = *state;
	struct ask *closes[PAIRS], *opens[PAIRS];
	char gates[PAIRS][24], tokens[PAIRS][64];
	struct psql holder;

	for (int i = 0; i < PAIRS; i++) {
		snprintf(gates[i], sizeof(gates[i]), "lists-d%d", i);
		snprintf(tokens[i], sizeof(tokens[i]), "%d-%s", i, TOKEN("lists-pair"));
		know(stage, gates[i]);
	}
	holder = hold_batches(stage, "lists-d");
	for (int i = 0; i < PAIRS; i++) {
		closes[i] = begin(stage, gates[i], "close", tokens[i]);
		opens[i] = begin(stage, gates[i], "open", tokens[i]);
	}
	let_batches_go(stage, &holder);
	for (int i = 0; i < PAIRS; i++) {
		http_finish(closes[i]);
		http_finish(opens[i]);
		assert_answer(closes[i], 201, NULL);
		if (opens[i]->status != 200) {
			/* It came before its close. */
			assert_answer(opens[i], 409, "not_holder");
			opens[i] = begin(stage, gates[i], "open", tokens[i]);
			http_finish(opens[i]);
			assert_answer(opens[i], 200, NULL);
		}
		assert_free(stage, gates[i]);
	}
}

static void test_lists__many_passes_of_one_gate_have_one_lock(void **state)
{
	struct stage *stage = *state;
	struct ask *passes[PASSES], *close;
	struct psql holder;

	know(stage, "lists-p");
	know(stage, "lists-q");
	holder = hold_batches(stage, "lists-r");
	for (int i = 0; i < PASSES - 1; i++)
		passes[i] = begin_pass(stage, 0, "lists-p", "ttl=10m");
	close = begin(stage, "lists-q", "close", TOKEN("lists-q"));
	passes[PASSES - 1] = begin_pass(stage, 0, "lists-p", "ttl=10m");
	let_batches_go(stage, &holder);
	http_finish(close);
	assert_answer(close, 201, NULL);
	for (int i = 0; i < PASSES; i++) {
		http_finish(passes[i]);
		assert_answer(passes[i], 201, NULL);
	}
	for (int i = 0; i < PASSES; i++)
		release(stage, 0, passes[i]);
	assert_free(stage, "lists-p");
}

/* The simpler way: to take a statement that waited in vain for another session for one that was not begun. What stood before it in
 * the batch has taken its locks. */
static void test_lists__a_change_that_somebody_was_in_the_way_of_leaves_no_lock(void **state)
{
	struct stage *stage = *state;
	struct psql holder;
	struct ask *close;

	psql_open(&holder, &stage->db, NULL);
	psql_run(&holder, "begin; lock table deploy_gate.event in share mode");
	close = begin(stage, "lists.new", "close", TOKEN("lists-new"));
	http_turn(&stage->http);
	server_await(&stage->one, "sqlstate=55P03");
	psql_run(&holder, "commit");
	psql_close(&holder);
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_answer(post(stage, "/v1/gates/lists.new/open", "token=" TOKEN("lists-new")), 200, NULL);
	assert_free(stage, "lists.new");
}

/* Which in a list of PostgreSQL's means that there is none. */
static void test_lists__a_gate_may_be_called_null(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 2; i++) {
		char close[64];

		snprintf(close, sizeof(close), "token=%d-%s", i, TOKEN("null"));
		assert_answer(get(stage, "/v1/gates/null,NULL/check"), 200, NULL);
		assert_contains(post(stage, "/v1/gates/null/close", "%s", close)->text, "[\"null\"]");
		assert_answer(get(stage, "/v1/gates/null/check"), 423, "closed");
		assert_answer(get(stage, "/v1/gates/Null,nULL/check"), 200, NULL);
		assert_contains(post(stage, "/v1/gates/null/open", "%s", close)->text, "[\"null\"]");
		release(stage, 0, post(stage, "/v1/gates/null/pass", NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists__an_open_beside_its_close_leaves_no_lock),
		cmocka_unit_test(test_lists__many_passes_of_one_gate_have_one_lock),
		cmocka_unit_test(test_lists__a_change_that_somebody_was_in_the_way_of_leaves_no_lock),
		cmocka_unit_test(test_lists__a_gate_may_be_called_null),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
