/* `explain` says for each state why, who, until when, and how it is opened; `status` says it in a line; `gate` shows and
 * changes the settings; a command is told of its own lease, and of no other. */
#include "unit/cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "support/run.h"

enum { WORDS_MAX = 14, SAID_MAX = 7 };

struct step {
	const char *words[WORDS_MAX];
	int code;
	const char *said[SAID_MAX]; /* all in the output, in this order; behind a '!' what is not in it */
};

/* Runs a command and holds its output against the texts. */
static void perform(const struct world *world, const struct step *step)
{
	struct run run;
	int code = run_words(world, &run, step->words);
	const char *at = run.output;

	if (code != step->code)
		fail_msg("%s %s: exit %d, not %d: %s", step->words[0], step->words[1], code, step->code, run.output);
	for (size_t i = 0; i < SAID_MAX && step->said[i]; i++) {
		const char *said = step->said[i];

		if (*said == '!') {
			if (strstr(run.output, said + 1))
				fail_msg("\"%s\" in: %s", said + 1, run.output);
			continue;
		}
		at = strstr(at, said);
		if (!at)
			fail_msg("no \"%s\", or not there, in: %s", said, run.output);
	}
}

static void play(const struct world *world, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		perform(world, &steps[i]);
}

#define PLAY(steps) play(*state, steps, COUNT(steps))

static void test_explain__an_open_gate(void **state)
{
	static const struct step steps[] = {
		{ { "explain", "a" }, 0, { "a is open.\n" } },
		{ { "explain", "never.seen" }, 0,
			{ "nobody ever closed or declared never.seen", "never.seen is open.\n" } },
		{ { "explain", "--json", "a" }, 0, { "\"state\"", "\"open\"" } },
		{ { "explain", "a,b" }, 64, { "one gate at a time" } },
		{ { "explain" }, 64, { "deploy-gate explain wants: GATE" } },
	};

	PLAY(steps);
}

static void test_explain__a_closed_gate_and_one_below(void **state)
{
	static const struct step steps[] = {
		{ { "close", "e.closed", "--reason", "new schema", "--release", "r42", "--holder", "ann@desk" }, 0,
			{ NULL } },
		{ { "explain", "e.closed" }, 0,
			{ "e.closed is closed by a deploy.\n", "ann@desk (new schema), for ", "release r42",
				"unless renewed, in 2", "ann@desk: deploy-gate open e.closed\n",
				"deploy-gate open e.closed --force --reason" } },
		{ { "explain", "e.closed.below" }, 0,
			{ "e.closed.below is shut because one above it is:\n", "e.closed is closed by a deploy.",
				"deploy-gate open e.closed\n" } },
		{ { "explain", "e" }, 0, { "e is open.\n" } },
		{ { "open", "e.closed" }, 0, { NULL } },
	};

	PLAY(steps);
}

static void test_explain__who_waits(void **state)
{
	static const struct step close[] = { { { "close", "e.queue" }, 0, { NULL } } };
	static const struct step open[] = { { { "open", "e.queue" }, 0, { NULL } } };
	static const struct step explained[] = {
		{ { "explain", "e.queue" }, 0,
			{ "in line:  bob@ci (next) for ", "waiting:  import of carl@worker for " } },
	};
	const struct world *world = *state;
	struct run deploy, job;
	struct psql admin;

	PLAY(close);
	run_start(world, &deploy,
		WORDS("deploy", "e.queue", "--wait", "1m", "--holder", "bob@ci", "--reason", "next", "--", "true"));
	run_start(world, &job, WORDS("wait", "e.queue", "--wait", "1m", "--holder", "carl@worker", "--job", "import"));
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin,
		"select (w #>> '{jobs,count}')::int = 1 and json_array_length(w -> 'deploys') = 1"
		" from deploy_gate.waiting_json('e.queue', clock_timestamp(), false) w");
	psql_close(&admin);
	PLAY(explained);
	PLAY(open);
	assert_int_equal(run_finish(&deploy), 0);
	assert_int_equal(run_finish(&job), 0);
}

static void test_explain__a_deploy_opens_what_it_closed(void **state)
{
	static const struct step explained[] = {
		{ { "explain", "e.deploy" }, 0,
			{ "its deploy opens it, which takes longer than usual; were that to vanish, in ",
				"to open:  its deploy, when it ends\n",
				"an operator: deploy-gate open e.deploy --force", "!open e.deploy\n" } },
		{ { "status", "e.deploy" }, 0, { "closed", " in 1" } },
	};
	const struct world *world = *state;
	struct run deploy;
	struct psql admin;

	run_start(world, &deploy, WORDS("deploy", "e.deploy", "--", SELF, "record", "TERM"));
	run_await(&deploy, "ready");
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin, "select attached from deploy_gate.lease where gates = '{e.deploy}'");
	psql_run(&admin, "update deploy_gate.gate set typical_ms = 1 where name = 'e.deploy'");
	psql_close(&admin);
	PLAY(explained);
	kill(deploy.pid, SIGTERM);
	run_finish(&deploy);
}

/* A stream that is broken, for a moment or for good, tells nobody that the gate was closed by hand. */
static void test_explain__a_deploy_that_is_not_heard_of(void **state)
{
	static const struct step explained[] = {
		{ { "explain", "e.unheard" }, 0,
			{ "its deploy opens it; unless that is heard of again, in ",
				"to open:  its deploy, which the service does not hear of now\n",
				"an operator: deploy-gate open e.unheard --force", "!open e.unheard\n" } },
		{ { "open", "e.unheard", "--force", "--reason", "looked" }, 0, { NULL } },
	};
	const struct world *world = *state;
	struct run deploy;
	struct psql admin;
	int status;

	run_start(world, &deploy, WORDS("deploy", "e.unheard", "--ttl", "10m", "--", SELF, "record", "TERM"));
	run_await(&deploy, "ready");
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin, "select attached from deploy_gate.lease where gates = '{e.unheard}'");
	kill(deploy.pid, SIGKILL);
	assert_int_equal(waitpid(deploy.pid, &status, 0), deploy.pid);
	psql_until(&admin, "select not attached from deploy_gate.lease where gates = '{e.unheard}'");
	psql_close(&admin);
	PLAY(explained);
}

static void test_explain__a_gate_that_opens_soon(void **state)
{
	static const struct step close[] = {
		{ { "close", "e.grace", "--ttl", "100ms", "--grace", "10m" }, 0, { NULL } },
	};
	static const struct step steps[] = {
		{ { "explain", "e.grace" }, 0,
			{ "closed for a moment longer: ", "it opens in 9m", "deploy-gate open e.grace --force" } },
		{ { "status", "e.grace" }, 0, { "closed", " ago", " in 9m" } },
		{ { "open", "e.grace", "--force", "--reason", "looked" }, 0, { NULL } },
	};
	const struct world *world = *state;
	struct psql admin;

	PLAY(close);
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin, "select ended_at is not null from deploy_gate.lease where gates = '{e.grace}'");
	psql_close(&admin);
	PLAY(steps);
}

static void test_explain__a_session_that_waits_for_the_lock_is_in_line(void **state)
{
	static const struct step close[] = { { { "-q", "close", "e.line" }, 0, { NULL } } };
	static const struct step explained[] = {
		{ { "explain", "e.line" }, 0,
			{ "in line:  SQL session ", ", which waits for the lock\n", "!inside:" } },
	};
	static const struct step open[] = { { { "-q", "open", "e.line" }, 0, { NULL } } };
	const struct world *world = *state;
	struct psql admin, session;

	PLAY(close);
	psql_open(&session, &world->db, NULL);
	psql_send(&session, "select pg_advisory_lock(deploy_gate.key('e.line'))");
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin, "select exists (select from pg_locks where locktype = 'advisory' and not granted)");
	PLAY(explained);
	PLAY(open);
	psql_finish(&session);
	psql_close(&session);
	psql_close(&admin);
}

static void test_explain__a_drain_names_who_is_inside(void **state)
{
	static const struct step explained[] = {
		{ { "explain", "e.drain" }, 0,
			{ "e.drain is draining: ", "somebody unnamed (next), waiting for ", "for another ",
				"makes the deploy give up", "inside:   import of carl@worker for ",
				"if closed by hand: deploy-gate open e.drain\n", "open e.drain --force" } },
		{ { "status", "e.drain" }, 0, { "draining", "next", " ago", " in 9m" } },
	};
	static const struct step sessions[] = {
		{ { "explain", "e.drain" }, 0, { "inside:   SQL session ", " in nightly", "pg_terminate_backend(" } },
		{ { "status", "e.drain" }, 0, { "draining", "!SQL: " } },
	};
	const struct world *world = *state;
	struct run deploy, job;
	struct psql admin, nightly;

	run_start(world, &job,
		WORDS("run", "e.drain", "--holder", "carl@worker", "--job", "import", "--", SELF, "record", "TERM"));
	run_await(&job, "ready");
	psql_open(&admin, &world->db, NULL);
	psql_open(&nightly, &world->db, "application_name=nightly");
	psql_run(&nightly, "call deploy_gate.enter('e.drain', '10 s')");
	run_start(world, &deploy, WORDS("deploy", "e.drain", "--holder", "", "--reason", "next", "--", "true"));
	psql_until(&admin,
		"select exists (select from deploy_gate.lease where gates = '{e.drain}' and drain_until is not null)");
	PLAY(explained);
	kill(job.pid, SIGTERM);
	run_finish(&job);
	psql_until(&admin,
		"select exists (select from deploy_gate.lease where gates = '{e.drain}' and state = 'draining'"
		" and external is not null)");
	psql_run(&admin, "update deploy_gate.lease set holder = null where gates = '{e.drain}' and state = 'draining'");
	PLAY(sessions);
	psql_close(&nightly);
	assert_int_equal(run_finish(&deploy), 0);
	psql_close(&admin);
}

static void test_explain__a_plain_sql_session(void **state)
{
	static const struct step steps[] = {
		{ { "explain", "e.sql" }, 0,
			{ "e.sql is closed by plain SQL", "by:       SQL session ", " in somebody",
				"SELECT deploy_gate.open_here('e.sql')", "psql -c \"SELECT pg_terminate_backend(" } },
	};
	const struct world *world = *state;
	struct psql psql;

	psql_open(&psql, &world->db, "application_name=somebody");
	psql_run(&psql, "select pg_advisory_lock(deploy_gate.key('e.sql'))");
	PLAY(steps);
	psql_close(&psql);
}

/* It shuts what is above it to nobody, but keeps it from being closed. */
static void test_explain__a_plain_sql_deploy_below(void **state)
{
	static const struct step steps[] = {
		{ { "explain", "e.above" }, 0,
			{ "e.above is open.", "below:    SQL session ", "in deploy-gate: e.above.it: by hand",
				"!inside:" } },
		{ { "status", "e.above" }, 0, { "open", "!SQL: " } },
		{ { "close", "e.above" }, 75, { "a gate below it is closed by a plain SQL session" } },
	};
	const struct world *world = *state;
	struct psql psql;

	psql_open(&psql, &world->db, NULL);
	psql_run(&psql, "call deploy_gate.close_here('e.above.it', 'by hand', '10 s')");
	PLAY(steps);
	psql_close(&psql);
}

static void test_explain__a_crashed_set(void **state)
{
	static const struct step steps[] = {
		{ { "-q", "deploy", "e.set.a,e.set.b", "--on-failure", "hold", "--", "false" }, 1, { NULL } },
		{ { "explain", "e.set.b" }, 0,
			{ "the next deploy that closes all of e.set.a, e.set.b takes it over" } },
		{ { "close", "e.set.b" }, 75, { "the next close of e.set.a and e.set.b together" } },
		{ { "open", "e.set.a", "--force", "--reason", "looked" }, 0, { NULL } },
	};

	PLAY(steps);
}

static void test_explain__a_crashed_gate(void **state)
{
	static const struct step steps[] = {
		{ { "-q", "deploy", "e.crash", "--on-failure", "hold", "--reason", "r43", "--", "false" }, 1,
			{ NULL } },
		{ { "explain", "e.crash" }, 0,
			{ "e.crash is crashed: ", "(r43), failed ", "the next deploy takes it over",
				"deploy-gate open e.crash --force" } },
		{ { "status", "e.crash" }, 0, { "crashed", "r43", " ago", "! in " } },
		{ { "open", "e.crash", "--force", "--reason", "looked" }, 0, { NULL } },
	};

	PLAY(steps);
}

static void test_explain__a_full_gate(void **state)
{
	static const struct step limit[] = { { { "-q", "gate", "e.full", "--limit", "1" }, 0, { NULL } } };
	static const struct step explained[] = {
		{ { "explain", "e.full" }, 0,
			{ "e.full is full: ", "limit:    1\n", "import of carl",
				"deploy-gate gate e.full --limit N" } },
	};
	const struct world *world = *state;
	struct run job;

	PLAY(limit);
	run_start(world, &job,
		WORDS("run", "e.full", "--holder", "carl", "--job", "import", "--", SELF, "record", "TERM"));
	run_await(&job, "ready");
	PLAY(explained);
	kill(job.pid, SIGTERM);
	run_finish(&job);
}

static void test_gate__shows_and_changes_what_is_named(void **state)
{
	static const struct step steps[] = {
		{ { "gate", "g" }, 0, { "limit      none", "default\n", "ttl        30m", "on_drain   abort" } },
		{ { "gate", "g", "--limit", "5", "--ttl", "20m", "--on-drain", "stop", "--reason", "a test" }, 0,
			{ "limit      5\n", "ttl        20m\n", "drain      10m    default\n", "on_drain   stop\n" } },
		{ { "gate", "g", "--gap", "0s", "--grace", "3s" }, 0,
			{ "limit      5\n", "gap        0s\n", "on_drain   stop\n", "grace      3s\n" } },
		{ { "gate", "g", "--json" }, 0, { "\"limit\"", "\"defaults\"" } },
		{ { "history", "g", "--kind", "settings" }, 0, { "gap=0s", "limit=5", "a test" } },
		{ { "gate", "g", "--reset", "--drain", "1m" }, 0,
			{ "limit      none", "drain      1m\n", "grace      0s     default" } },
		{ { "gate", "g", "--reset" }, 0, { "drain      10m    default" } },
		{ { "-q", "gate", "g", "--max", "50m" }, 0, { NULL } },
		{ { "gate", "g", "--ttl", "1h" }, 64, { "exit 64 (bad_request): ttl: is above max" } },
		{ { "gate", "g", "--limit", "0" }, 64, { "--limit wants a number from 1 to 1000000" } },
		{ { "gate", "g,h" }, 64, { "one gate at a time" } },
	};

	PLAY(steps);
}

static void test_run__tells_of_its_own_lease_alone(void **state)
{
	static const char told[] = "echo ${DEPLOY_GATE_TOKEN-no} ${DEPLOY_GATE_GATES-no} ${DEPLOY_GATE_FENCE-no} "
				   "${DEPLOY_GATE_RELEASE-no} ${DEPLOY_GATE_OUTER-no}";
	static const struct step steps[] = {
		{ { "run", "r", "--", "sh", "-c", told }, 0, { "is ignored: ", " r 0 no no\n" } },
		{ { "deploy", "r", "--", "sh", "-c", told }, 0, { "is ignored: ", " r ", " no no\n" } },
		{ { "deploy", "r", "--release", "r2", "--", "sh", "-c", told }, 0,
			{ "is ignored: ", " r ", " r2 no\n" } },
		{ { "--url", "unix:/nonexistent", "run", "r", "--reach", "100ms", "--on-unreachable", "run", "--", "sh",
			  "-c", told },
			0, { "running the command without knowing", "no no no no no\n" } },
	};

	setenv("DEPLOY_GATE_TOKEN", "0123456789abcdef0123456789abcdef", 1);
	setenv("DEPLOY_GATE_OUTER", "fedcba9876543210fedcba9876543210", 1);
	setenv("DEPLOY_GATE_GATES", "earlier", 1);
	setenv("DEPLOY_GATE_FENCE", "1", 1);
	setenv("DEPLOY_GATE_RELEASE", "r1", 1);
	PLAY(steps);
	unsetenv("DEPLOY_GATE_TOKEN");
	unsetenv("DEPLOY_GATE_OUTER");
	unsetenv("DEPLOY_GATE_GATES");
	unsetenv("DEPLOY_GATE_FENCE");
	unsetenv("DEPLOY_GATE_RELEASE");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_explain__an_open_gate),
		cmocka_unit_test(test_explain__a_closed_gate_and_one_below),
		cmocka_unit_test(test_explain__who_waits),
		cmocka_unit_test(test_explain__a_deploy_opens_what_it_closed),
		cmocka_unit_test(test_explain__a_deploy_that_is_not_heard_of),
		cmocka_unit_test(test_explain__a_gate_that_opens_soon),
		cmocka_unit_test(test_explain__a_session_that_waits_for_the_lock_is_in_line),
		cmocka_unit_test(test_explain__a_drain_names_who_is_inside),
		cmocka_unit_test(test_explain__a_plain_sql_session),
		cmocka_unit_test(test_explain__a_plain_sql_deploy_below),
		cmocka_unit_test(test_explain__a_crashed_gate),
		cmocka_unit_test(test_explain__a_crashed_set),
		cmocka_unit_test(test_explain__a_full_gate),
		cmocka_unit_test(test_gate__shows_and_changes_what_is_named),
		cmocka_unit_test(test_run__tells_of_its_own_lease_alone),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
