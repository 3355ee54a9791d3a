/* Deploys that find jobs inside: how they wait, and what they do when nobody leaves. */
#include "support/stage.h"

#include <stdio.h>

/* The id of the lease of a token, in SQL. */
#define ID_OF(word) "left(encode(sha256('" TOKEN(word) "'), 'hex'), 32)"

static struct ask *pass(struct stage *stage, const struct server *server, const char *gates)
{
	char request[160];
	struct ask *ask;

	snprintf(request, sizeof(request), "POST /v1/gates/%s/pass", gates);
	ask = http_ask(&stage->http, server, request, NULL);
	assert_answer(ask, 201, NULL);
	return ask;
}

static void await_state(struct stage *stage, const char *gate, const char *state)
{
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.lease where '%s' = any (gates) and kind = 'window' and state = "
		"'%s')",
		gate, state);
}

/* As if the time at that column of a live lease had come. */
static void let_come(struct stage *stage, const char *gate, const char *column)
{
	psql_run(&stage->admin,
		"update deploy_gate.lease set %s = clock_timestamp() where '%s' = any (gates) and ended_at is null",
		column, gate);
}

static struct ask *look_up(struct stage *stage, const struct ask *lease)
{
	char target[80];

	snprintf(target, sizeof(target), "/v1/leases/%s", ask_text(lease, "id"));
	return get(stage, target);
}

static void test_drain__closes_behind_the_last_job(void **state)
{
	struct stage *stage = *state;
	struct ask *first = pass(stage, &stage->one, "drain.last.x"), *second = pass(stage, &stage->two, "drain.last"),
		   *close, *ask;

	close = begin_close(stage, 1, "drain.last", "drain=1m");
	await_state(stage, "drain.last", "draining");
	ask = get(stage, "/v1/gates/drain.last.y/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "draining");
	assert_contains(ask_text(ask, "detail"), "waits for those inside to leave");
	assert_answer(post(stage, "/v1/gates/drain.last/pass", NULL), 423, "closed");
	ask = get(stage, "/v1/gates/drain.last");
	assert_text(ask, "state", "draining");
	assert_number(ask, "passes.count", 2);
	assert_number(ask, "window.expires_in_ms", -1);
	assert_true(ask_number(ask, "window.drain_in_ms") > 30000);
	release(stage, 0, second);
	assert_false(http_done(close));
	release(stage, 1, first);
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_text(close, "state", "closed");
	assert_true(ask_number(close, "expires_in_ms") > 1000000);
}

static void test_drain__of_a_set_tells_of_the_gate_with_jobs_inside(void **state)
{
	struct stage *stage = *state;
	struct ask *close;

	pass(stage, &stage->two, "drain.set2");
	close = post(stage, "/v1/gates/drain.set1,drain.set2/close", "timeout=10ms&token=" TOKEN("drain-set"));
	assert_answer(close, 409, "draining");
	assert_text(close, "gate.name", "drain.set2");
	assert_number(close, "gate.passes.count", 1);
	assert_answer(post(stage, "/v1/gates/drain.set1/open", "token=" TOKEN("drain-set")), 200, NULL);
	close = post(stage, "/v1/gates/drain.set1,drain.set2/close", "drain=10ms");
	assert_answer(close, 409, "drain_timeout");
	assert_text(close, "gate.name", "drain.set2");
}

static void test_drain__abort_is_409_and_opens_the_gate(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.abort"), *job, *close;

	close = begin_close(stage, 1, "drain.abort", "drain=1m&token=" TOKEN("abort"));
	await_state(stage, "drain.abort", "draining");
	job = http_begin(&stage->http, &stage->one, "POST /v1/gates/drain.abort/pass", "wait=50s");
	assert_false(http_done(close));
	let_come(stage, "drain.abort", "drain_until");
	http_finish(close);
	assert_answer(close, 409, "drain_timeout");
	assert_contains(ask_text(close, "detail"),
		"drain.abort is open again, because jobs did not leave in time; inside now: ");
	http_finish(job);
	assert_answer(job, 201, NULL);
	assert_text(look_up(stage, inside), "state", "inside");
	close = post(stage, "/v1/gates/drain.abort/close", "token=" TOKEN("abort"));
	assert_answer(close, 410, "gone");
	assert_text(close, "lease.end", "drain_timeout");
}

static void test_drain__proceed_closes_over_them(void **state)
{
	struct stage *stage = *state;
	struct ask *one = pass(stage, &stage->one, "drain.over.x"), *two = pass(stage, &stage->two, "drain.over"),
		   *close;

	close = begin_close(stage, 0, "drain.over", "drain=200ms&on_drain=proceed");
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_true(close->came_ns - close->sent_ns >= 200000000);
	assert_true(ask_true(look_up(stage, one), "overrun"));
	assert_true(ask_true(look_up(stage, two), "overrun"));
	assert_text(look_up(stage, two), "state", "inside");
	assert_number(get(stage, "/v1/gates/drain.over"), "passes.count", 2);
	release(stage, 1, one);
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.locks where gate = 'drain.over' and mode = 'exclusive')"
		" and not exists (select from deploy_gate.locks where gate = 'drain.over' and mode = 'shared')");
}

static void test_drain__stop_tells_them_first(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.stop"), *close;

	close = begin_close(stage, 1, "drain.stop", "drain=100ms&on_drain=stop");
	psql_until(&stage->admin,
		"select count(*) = 2 from deploy_gate.lease where gates = '{drain.stop}' and stop_at is not null");
	assert_int_equal(strlen(ask_text(look_up(stage, inside), "stop_at")), strlen("2024-05-31T14:30:00.000Z"));
	assert_true(ask_number(look_up(stage, inside), "stop_ago_ms") >= 0);
	assert_false(http_done(close));
	let_come(stage, "drain.stop", "drain_until");
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_true(ask_true(look_up(stage, inside), "overrun"));
}

static void test_drain__goes_on_behind_a_timeout(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.time"), *close;

	close = post(stage, "/v1/gates/drain.time/close", "timeout=200ms&token=" TOKEN("time"));
	assert_answer(close, 409, "draining");
	assert_contains(ask_text(close, "detail"), "ask again with the same token");
	assert_answer(get(stage, "/v1/gates/drain.time/check"), 423, "closed");
	close = begin_close(stage, 1, "drain.time", "token=" TOKEN("time"));
	psql_until(&stage->admin, "select claim_session is not null from deploy_gate.lease where id = " ID_OF("time"));
	release(stage, 0, inside);
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_answer(post(stage, "/v1/gates/drain.time/close", "token=" TOKEN("time")), 200, NULL);
}

/* Nobody came back: whether it closed meanwhile or not, the gate opens. */
static void test_drain__that_nobody_comes_back_for_is_abandoned(void **state)
{
	static const char *const gates[] = { "drain.gone.still", "drain.gone.closed" };
	struct stage *stage = *state;

	for (int i = 0; i < 2; i++) {
		struct ask *inside = pass(stage, &stage->one, gates[i]), *close;

		close = begin_close(stage, 1, gates[i], "");
		await_state(stage, gates[i], "draining");
		http_hang_up(close);
		psql_until(&stage->admin,
			"select unclaimed_at is not null from deploy_gate.lease where gates = '{%s}' and kind = "
			"'window'",
			gates[i]);
		if (i)
			release(stage, 0, inside);
		if (i)
			await_state(stage, gates[i], "closed");
		psql_run(&stage->admin,
			"update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '16 s' where gates = "
			"'{%s}'",
			gates[i]);
		psql_until(&stage->admin,
			"select ending = 'abandoned' from deploy_gate.lease where gates = '{%s}' and kind = 'window'",
			gates[i]);
		pass(stage, &stage->two, gates[i]);
	}
}

static void test_drain__ends_by_force(void **state)
{
	struct stage *stage = *state;
	struct ask *close, *job;

	pass(stage, &stage->one, "drain.force");
	close = begin_close(stage, 1, "drain.force", "");
	await_state(stage, "drain.force", "draining");
	job = http_begin(&stage->http, &stage->two, "POST /v1/gates/drain.force/pass", "wait=50s");
	assert_answer(post(stage, "/v1/gates/drain.force/force-open", "reason=urgent"), 200, NULL);
	http_finish(close);
	assert_answer(close, 410, "gone");
	assert_text(close, "lease.end", "forced");
	http_finish(job);
	assert_answer(job, 201, NULL);
}

static void test_drain__of_a_takeover_waits_for_what_the_other_let_in(void **state)
{
	struct stage *stage = *state;
	struct ask *inside, *close;

	post(stage, "/v1/gates/drain.take/close", "token=" TOKEN("take"));
	inside = http_ask_with(
		&stage->http, &stage->two, "X-Lease-Token: " TOKEN("take"), "POST /v1/gates/drain.take/pass", "ttl=1m");
	assert_answer(inside, 201, NULL);
	close = begin_close(stage, 1, "drain.take", "takeover=true&reason=ann+is+ill&holder=bob");
	psql_until(&stage->admin, "select ending = 'taken_over' from deploy_gate.lease where id = " ID_OF("take"));
	assert_false(http_done(close));
	assert_answer(get(stage, "/v1/gates/drain.take/check"), 423, "closed");
	release(stage, 0, inside);
	http_finish(close);
	assert_answer(close, 201, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain__closes_behind_the_last_job),
		cmocka_unit_test(test_drain__of_a_set_tells_of_the_gate_with_jobs_inside),
		cmocka_unit_test(test_drain__abort_is_409_and_opens_the_gate),
		cmocka_unit_test(test_drain__proceed_closes_over_them),
		cmocka_unit_test(test_drain__stop_tells_them_first),
		cmocka_unit_test(test_drain__goes_on_behind_a_timeout),
		cmocka_unit_test(test_drain__that_nobody_comes_back_for_is_abandoned),
		cmocka_unit_test(test_drain__ends_by_force),
		cmocka_unit_test(test_drain__of_a_takeover_waits_for_what_the_other_let_in),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
