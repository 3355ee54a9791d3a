/* What each command answers, with which exit code and which last line: scenes of the real client and the real server. */
#include "e2e/steps.h"

#include "support/proxy.h"
#include "support/server.h"

static void test_commands__from_close_to_open(void **state)
{
	static const struct step steps[] = {
		{ { "check", "a" }, 0, "open\n" },
		{ { "-q", "check", "a" }, 0, NULL },
		{ { "close", "a", "--reason", "new schema" }, 0, "" },
		{ { "check", "a" }, 1, "closed\ndeploy-gate: exit 1 (closed): " },
		{ { "check", "a.b" }, 1, "new schema" },
		{ { "check", "a.b" }, 1, ". `deploy-gate wait a` waits until it opens\n" },
		{ { "check", "-q", "a" }, 1, NULL },
		{ { "check", "-q", "-E", "9", "a" }, 9, NULL },
		{ { "check", "--json", "a" }, 1, "\"code\":\"closed\"" },
		{ { "wait", "a", "--wait", "100ms" }, 75, "deploy-gate: exit 75 (closed): " },
		{ { "run", "a", "--timeout", "100ms", "--", "echo", "ran" }, 75, "exit 75 (closed): " },
		{ { "-E3", "run", "a", "--wait", "0s", "--", "true" }, 3, "exit 3 (closed): " },
		{ { "close", "a" }, 75, "exit 75 (held): this session has closed a already" },
		{ { "DEPLOY_GATE_SESSION=another", "close", "a" }, 75, "new schema" },
		{ { "DEPLOY_GATE_SESSION=another", "close", "a.b" }, 75,
			"dead: `deploy-gate open a --force --reason WHY`\n" },
		{ { "deploy", "a.b", "--wait", "100ms", "--", "true" }, 75, "exit 75 (held): " },
		{ { "reason", "a", "newer schema" }, 0, NULL },
		{ { "status", "a" }, 0, "newer schema" },
		{ { "renew", "a", "--ttl", "20m" }, 0, "a stays shut for 20m" },
		{ { "CI_JOB_ID=77", "open", "a" }, 64, "exit 64 (usage): no close of a is remembered" },
		{ { "open", "a" }, 0, "a is open" },
		{ { "open", "a" }, 64, "exit 64 (usage): " },
		{ { "renew", "a" }, 64, "exit 64 (usage): " },
		{ { "check", "a" }, 0, "open\n" },
		{ { "history", "a", "--kind", "closed", "--limit", "1" }, 0, "new schema" },
	};

	PLAY(steps);
}

static void test_commands__what_ended_is_said_to_have_ended(void **state)
{
	static const struct step steps[] = {
		{ { "close", "ends", "--ttl", "300ms" }, 0, "" },
		{ { "-q", "wait", "ends" }, 0, NULL },
		{ { "renew", "ends" }, 76, "exit 76 (gone): " },
		{ { "open", "ends" }, 76, "exit 76 (gone): " },
		{ { "open", "ends" }, 64, "exit 64 (usage): " },
		{ { "close", "ends" }, 0, "" },
		{ { "open", "ends", "--force" }, 64, "--reason" },
		{ { "open", "ends", "--force", "--reason", "a test", "--failed" }, 64, "takes no --failed" },
		{ { "open", "ends", "--force", "--reason", "a test", "--token-file", "f" }, 64,
			"takes no --token-file" },
		{ { "open", "ends", "--force", "--reason", "a test", "--holder", "eve" }, 0, "ends is open" },
		{ { "open", "ends", "--force", "--reason", "a test" }, 0, "ends is open" },
		{ { "open", "ends" }, 76, " by eve, " },
	};

	PLAY(steps);
}

static void test_commands__a_full_gate_needs_no_force(void **state)
{
	const struct world *world = *state;
	const struct step steps[] = {
		{ { "-q", "gate", "full", "--limit", "1" }, 0, NULL },
		{ { "run", "full", "--", world->client, "open", "full", "--force", "--reason", "x" }, 0,
			"deploy-gate: full is open\n" },
	};

	PLAY(steps);
}

static void test_commands__a_failed_deploy_may_leave_it_crashed(void **state)
{
	static const struct step steps[] = {
		{ { "-q", "deploy", "c", "--on-failure", "hold", "--", "false" }, 1, NULL },
		{ { "check", "c" }, 1, "crashed\n" },
		{ { "deploy", "c", "--on-failure", "hold", "--", "true" }, 0, NULL },
		{ { "check", "c" }, 0, "open\n" },
		{ { "-q", "deploy", "c", "--", "false" }, 1, NULL },
		{ { "check", "c" }, 0, "open\n" },
		{ { "deploy", "c", "--on-failure", "hold", "--", "false" }, 1,
			"deploy-gate: c stays shut behind the deploy that failed: the next one takes over" },
		{ { "-q", "close", "c" }, 0, "" },
		{ { "open", "c", "--failed" }, 0, "`deploy-gate open c --force --reason WHY` opens\n" },
		{ { "-q", "open", "c", "--force", "--reason", "looked" }, 0, NULL },
	};

	PLAY(steps);
}

static void test_commands__a_plain_sql_holder_is_named(void **state)
{
	static const struct step shut[] = {
		{ { "status", "a" }, 0, "SQL: somebody (pid " },
		{ { "check", "a" }, 1, "plain SQL" },
		{ { "deploy", "a", "--wait", "10ms", "--", "true" }, 75, "exit 75 (held): " },
	}, opened[] = {
		{ { "-q", "wait", "a" }, 0, NULL },
	};
	const struct world *world = *state;
	struct psql psql;

	psql_open(&psql, &world->db, "application_name=somebody");
	psql_run(&psql, "select pg_advisory_lock(deploy_gate.key('a'))");
	PLAY(shut);
	psql_close(&psql);
	PLAY(opened);
}

static void test_commands__what_is_not_known_warns(void **state)
{
	static const struct step steps[] = {
		{ { "check", "never.seen" }, 0, "nobody ever closed or declared never.seen" },
		{ { "wait", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "run", "never.seen", "--require-known", "--", "echo", "ran" }, 64, "exit 64 (not_found): " },
		{ { "close", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "status", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "explain", "never.seen" }, 0, "is the name right?\nnever.seen is open.\n" },
		{ { "explain", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "history", "never.seen" }, 0, "is the name right?\n" },
		{ { "history", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "open", "never.seen", "--force", "--reason", "a test" }, 0, "is the name right?\n" },
		{ { "open", "never.seen", "--force", "--reason", "a test", "--require-known" }, 64, "(not_found): " },
		{ { "gate", "never.seen" }, 0, "is the name right?\nSETTING" },
		{ { "gate", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "gate", "never.seen", "--limit", "1", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "gate", "never.seen", "--reset", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "-q", "check", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
	};

	PLAY(steps);
}

#define NOBODY "unix:/nonexistent/gate"

static void test_commands__out_of_reach(void **state)
{
	char both[128];

	snprintf(both, sizeof(both), NOBODY ",%s", getenv("DEPLOY_GATE_URL"));
	const struct step steps[] = {
		{ { "--url", NOBODY, "check", "a", "--reach", "300ms" }, 69,
			"exit 69 (unavailable): could not reach " NOBODY },
		{ { "--url", NOBODY, "wait", "a", "--wait", "300ms" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "run", "a", "--wait", "0s", "--", "true" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "deploy", "a", "--reach", "0s", "--", "true" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "run", "a", "--wait", "0s", "--on-unreachable=run", "--", "echo", "ran" }, 0,
			"ran\n" },
		{ { "--url", both, "check", "a" }, 0, "open\n" },
	};

	PLAY(steps);
}

/* Who takes connections and never answers is left for the next before long. */
static void test_commands__addresses_that_hang(void **state)
{
	const struct world *world = *state;
	struct proxy hung;
	struct run run;
	char urls[256];

	proxy_start(&hung, getenv("DEPLOY_GATE_URL"));
	proxy_stall(&hung);
	snprintf(urls, sizeof(urls), "%s,%s,%s,%s", hung.url, hung.url, hung.url, getenv("DEPLOY_GATE_URL"));
	assert_int_equal(run_words(world, &run, WORDS("--url", urls, "-q", "deploy", "a", "--", "echo", "through")), 0);
	assert_string_equal(run.output, "through\n");
	proxy_release(&hung);
}

static void test_commands__configuration(void **state)
{
	static const struct step steps[] = {
		{ { "DEPLOY_GATE_URL=gate", "check", "a" }, 78, "exit 78 (configuration): DEPLOY_GATE_URL: " },
		{ { "--url", "gate", "check", "a" }, 64, "exit 64 (usage): --url: " },
		{ { "DEPLOY_GATE_ACCESS_TOKEN=secret", "--url", "http://gate.example", "check", "a" }, 78,
			"--plain-http" },
		{ { "check", "a", "--access-token-file", "/nonexistent" }, 78, "cannot read /nonexistent" },
		{ { "DEPLOY_GATE_STATE_DIR=/dev/null", "close", "a" }, 78, "exit 78 (configuration): cannot remember" },
		{ { "check" }, 64, "exit 64 (usage): deploy-gate check wants: GATES" },
		{ { "check", "a..b" }, 64, "exit 64 (bad_request): " },
		{ { "history", "never.seen,a" }, 64,
			"deploy-gate: exit 64 (usage): deploy-gate history wants one gate at a time\n" },
		{ { "chekc", "a" }, 64, "did you mean check?" },
		{ { "run", "a" }, 64, "behind --" },
		{ { "check", "a", "--", "true" }, 64, "runs no command" },
		{ { "check", "a", "--unknown" }, 64, "unknown option --unknown" },
		{ { "--version" }, 0, "deploy-gate " },
		{ { "--help" }, 0, "Commands:" },
		{ { "deploy", "--help" }, 0, "--on-silence" },
		{ { "wait", "--help" }, 0, "how long to wait; also --timeout (default 30m)\n" },
		{ { "help" }, 0, "Commands:" },
		{ { "help", "deploy" }, 0, "--on-silence" },
		{ { "help", "chekc" }, 64, "did you mean check?" },
	};

	PLAY(steps);
}

/* Its settings say so, where a proxy in front of it loses patience soon. */
static void test_commands__wait_for_longer_than_the_server_lets_a_request(void **state)
{
	const struct world *world = *state;
	struct server server;
	struct run run;

	server_start(&server, world->db.conninfo, "brief", (const char *const[]){ "--max-wait", "1s", NULL });
	assert_int_equal(run_words(world, &run, WORDS("close", "a")), 0);
	assert_int_equal(run_words(world, &run, WORDS("--url", server.url, "wait", "a", "--wait", "3s")), 75);
	assert_contains(run.output, "exit 75 (closed)");
	setenv("DEPLOY_GATE_SESSION", "another", 1);
	assert_int_equal(run_words(world, &run, WORDS("--url", server.url, "close", "a", "--wait", "3s")), 75);
	assert_contains(run.output, "exit 75 (held)");
	unsetenv("DEPLOY_GATE_SESSION");
	assert_int_equal(run_words(world, &run, WORDS("open", "a")), 0);
	server_stop(&server);
	server_release(&server);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands__from_close_to_open),
		cmocka_unit_test(test_commands__what_ended_is_said_to_have_ended),
		cmocka_unit_test(test_commands__a_full_gate_needs_no_force),
		cmocka_unit_test(test_commands__a_failed_deploy_may_leave_it_crashed),
		cmocka_unit_test(test_commands__a_plain_sql_holder_is_named),
		cmocka_unit_test(test_commands__what_is_not_known_warns),
		cmocka_unit_test(test_commands__out_of_reach),
		cmocka_unit_test(test_commands__addresses_that_hang),
		cmocka_unit_test(test_commands__configuration),
		cmocka_unit_test(test_commands__wait_for_longer_than_the_server_lets_a_request),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
