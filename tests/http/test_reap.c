/* reap: who may be ended, what becomes of those who held something, and that many of them do not hold up everybody else. */
#include "support/stage.h"

#include <stdio.h>

#include <cjson/cJSON.h>

#include "support/stream.h"

enum { MANY = 2000, PIECE = 100 };

static int count_leases(const struct ask *ask)
{
	return cJSON_GetArraySize(cJSON_GetObjectItem(ask->body, "leases"));
}

/* The gates of the nth lease that was ended, of which it has one. */
static const char *gate_of(const struct ask *ask, int n)
{
	const cJSON *lease = cJSON_GetArrayItem(cJSON_GetObjectItem(ask->body, "leases"), n);

	return cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(lease, "gates"), 0));
}

static void test_reap__says_what_it_lacks(void **state)
{
	static const struct {
		const char *body, *says;
	} cases[] = {
		{ "reason=x", "older_than or all=true: say one of them" },
		{ "reason=x&all=false", "older_than or all=true: say one of them" },
		{ "reason=x&all=true&older_than=1h", "older_than or all=true: say one of them" },
		{ "all=true", "reason: is missing" },
		{ "all=true&reason=", "reason: must not be empty" },
		{ "reason=x&older_than=10", "older_than" },
		{ "reason=x&older_than=0s", "older_than" },
		{ "reason=x&all=true&kind=ticket", "window|pass" },
		{ "reason=x&all=true&gates=a,,b", "gate" },
		{ "reason=x&all=true&gate=a", "did you mean gates?" },
	};
	struct ask *window = post(*state, "/v1/gates/reap.lacks/close", "token=" TOKEN("lacks"));

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ask *ask = post(*state, "/v1/reap", "%s", cases[i].body);

		assert_answer(ask, 400, "bad_request");
		assert_contains(ask_text(ask, "detail"), cases[i].says);
	}
	assert_answer(window, 201, NULL);
	assert_answer(get(*state, "/v1/gates/reap.lacks/check"), 423, "closed");
	assert_answer(post(*state, "/v1/reap", "{\"reason\":\"x\",\"all\":true,\"gates\":\"reap.lacks\"}"), 200, NULL);
	assert_answer(get(*state, "/v1/gates/reap.lacks/check"), 200, NULL);
}

static void test_reap__tells_what_it_ended_and_the_history_why(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/reap.told.old/close", "token=" TOKEN("told-old"));
	post(stage, "/v1/gates/reap.told.young/pass", "token=" TOKEN("told-young"));
	psql_run(&stage->admin,
		"update deploy_gate.lease set created_at = created_at - interval '1 h' where gates = "
		"'{reap.told.old}'");
	ask = post(stage, "/v1/reap", "older_than=59m&gates=reap.told&reason=stale&holder=ann");
	assert_answer(ask, 200, NULL);
	assert_int_equal(count_leases(ask), 1);
	assert_string_equal(gate_of(ask, 0), "reap.told.old");
	assert_contains(ask->text, "\"end\":\"reaped\"");
	assert_null(strstr(ask->text, TOKEN("told-old")));
	ask = post(stage, "/v1/reap?format=text", "all=true&gates=reap.told&reason=rest");
	assert_contains(ask->text, "leases.0.gates.0: reap.told.young\n");
	ask = post(stage, "/v1/reap", "all=true&gates=reap.told&reason=rest");
	assert_string_equal(ask->text, "{\"leases\":[]}");
	ask = get(stage, "/v1/events?gate=reap.told.old&kind=reaped");
	assert_contains(ask->text, "\"reason\" : \"stale\"");
	assert_contains(ask->text, "\"by\" : \"ann\"");
	ask = post(stage, "/v1/gates/reap.told.old/open", "token=" TOKEN("told-old"));
	assert_answer(ask, 410, "gone");
	assert_contains(ask_text(ask, "detail"), "it was reaped by ann");
	assert_text(ask, "lease.end_reason", "stale");
}

/* Whoever held something is told, at whichever server; whoever waited goes on; and the locks are free. */
static void test_reap__reaches_all_whom_it_concerns(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/reap.all/close", "token=" TOKEN("all-window"));
	struct ask *pass = post(stage, "/v1/gates/reap.else/pass", "token=" TOKEN("all-pass")), *wait, *queued, *ask;
	struct ask *one = stream_attach(&stage->http, &stage->two, ask_text(window, "id"), TOKEN("all-window"));
	struct ask *two = stream_attach(&stage->http, &stage->two, ask_text(pass, "id"), TOKEN("all-pass"));

	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/reap.all.x/wait?timeout=50s", NULL);
	await_jobs(stage, "reap.all.x", 1);
	ask = http_ask(&stage->http, &stage->one, "POST /v1/reap", "all=true&gates=reap&reason=all");
	assert_answer(ask, 200, NULL);
	assert_int_equal(count_leases(ask), 2);
	assert_true(psql_true(&stage->admin,
		"select pg_try_advisory_lock(deploy_gate.key('reap.all')) and"
		" pg_advisory_unlock(deploy_gate.key('reap.all'))"));
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	stream_await(one, "lost", 1);
	stream_await(two, "lost", 1);
	assert_string_equal(stream_text(two, "lost", 1, "end"), "reaped");
	post(stage, "/v1/gates/reap.all/close", "token=" TOKEN("all-second"));
	queued = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/reap.all/close", "wait=50s&token=" TOKEN("all-queued"));
	await_deploys(stage, "reap.all", 1);
	post(stage, "/v1/reap", "all=true&gates=reap.all&reason=again");
	http_finish(queued);
	assert_answer(queued, 201, NULL);
	post(stage, "/v1/gates/reap.all/open", "token=" TOKEN("all-queued"));
}

/* One that waits for jobs to leave is told so, at the other server. */
static void test_reap__ends_a_close_that_drains(void **state)
{
	struct stage *stage = *state;
	struct ask *close;

	post(stage, "/v1/gates/reap.drain/pass", "token=" TOKEN("drain-pass"));
	close = http_begin(&stage->http, &stage->two, "POST /v1/gates/reap.drain/close", "drain=10m");
	psql_until(&stage->admin,
		"select drain_until is not null from deploy_gate.lease where gates = '{reap.drain}' and state = "
		"'draining'");
	assert_int_equal(count_leases(post(stage, "/v1/reap", "all=true&kind=window&gates=reap.drain&reason=x")), 1);
	http_finish(close);
	assert_answer(close, 410, "gone");
	assert_answer(post(stage, "/v1/gates/reap.drain/pass", NULL), 201, NULL);
}

/* In pieces, with others' batches in between; and all of them are told, the oldest first. */
static void test_reap__of_thousands_goes_in_pieces(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *other;

	psql_run(&stage->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at, expires_at, "
		"session, locked)"
		" select left(d, 32), d, 'pass', 'inside', array['herd.' || i], 600000, clock_timestamp() - i * "
		"interval '1 s',"
		" clock_timestamp() + interval '1 h', s.number, true"
		" from generate_series(1, %d) i, encode(sha256(format('herd%%s', i)::bytea), 'hex') d, "
		"deploy_gate.session s"
		" where s.name = 'one' and s.role = 'locks' and s.ended_at is null;"
		" insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)"
		" select id, gates[1], 'pass', deploy_gate.key(gates[1]), array[deploy_gate.key('herd')]"
		" from deploy_gate.lease where gates[1] like 'herd.%%'",
		MANY);
	ask = http_begin(&stage->http, &stage->two, "POST /v1/reap", "all=true&gates=herd&reason=too+many");
	other = http_ask(&stage->http, &stage->two, "POST /v1/gates/beside/close", "token=" TOKEN("beside"));
	assert_answer(other, 201, NULL);
	http_finish(ask);
	assert_answer(ask, 200, NULL);
	assert_int_equal(count_leases(ask), MANY);
	assert_string_equal(gate_of(ask, MANY - 1), "herd.1");
	assert_int_equal(psql_number(&stage->admin,
				 "select count(distinct xmin::text) from deploy_gate.lease where ending = 'reaped'"
				 " and gates[1] like 'herd.%%'"),
		MANY / PIECE);
	psql_until(&stage->admin,
		"select not exists (select from deploy_gate.locks where gate like 'herd%%' and granted)");
}

/* What came of it is not known then, and it says where to look. */
static void test_reap__is_503_where_the_database_goes_away(void **state)
{
	struct stage *stage = *state;
	int64_t deadline_ns;
	unsigned tries;
	struct ask *ask;

	post(stage, "/v1/gates/reap.away/close", "token=" TOKEN("away"));
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	ask = http_begin(&stage->http, &stage->one, "POST /v1/reap", "all=true&gates=reap.away&reason=x");
	/* Behind an answer to one that came later it has arrived, and the batch that fails next goes again with it. */
	assert_answer(get(stage, "/healthz"), 200, NULL);
	tries = server_logged(&stage->one, "event=batch_failed");
	while (server_logged(&stage->one, "event=batch_failed") < tries + 2)
		http_done(ask);
	psql_run(&stage->admin,
		"select pg_terminate_backend(pid, 5000) from deploy_gate.session"
		" where name = 'one' and role = 'locks' and ended_at is null");
	http_finish(ask);
	psql_run(&stage->admin, "commit");
	assert_answer(ask, 503, "unavailable");
	assert_contains(ask_text(ask, "detail"), "not known how many were ended");
	deadline_ns = clock_ns() + 60000000000;
	while (get(stage, "/readyz")->status != 200)
		assert_true(clock_ns() < deadline_ns);
	assert_int_equal(count_leases(post(stage, "/v1/reap", "all=true&gates=reap.away&reason=x")), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reap__says_what_it_lacks),
		cmocka_unit_test(test_reap__tells_what_it_ended_and_the_history_why),
		cmocka_unit_test(test_reap__reaches_all_whom_it_concerns),
		cmocka_unit_test(test_reap__ends_a_close_that_drains),
		cmocka_unit_test(test_reap__of_thousands_goes_in_pieces),
		cmocka_unit_test(test_reap__is_503_where_the_database_goes_away),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
