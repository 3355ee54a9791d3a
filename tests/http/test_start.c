/* Databases that must not be used, or are not there: each is refused at start with what to change, by its exit code. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "support/cluster.h"

enum { LOOKS = 100, LOOK_NS = 20000000 };

static const char *const briefly[] = { "--start-timeout", "300ms", NULL };

/* Refused with that exit code, and one sentence that says these. */
static void refuses(const char *conninfo, int code, const char *says, const char *and_says)
{
	struct server server;
	char *log;
	int came = server_fail(&server, conninfo, briefly);

	log = server_log(&server);
	if (came != code || !strstr(log, "deploy-gated: ") || !strstr(log, says) || !strstr(log, and_says))
		fail_msg("exit %d, wanted %d \"%s\" \"%s\": %s", came, code, says, and_says, log);
	free(log);
	server_release(&server);
}

static void test_start__without_a_database_is_69(void **state)
{
	(void)state;
	refuses("host=127.0.0.1 port=1 user=x dbname=x", 69, "--database (DEPLOY_GATED_DATABASE)",
		"Connection refused");
	refuses("host=/tmp/there-is-no-such-directory user=x dbname=x", 69, "--database (DEPLOY_GATED_DATABASE)",
		"No such file");
	refuses("host=no-such-host.invalid user=x dbname=x", 69, "--database (DEPLOY_GATED_DATABASE)",
		"no-such-host.invalid");
}

static void test_start__with_a_connection_string_that_cannot_be_read_is_78(void **state)
{
	(void)state;
	refuses("host=x colour=red", 78, "database: ", "colour");
	refuses("host='x", 78, "database: ", "unterminated");
	refuses("postgres://[::1", 78, "database: ", "IPv6");
}

static void test_start__through_a_pooler_is_78(void **state)
{
	static const char *const modes[] = { "session", "transaction", "statement" };
	struct cluster *cluster = *state;

	for (size_t i = 0; i < 3; i++) {
		struct pooler open = { 0 }, strict = { 0 };

		pooler_start(&open, cluster, modes[i], "ignore_startup_parameters = options");
		refuses(open.conninfo, 78, "pooler", "connect to PostgreSQL itself");
		pooler_release(&open);
		pooler_start(&strict, cluster, modes[i], "");
		refuses(strict.conninfo, 78, "pooler", "connect to PostgreSQL itself");
		pooler_release(&strict);
	}
}

/* A standby learns late what was committed and knows of no lock: it answers nothing about gates, and says whom to ask. */
static void ask_standby(const struct cluster *standby)
{
	static const char *const calls[] = { "select deploy_gate.is_open('standby')",
		"call deploy_gate.wait_open('standby', '1 s')", "select deploy_gate.assert_fence('standby', 1)" };
	struct psql psql;

	psql_open(&psql, &standby->db, NULL);
	psql_until(&psql, "select to_regprocedure('deploy_gate.is_open(text)') is not null");
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		assert_string_equal(psql_state(&psql, "%s", calls[i]), "25006");
		assert_contains(psql_message(&psql), "standby");
		assert_contains(psql_hint(&psql), "primary");
	}
	psql_close(&psql);
}

static void test_start__on_a_standby_is_78(void **state)
{
	struct cluster *primary = *state, standby = { 0 };
	char both[600];
	struct server server;

	cluster_follow(&standby, primary);
	refuses(standby.db.conninfo, 78, "standby", "primary");
	/* Among several hosts the primary is found. */
	snprintf(both, sizeof(both), "host=%s,%s port=%u,%u user=postgres dbname=postgres", standby.dir, primary->dir,
		standby.port, primary->port);
	server_start(&server, both, NULL, NULL);
	ask_standby(&standby);
	server_stop(&server);
	server_release(&server);
	cluster_release(&standby);
}

static void test_start__on_a_newer_schema_is_78(void **state)
{
	struct server server;
	struct psql psql = { 0 };
	struct db db;

	(void)state;
	db_create(&db);
	server_start(&server, db.conninfo, NULL, NULL);
	server_stop(&server);
	server_release(&server);
	psql_open(&psql, &db, NULL);
	psql_run(&psql, "insert into deploy_gate.schema_version (version, applied_by) values (9999, 'the future')");
	refuses(db.conninfo, 78, "9999", "use a newer release");
	psql_run(&psql, "delete from deploy_gate.schema_version where version = 9999");
	psql_close(&psql);
	server_start(&server, db.conninfo, NULL, NULL);
	server_stop(&server);
	server_release(&server);
	db_drop(&db);
}

/* The sanitised build has an exit code of its own for what is not given back. */
static void test_start__where_it_cannot_listen_is_78(void **state)
{
	struct server first, second;
	char listen[32], *log;
	struct db db;

	(void)state;
	db_create(&db);
	server_start(&first, db.conninfo, NULL, NULL);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", first.port);
	assert_int_equal(server_fail(&second, db.conninfo, (const char *const[]){ "--listen", listen, NULL }), 78);
	log = server_log(&second);
	assert_contains(log, "deploy-gated: cannot listen on 127.0.0.1:");
	assert_contains(log, ": Address already in use\n");
	free(log);
	server_release(&second);
	server_stop(&first);
	server_release(&first);
	db_drop(&db);
}

/* Another release may have declared what the service calls otherwise, and had functions that this one has not. What others may
 * call keeps the grants that people gave. */
static void test_start__over_the_functions_of_another_release(void **state)
{
	struct server server;
	struct psql psql = { 0 };
	struct db db;

	(void)state;
	db_create(&db);
	server_start(&server, db.conninfo, NULL, NULL);
	server_stop(&server);
	server_release(&server);
	psql_open(&psql, &db, NULL);
	psql_run(&psql, "drop function deploy_gate.change(text[])");
	psql_run(&psql,
		"create function deploy_gate.change(gates text[]) returns bigint language sql as 'select 1::bigint'");
	psql_run(&psql, "create function deploy_gate.bygone() returns bigint language sql as 'select 1::bigint'");
	psql_run(&psql, "grant execute on function deploy_gate.force_open(text, text) to pg_monitor");
	psql_run(&psql, "update deploy_gate.functions_version set digest = 'another'");
	server_start(&server, db.conninfo, NULL, NULL);
	assert_true(
		psql_true(&psql, "select pg_get_function_result('deploy_gate.change(text[])'::regprocedure) = 'text'"));
	assert_true(psql_true(&psql,
		"select to_regprocedure('deploy_gate.bygone()') is null"
		" and has_function_privilege('pg_monitor', 'deploy_gate.force_open(text, text)', 'execute')"
		" and has_function_privilege('pg_monitor', 'deploy_gate.is_open(text)', 'execute')"));
	server_stop(&server);
	server_release(&server);
	psql_close(&psql);
	db_drop(&db);
}

/* Waits until it says what to do. */
static void await_advice(struct stage *stage)
{
	int64_t deadline_ns = clock_ns() + 60000000000;

	while (!strstr(ask_text(get(stage, "/readyz"), "detail"), "select deploy_gate.adopt_database()"))
		assert_true(clock_ns() < deadline_ns);
}

/* Nothing is answered from a database that is not the service's, not even what is only read. */
static void assert_not_served(struct stage *stage)
{
	static const char *const targets[] = { "/readyz", "/v1/gates/copy/check", "/v1/gates/copy", "/v1/gates" };

	await_advice(stage);
	assert_false(server_logged(&stage->one, "event=ready"));
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		assert_answer(get(stage, targets[i]), 503, "unavailable");
	assert_answer(post(stage, "/v1/gates/copy/close", NULL), 503, "unavailable");
}

/* A copy of the database in another cluster, or an older state of it, must not be served without a person saying so. */
static void test_start__on_a_copy_is_not_served_until_it_is_adopted(void **state)
{
	static const char *const strange[] = { "system_identifier = '1'", "timeline = timeline + 1" };
	struct stage stage = { 0 };
	long long fence;

	(void)state;
	db_create(&stage.db);
	server_start(&stage.one, stage.db.conninfo, NULL, NULL);
	psql_open(&stage.admin, &stage.db, NULL);
	http_init(&stage.http);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		fence = ask_number(post(&stage, "/v1/gates/copy/close", "takeover=true&reason=next"), "fence");
		assert_true(fence > 0);
		server_stop(&stage.one);
		server_release(&stage.one);
		psql_run(&stage.admin, "update deploy_gate.service set %s", strange[i]);
		server_launch(&stage.one, stage.db.conninfo, NULL, NULL);
		assert_not_served(&stage);
		psql_run(&stage.admin, "select deploy_gate.adopt_database()");
		server_await(&stage.one, "event=ready");
		assert_answer(get(&stage, "/v1/gates/copy/check"), 423, "closed");
		assert_true(ask_number(post(&stage, "/v1/gates/other/close", NULL), "fence") > fence + 1000000);
		post(&stage, "/v1/reap", "all=true&reason=test&gates=other");
	}
	http_release(&stage.http);
	server_stop(&stage.one);
	server_release(&stage.one);
	psql_close(&stage.admin);
	db_drop(&stage.db);
}

/* The same where a server that runs finds itself there after its sessions were lost: what waits goes on waiting, until a person
 * has decided. */
static void test_start__so_is_one_that_is_met_after_a_break(void **state)
{
	struct stage stage = { 0 };
	struct ask *wait;

	(void)state;
	db_create(&stage.db);
	server_start(&stage.one, stage.db.conninfo, "one", NULL);
	psql_open(&stage.admin, &stage.db, NULL);
	http_init(&stage.http);
	assert_answer(post(&stage, "/v1/gates/copy/close", "ttl=1h&token=" TOKEN("copy")), 201, NULL);
	wait = http_begin(&stage.http, &stage.one, "GET /v1/gates/copy/wait?timeout=50s", NULL);
	await_jobs(&stage, "copy", 1);
	/* An older state, which does not know of the window; nobody registers before it is there. */
	psql_run(&stage.admin,
		"begin; lock table deploy_gate.session;"
		" select pg_terminate_backend(pid, 5000) from deploy_gate.session where ended_at is null;"
		" update deploy_gate.service set timeline = timeline + 1;"
		" delete from deploy_gate.lease_gate; delete from deploy_gate.lease; commit");
	await_advice(&stage);
	for (int i = 0; i < LOOKS; i++) {
		assert_answer(get(&stage, "/v1/gates/copy/check"), 503, "unavailable");
		assert_false(http_done(wait));
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	psql_run(&stage.admin, "select deploy_gate.adopt_database()");
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	http_release(&stage.http);
	server_stop(&stage.one);
	server_release(&stage.one);
	psql_close(&stage.admin);
	db_drop(&stage.db);
}

/* Roles and databases change settings behind everybody's back: ours are pinned. */
static void test_start__settings_are_pinned_whatever_role_and_database_say(void **state)
{
	static const char *const poison[] = { "default_transaction_isolation = 'serializable'",
		"default_transaction_read_only = on", "synchronous_commit = off", "statement_timeout = '1ms'",
		"lock_timeout = '1ms'", "idle_session_timeout = '50ms'", "idle_in_transaction_session_timeout = '1ms'",
		"client_connection_check_interval = 0", "timezone = 'Asia/Kathmandu'", "datestyle = 'German'",
		"search_path = 'pg_temp, public'", NULL };
	struct stage stage = { 0 };

	(void)state;
	db_create(&stage.db);
	psql_open(&stage.admin, &stage.db, NULL);
	for (const char *const *setting = poison; *setting; setting++)
		psql_run(&stage.admin, "alter role current_user in database %s set %s", stage.db.name, *setting);
	server_start(&stage.one, stage.db.conninfo, "one", NULL);
	http_init(&stage.http);
	assert_answer(post(&stage, "/v1/gates/pinned/close", "ttl=4s&token=" TOKEN("pinned")), 201, NULL);
	assert_answer(get(&stage, "/v1/gates/pinned/check"), 423, "closed");
	assert_answer(get(&stage, "/v1/gates/pinned/wait?timeout=30s"), 200, NULL);
	assert_answer(get(&stage, "/v1/events?gate=pinned"), 200, NULL);
	assert_answer(get(&stage, "/readyz"), 200, NULL);
	assert_false(server_logged(&stage.one, "event=session_lost"));
	http_release(&stage.http);
	server_stop(&stage.one);
	server_release(&stage.one);
	psql_close(&stage.admin);
	db_drop(&stage.db);
}

/* Two servers that start on an empty database at once: one makes the schema, both serve. */
static void test_start__many_at_once_on_an_empty_database(void **state)
{
	struct server servers[4];
	struct db db;

	(void)state;
	db_create(&db);
	for (int i = 0; i < 4; i++)
		server_launch(&servers[i], db.conninfo, (const char *const[]){ "a", "b", "c", "d" }[i], NULL);
	for (int i = 0; i < 4; i++)
		server_await(&servers[i], "event=ready");
	for (int i = 0; i < 4; i++) {
		server_stop(&servers[i]);
		server_release(&servers[i]);
	}
	db_drop(&db);
}

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct cluster));
	cluster_start(*state);
	return 0;
}

static int teardown(void **state)
{
	cluster_release(*state);
	free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start__without_a_database_is_69),
		cmocka_unit_test(test_start__with_a_connection_string_that_cannot_be_read_is_78),
		cmocka_unit_test(test_start__through_a_pooler_is_78),
		cmocka_unit_test(test_start__on_a_standby_is_78),
		cmocka_unit_test(test_start__on_a_newer_schema_is_78),
		cmocka_unit_test(test_start__where_it_cannot_listen_is_78),
		cmocka_unit_test(test_start__over_the_functions_of_another_release),
		cmocka_unit_test(test_start__on_a_copy_is_not_served_until_it_is_adopted),
		cmocka_unit_test(test_start__so_is_one_that_is_met_after_a_break),
		cmocka_unit_test(test_start__settings_are_pinned_whatever_role_and_database_say),
		cmocka_unit_test(test_start__many_at_once_on_an_empty_database),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
