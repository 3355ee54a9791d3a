/* pass: each way it comes out, waiting, and what becomes of it when somebody dies. */
#include "support/stage.h"

#include <stdio.h>

#include "support/cluster.h"

/* The id of the lease of a token, in SQL. */
#define ID_OF(word) "left(encode(sha256('" TOKEN(word) "'), 'hex'), 32)"

enum { BURST = 100 };

static long long count_inside(struct stage *stage, const char *gate)
{
	char target[80];

	snprintf(target, sizeof(target), "/v1/gates/%s", gate);
	return ask_number(get(stage, target), "passes.count");
}

static void test_pass__is_made(void **state)
{
	struct stage *stage = *state;
	struct ask *ask =
		post(stage, "/v1/gates/pass.made/pass", "holder=ann&job=night&ttl=1m&reason=r&token=" TOKEN("made"));
	char target[80];

	assert_answer(ask, 201, NULL);
	assert_text(ask, "token", TOKEN("made"));
	assert_text(ask, "kind", "pass");
	assert_text(ask, "state", "inside");
	assert_text(ask, "job", "night");
	assert_number(ask, "ttl_ms", 60000);
	assert_true(ask_number(ask, "expires_in_ms") > 50000);
	snprintf(target, sizeof(target), "/v1/leases/%s", ask_text(ask, "id"));
	assert_text(get(stage, target), "holder", "ann");
	assert_answer(get(stage, "/v1/gates/pass.made/check"), 200, NULL);
	ask = get(stage, "/v1/gates/pass");
	assert_number(ask, "passes.count", 1);
	assert_contains(ask->text, "night");
	ask = post(stage, "/v1/gates/pass.other/pass", NULL);
	assert_answer(ask, 201, NULL);
	assert_number(ask, "ttl_ms", 600000);
	assert_int_equal(strlen(ask_text(ask, "token")), 32);
	assert_text(get(stage, "/v1/events?gate=pass.made&kind=passed"), "events.holder", "");
	assert_contains(get(stage, "/v1/events?gate=pass.made&kind=passed")->text, "\"ann\"");
}

static void test_pass__again_with_its_token_is_the_same_pass(void **state)
{
	struct stage *stage = *state;
	struct ask *first = post(stage, "/v1/gates/pass.again/pass", "token=" TOKEN("again")), *drain, *second;

	assert_answer(first, 201, NULL);
	second = http_ask(&stage->http, &stage->two, "POST /v1/gates/pass.again/pass", "token=" TOKEN("again"));
	assert_answer(second, 200, NULL);
	assert_text(second, "id", ask_text(first, "id"));
	/* Also where nobody new gets in any more, waiting or not. */
	drain = http_begin(&stage->http, &stage->one, "POST /v1/gates/pass.again/close", NULL);
	psql_until(&stage->admin, "select exists (select from deploy_gate.lease where state = 'draining')");
	assert_answer(post(stage, "/v1/gates/pass.again/pass", "token=" TOKEN("again")), 200, NULL);
	assert_answer(post(stage, "/v1/gates/pass.again/pass", "wait=50s&token=" TOKEN("again")), 200, NULL);
	assert_answer(post(stage, "/v1/gates/pass.again.x/pass", "token=" TOKEN("again")), 409, "token_used");
	assert_answer(post(stage, "/v1/gates/pass.again/close", "token=" TOKEN("again")), 409, "token_used");
	release(stage, 1, first);
	release(stage, 0, first);
	http_finish(drain);
	assert_answer(drain, 201, NULL);
	assert_answer(post(stage, "/v1/gates/pass.again/pass", "token=" TOKEN("again")), 410, "gone");
}

static void test_pass__of_a_shut_gate_is_423(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/pass.shut/close", "holder=ann&reason=release&token=" TOKEN("shut"));
	ask = post(stage, "/v1/gates/pass.free,pass.shut.below/pass", "token=" TOKEN("shut-job"));
	assert_answer(ask, 423, "closed");
	assert_contains(
		ask_text(ask, "detail"), "pass.shut.below is shut because pass.shut is closed by ann (release)");
	assert_text(ask, "gate.window.holder", "ann");
	assert_string_equal(ask_field(ask, "Retry-After"), "1");
	assert_number(get(stage, "/v1/gates/pass.free"), "passes.count", 0);
	ask = post(stage, "/v1/gates/pass.shut/pass", "wait=200ms&token=" TOKEN("shut-job"));
	assert_answer(ask, 423, "closed");
	assert_true(ask->came_ns - ask->sent_ns >= 200000000);
	assert_answer(post(stage, "/v1/gates/pass.shut/pass", "wait=1h&timeout=200ms&token=" TOKEN("shut-job")), 423,
		"closed");
	assert_answer(post(stage, "/v1/gates/pass.shut/pass", "wait=10"), 400, "bad_request");
	assert_answer(post(stage, "/v1/gates/pass.shut/pass", "drain=10s"), 400, "bad_request");
	assert_answer(post(stage, "/v1/gates/pass.free/pass", "token=" TOKEN("shut-job")), 201, NULL);
}

static void test_pass__waits_until_the_gate_opens(void **state)
{
	struct stage *stage = *state;
	struct ask *one, *two;

	post(stage, "/v1/gates/pass.wait/close", "token=" TOKEN("wait"));
	one = begin_pass(stage, 0, "pass.wait.below", "wait=50s&holder=ann&job=night");
	two = begin_pass(stage, 1, "pass.wait,pass.elsewhere", "wait=50s");
	await_jobs(stage, "pass.wait.below", 1);
	await_jobs(stage, "pass.wait", 1);
	assert_contains(get(stage, "/v1/gates/pass.wait")->text, "\"night\"");
	assert_number(get(stage, "/v1/gates/pass.wait"), "waiting.jobs.count", 2);
	assert_false(http_done(one) || http_done(two));
	post(stage, "/v1/gates/pass.wait/open", "token=" TOKEN("wait"));
	http_finish(one);
	http_finish(two);
	assert_answer(one, 201, NULL);
	assert_answer(two, 201, NULL);
	assert_true(ask_number(one, "fence") > 0);
	await_jobs(stage, "pass.wait.below", 0);
}

/* All that wait when a gate opens go in by a batch or two of each server. */
static void test_pass__a_burst_is_let_in_together(void **state)
{
	struct stage *stage = *state;
	struct ask *asks[BURST];

	post(stage, "/v1/gates/pass.burst/close", "token=" TOKEN("burst"));
	for (int i = 0; i < BURST; i++)
		asks[i] = begin_pass(stage, i, "pass.burst", "wait=50s");
	await_jobs(stage, "pass.burst", BURST);
	post(stage, "/v1/gates/pass.burst/open", "token=" TOKEN("burst"));
	for (int i = 0; i < BURST; i++) {
		http_finish(asks[i]);
		assert_answer(asks[i], 201, NULL);
	}
	assert_int_equal(count_inside(stage, "pass.burst"), BURST);
	assert_true(psql_number(&stage->admin,
			    "select count(distinct at) from deploy_gate.event where kind = 'passed' and gate = "
			    "'pass.burst'") <= 4);
}

/* The lock that this replica holds already does not let anybody past a plain session that lines up for it. */
static void test_pass__waits_behind_somebody_outside_who_lines_up(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = post(stage, "/v1/gates/pass.outside/pass", NULL), *ask;
	struct psql ann;

	psql_open(&ann, &stage->db, "application_name=by-hand");
	psql_send(&ann, "select pg_advisory_lock(deploy_gate.key('pass.outside'))");
	psql_until(&stage->admin, "select exists (select from pg_locks where pid = %d and not granted)", ann.pid);
	ask = post(stage, "/v1/gates/pass.outside/pass", "token=" TOKEN("outside"));
	assert_answer(ask, 423, "closed");
	assert_contains(ask_text(ask, "detail"), "by-hand");
	ask = begin_pass(stage, 1, "pass.outside", "wait=50s");
	await_jobs(stage, "pass.outside", 1);
	release(stage, 0, inside);
	assert_string_equal(psql_finish(&ann), "00000");
	assert_false(http_done(ask));
	psql_close(&ann);
	http_finish(ask);
	assert_answer(ask, 201, NULL);
}

static void test_pass__of_a_gate_nobody_knows_is_404_where_they_must_be_known(void **state)
{
	struct stage *stage = *state;
	struct server three = { 0 };

	server_start(&three, stage->db.conninfo, "three", (const char *const[]){ "--known-gates-only", NULL });
	assert_answer(http_ask(&stage->http, &three, "POST /v1/gates/pass.nobody/pass", "wait=10s"), 404, "not_found");
	server_release(&three);
}

static void test_pass__its_lease_is_renewed_amended_and_ends_by_itself(void **state)
{
	struct stage *stage = *state;
	struct ask *pass = post(stage, "/v1/gates/pass.life/pass", "ttl=10m"), *ask;
	char target[80];

	snprintf(target, sizeof(target), "/v1/leases/%s/renew", ask_text(pass, "id"));
	ask = post(stage, target, "ttl=3s&token=%s", ask_text(pass, "token"));
	assert_answer(ask, 200, NULL);
	assert_number(ask, "ttl_ms", 3000);
	assert_in_range(ask_number(ask, "expires_in_ms"), 1, 3000);
	assert_answer(post(stage, target, "token=" TOKEN("somebody")), 409, "not_holder");
	psql_until(&stage->admin, "select ending = 'expired' from deploy_gate.lease where id = '%s'",
		ask_text(pass, "id"));
	ask = post(stage, target, "token=%s", ask_text(pass, "token"));
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "expired");
	assert_true(psql_true(&stage->admin,
		"select ended_at - created_at >= interval '3 s' from deploy_gate.lease where id = '%s'",
		ask_text(pass, "id")));
}

static void test_hangup__of_a_pass_that_waits_lets_nobody_in(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/pass.gone/close", "token=" TOKEN("gone"));
	ask = begin_pass(stage, 1, "pass.gone", "wait=50s&token=" TOKEN("gone-job"));
	await_jobs(stage, "pass.gone", 1);
	http_hang_up(ask);
	post(stage, "/v1/gates/pass.gone/open", "token=" TOKEN("gone"));
	assert_answer(http_ask(&stage->http, &stage->two, "GET /v1/gates/pass.gone/check", NULL), 200, NULL);
	assert_int_equal(count_inside(stage, "pass.gone"), 0);
}

/* Made in a batch that is held up, for a client that is gone by then. */
static void test_hangup__before_the_answer_ends_the_pass_after_15_s(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *other;

	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	ask = begin_pass(stage, 1, "pass.nobody", "token=" TOKEN("nobody"));
	other = begin_pass(stage, 1, "pass.nobody", "token=" TOKEN("nobody-2"));
	for (int i = 0; i < 20; i++)
		assert_false(http_done(ask));
	http_hang_up(ask);
	http_hang_up(other);
	psql_run(&stage->admin, "commit");
	psql_until(&stage->admin,
		"select count(*) = 2 from deploy_gate.lease where gates = '{pass.nobody}' and unclaimed_at is not "
		"null");
	assert_answer(post(stage, "/v1/gates/pass.nobody/pass", "token=" TOKEN("nobody-2")), 201, NULL);
	psql_run(&stage->admin,
		"update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '16 s' where unclaimed_at is not "
		"null");
	psql_until(&stage->admin, "select ending = 'abandoned' from deploy_gate.lease where id = " ID_OF("nobody"));
	assert_int_equal(count_inside(stage, "pass.nobody"), 1);
}

static void test_inside__a_deploy_lets_its_own_jobs_in_at_any_server(void **state)
{
	struct stage *stage = *state;
	struct ask *ask, *next;

	post(stage, "/v1/gates/pass.own/close", "token=" TOKEN("own"));
	ask = http_ask_with(&stage->http, &stage->two, "X-Lease-Token: " TOKEN("own"), "POST /v1/gates/pass.own.x/pass",
		"token=" TOKEN("own-job"));
	assert_answer(ask, 201, NULL);
	assert_text(ask, "token", TOKEN("own-job"));
	assert_answer(http_ask_with(&stage->http, &stage->two, "X-Lease-Token: " TOKEN("not-own"),
			      "POST /v1/gates/pass.own.x/pass", "wait=0s"),
		423, "closed");
	assert_answer(post(stage, "/v1/gates/pass.own/open", "token=" TOKEN("own")), 200, NULL);
	/* From now on it is a job like any other, and the next deploy waits for it. */
	next = http_begin(&stage->http, &stage->one, "POST /v1/gates/pass.own/close", NULL);
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.lease where state = 'draining' and gates = '{pass.own}')");
	assert_answer(http_ask_with(&stage->http, &stage->two, "X-Lease-Token: " TOKEN("own"),
			      "POST /v1/gates/pass.own/pass", "wait=0s"),
		423, "closed");
	release(stage, 0, ask);
	http_finish(next);
	assert_answer(next, 201, NULL);
}

/* Whether a registered session of that server holds the gate's lock shared. */
static const char shared_by[] =
	"select exists (select from pg_locks l join deploy_gate.session s on s.pid = l.pid and s.ended_at is null"
	" where l.locktype = 'advisory' and l.granted and l.mode = 'ShareLock' and s.name = '%s' and s.role = 'locks'"
	" and (l.classid::bigint << 32) | l.objid::bigint = deploy_gate.key('crash'))";

static void test_crash__of_a_server_with_passes_inside(void **state)
{
	struct stage *stage = *state;
	struct ask *pass = post(stage, "/v1/gates/crash.below/pass", NULL), *drain;

	assert_true(psql_true(&stage->admin, shared_by, "one"));
	server_kill(&stage->one);
	drain = http_begin(&stage->http, &stage->two, "POST /v1/gates/crash/close", NULL);
	psql_until(&stage->admin, shared_by, "two");
	assert_false(http_done(drain));
	release(stage, 1, pass);
	http_finish(drain);
	assert_answer(drain, 201, NULL);
}

static void test_crash__none_but_a_clean_stop(void **state)
{
	struct stage *stage = *state;
	struct ask *pass = post(stage, "/v1/gates/crash.below/pass", NULL), *waiting;

	post(stage, "/v1/gates/crash.other/close", NULL);
	waiting = begin_pass(stage, 0, "crash.other", "wait=50s");
	await_jobs(stage, "crash.other", 1);
	server_stop(&stage->one);
	http_finish(waiting);
	assert_answer(waiting, 503, "unavailable");
	psql_until(&stage->admin, shared_by, "two");
	release(stage, 1, pass);
	assert_int_equal(
		ask_number(http_ask(&stage->http, &stage->two, "GET /v1/gates/crash", NULL), "passes.count"), 0);
}

static void await_ready(struct stage *stage, const struct server *server)
{
	while (http_ask(&stage->http, server, "GET /readyz", NULL)->status != 200)
		;
}

static void test_crash__of_postgresql_with_passes_inside(void **state)
{
	struct stage stage = { 0 };
	struct cluster cluster = { 0 };
	struct ask *pass, *drain;

	(void)state;
	cluster_start(&cluster);
	stage.db = cluster.db;
	server_start(&stage.one, cluster.db.conninfo, "one", NULL);
	server_start(&stage.two, cluster.db.conninfo, "two", NULL);
	http_init(&stage.http);
	pass = post(&stage, "/v1/gates/crash/pass", "ttl=1m");
	assert_answer(pass, 201, NULL);
	cluster_restart(&cluster, "immediate");
	psql_open(&stage.admin, &cluster.db, NULL);
	await_ready(&stage, &stage.one);
	await_ready(&stage, &stage.two);
	psql_until(&stage.admin, shared_by, "one");
	assert_int_equal(count_inside(&stage, "crash"), 1);
	drain = http_begin(&stage.http, &stage.two, "POST /v1/gates/crash/close", NULL);
	psql_until(&stage.admin, "select exists (select from deploy_gate.lease where state = 'draining')");
	release(&stage, 1, pass);
	http_finish(drain);
	assert_answer(drain, 201, NULL);
	http_release(&stage.http);
	psql_close(&stage.admin);
	server_release(&stage.one);
	server_release(&stage.two);
	cluster_release(&cluster);
}

static int main_group(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass__is_made),
		cmocka_unit_test(test_pass__again_with_its_token_is_the_same_pass),
		cmocka_unit_test(test_pass__of_a_shut_gate_is_423),
		cmocka_unit_test(test_pass__waits_until_the_gate_opens),
		cmocka_unit_test(test_pass__a_burst_is_let_in_together),
		cmocka_unit_test(test_pass__waits_behind_somebody_outside_who_lines_up),
		cmocka_unit_test(test_pass__of_a_gate_nobody_knows_is_404_where_they_must_be_known),
		cmocka_unit_test(test_pass__its_lease_is_renewed_amended_and_ends_by_itself),
		cmocka_unit_test(test_hangup__of_a_pass_that_waits_lets_nobody_in),
		cmocka_unit_test(test_hangup__before_the_answer_ends_the_pass_after_15_s),
		cmocka_unit_test(test_inside__a_deploy_lets_its_own_jobs_in_at_any_server),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}

int main(void)
{
	const struct CMUnitTest alone[] = {
		STAGE_TEST(test_crash__of_a_server_with_passes_inside),
		STAGE_TEST(test_crash__none_but_a_clean_stop),
		cmocka_unit_test(test_crash__of_postgresql_with_passes_inside),
	};
	int failed = main_group();

	return failed ? failed : cmocka_run_group_tests(alone, NULL, NULL);
}
