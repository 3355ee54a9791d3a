/* What SQL users see of the gates, and ask of the service: is_open, wait_open, the views, assert_fence, force_open. */
#include "support/scene.h"

#include <stdio.h>
#include <time.h>

#define SHUT_BY(psql, gate) psql_run(psql, "select pg_advisory_lock(deploy_gate.key('" gate "'))")

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sends a wait and returns once it has looked and found the gate shut. */
static void start_wait(struct scene *scene, struct psql *psql, const char *call)
{
	psql_send(psql, call);
	psql_until(&scene->admin, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %d", psql->pid);
}

static void test_is_open__a_window_shuts_its_gate_and_all_below(void **state)
{
	struct scene *scene = *state;

	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a.b')"));
	assert_string_equal(replica_close(&scene->one, "a", "a.b", "{}"), "made");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('a.b')"));
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('a.b.c')"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a.bc')"));
	assert_string_equal(replica_end(&scene->one, "a", "a.b"), "ok");
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a.b.c')"));
}

static void test_is_open__a_plain_lock_shuts_it_for_everybody_else(void **state)
{
	struct scene *scene = *state;

	SHUT_BY(&scene->ann, "a");
	assert_false(psql_true(&scene->bob, "select deploy_gate.is_open('a.b')"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a.b')"));
	psql_send(&scene->eve, "select pg_advisory_lock(deploy_gate.key('a'))");
	psql_until(
		&scene->admin, "select exists (select from pg_locks where pid = %d and not granted)", scene->eve.pid);
	/* A try fails behind a waiter, even for who holds the lock. */
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
	psql_run(&scene->ann, "select pg_advisory_unlock(deploy_gate.key('a'))");
	assert_string_equal(psql_finish(&scene->eve), "00000");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
	psql_run(&scene->eve, "select pg_advisory_unlock(deploy_gate.key('a'))");
	psql_run(&scene->eve, "select pg_advisory_lock_shared(deploy_gate.key('a'))");
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
}

/* The rows opened it; that the lock goes only in the next transaction is nobody's business. */
static void test_is_open__a_lock_of_ours_that_is_being_dropped_does_not_shut(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	assert_string_equal(replica_decide(&scene->one, "open", "test.token('a', 'a')"), "ok");
	assert_true(
		psql_true(&scene->admin, "select exists (select from deploy_gate.locks where gate = 'a' and ours)"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
}

static void test_is_open__looks_afresh_and_leaves_no_lock_in_a_transaction(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "begin");
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "made");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('a')"));
	psql_run(&scene->ann, "commit");
}

static void test_users__a_snapshot_that_stands_still_is_refused(void **state)
{
	static const char *const calls[] = { "select deploy_gate.is_open('a')",
		"select deploy_gate.assert_fence('a', 1)", "select deploy_gate.force_open('a', 'x')" };
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		psql_run(&scene->admin, "begin isolation level %s", i % 2 ? "serializable" : "repeatable read");
		assert_state(&scene->admin, "25001", "%s", calls[i]);
		assert_contains(psql_hint(&scene->admin), "read committed");
		psql_run(&scene->admin, "rollback");
	}
	psql_run(&scene->ann, "set default_transaction_isolation = 'repeatable read'");
	assert_state(&scene->ann, "25001", "call deploy_gate.wait_open('a', '1 s')");
	assert_state(&scene->ann, "25001", "call deploy_gate.close_here('a', 'x', '1 s')");
}

static void test_users__bad_names_and_timeouts_raise(void **state)
{
	static const char *const names[] = { "null", "''", "'a b'", "'a..b'", "'.a'", "'a.'", "'ä'", "E'a\\nb'",
		"repeat('a', 129)", "'1.2.3.4.5.6.7.8.9'" };
	static const char *const calls[] = { "select deploy_gate.key(%s)", "select deploy_gate.is_open(%s)",
		"call deploy_gate.wait_open(%s, '1 s')", "call deploy_gate.close_here(%s, 'x', '1 s')",
		"select deploy_gate.open_here(%s)", "select deploy_gate.assert_fence(%s, 1)" };
	struct scene *scene = *state;
	char call[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (size_t j = 0; j < sizeof(calls) / sizeof(calls[0]); j++) {
			const char *place = strstr(calls[j], "%s");

			snprintf(
				call, sizeof(call), "%.*s%s%s", (int)(place - calls[j]), calls[j], names[i], place + 2);
			assert_state(&scene->ann, "22023", "%s", call);
		}
	}
	assert_state(&scene->ann, "22023", "call deploy_gate.wait_open('a', null)");
	assert_state(&scene->ann, "22023", "call deploy_gate.wait_open('a', '-1 s')");
	psql_run(&scene->ann, "select deploy_gate.is_open('1.2.3.4.5.6.7.8'), deploy_gate.is_open(repeat('a', 128))");
}

static void test_wait_open__in_a_transaction_block_fails_also_on_an_open_gate(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "begin");
	assert_state(&scene->ann, "2D000", "call deploy_gate.wait_open('a', '1 s')");
	psql_run(&scene->ann, "rollback");
	psql_run(&scene->ann, "call deploy_gate.wait_open('a', '0')");
}

static void test_wait_open__returns_soon_after_the_opening(void **state)
{
	struct scene *scene = *state;
	int64_t opened_ms;

	replica_close(&scene->one, "a", "a", "{}");
	start_wait(scene, &scene->ann, "call deploy_gate.wait_open('a.b', '30 s')");
	replica_end(&scene->one, "a", "a");
	opened_ms = now_ms();
	assert_string_equal(psql_finish(&scene->ann), "00000");
	assert_in_range(now_ms() - opened_ms, 0, 10000);
}

static void test_wait_open__returns_when_a_plain_holder_dies(void **state)
{
	struct scene *scene = *state;

	SHUT_BY(&scene->bob, "a");
	start_wait(scene, &scene->ann, "call deploy_gate.wait_open('a', '30 s')");
	assert_true(psql_busy(&scene->ann));
	psql_run(&scene->admin, "select pg_terminate_backend(%d)", scene->bob.pid);
	assert_string_equal(psql_finish(&scene->ann), "00000");
}

/* A function would keep its first snapshot and hold vacuum back. */
static void test_wait_open__commits_between_its_tries(void **state)
{
	struct scene *scene = *state;
	char began[64];

	SHUT_BY(&scene->bob, "a");
	start_wait(scene, &scene->ann, "call deploy_gate.wait_open('a', '30 s')");
	snprintf(began, sizeof(began), "%s",
		psql_value(&scene->admin, "select xact_start from pg_stat_activity where pid = %d", scene->ann.pid));
	psql_until(
		&scene->admin, "select xact_start > '%s' from pg_stat_activity where pid = %d", began, scene->ann.pid);
	psql_cancel(&scene->ann);
	assert_string_equal(psql_finish(&scene->ann), "57014");
}

static void test_wait_open__says_at_the_timeout_who_shuts_the_gate(void **state)
{
	struct scene *scene = *state;
	char who[128];

	replica_close(&scene->one, "a", "a", "{}");
	assert_state(&scene->ann, "55P03", "call deploy_gate.wait_open('a.b', '50 ms')");
	assert_contains(psql_message(&scene->ann), "a.b did not open in time: a is closed by holder of a since 2");
	assert_contains(psql_message(&scene->ann), ", until 2");
	assert_contains(psql_message(&scene->ann), ": because");
	SHUT_BY(&scene->bob, "b");
	snprintf(
		who, sizeof(who), "session %d (user %s, application 'bob') holds its lock", scene->bob.pid, PLAIN_ROLE);
	assert_state(&scene->ann, "55P03", "call deploy_gate.wait_open('b', '0')");
	assert_contains(psql_message(&scene->ann), who);
}

static void test_status__shows_windows_plain_holders_and_open_gates(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	replica_close(&scene->one, "b", "b.c", "{}");
	replica_end(&scene->one, "b", "b.c");
	assert_value(&scene->ann, "closed holder of a because t t t",
		"select concat_ws(' ', state, holder, reason, since <= now(), expires_at - since = interval '30 min',"
		" key = deploy_gate.key('a'), pid, application_name) from deploy_gate.status where gate = 'a' and "
		"fence = 1");
	assert_value(&scene->ann, "open 2",
		"select concat_ws(' ', state, holder, since, fence, pid) from deploy_gate.status"
		" where gate = 'b.c'");
	SHUT_BY(&scene->bob, "b");
	assert_value(&scene->ann, "b closed, b.c closed",
		"select string_agg(gate || ' ' || state, ', ') from deploy_gate.status"
		" where pid = %d and application_name = 'bob' and holder = '" PLAIN_ROLE "'",
		scene->bob.pid);
	assert_value(&scene->ann, "3", "select count(*) from deploy_gate.status");
}

static void test_locks__shows_who_holds_and_who_waits(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a.b", "{}");
	psql_send(&scene->bob, "select pg_advisory_lock(deploy_gate.key('a'))");
	psql_until(
		&scene->admin, "select exists (select from pg_locks where pid = %d and not granted)", scene->bob.pid);
	assert_value(&scene->ann,
		"a shared t deploy-gated/locks t, a exclusive f bob f, a.b exclusive t deploy-gated/locks t",
		"select string_agg(concat_ws(' ', gate, mode, granted, application_name, ours), ', ')"
		" from deploy_gate.locks where key = deploy_gate.key(gate)");
	assert_value(&scene->ann, PLAIN_ROLE, "select \"user\" from deploy_gate.locks where pid = %d", scene->bob.pid);
}

static void test_assert_fence__only_the_live_window_of_the_gate_or_above_passes(void **state)
{
	struct scene *scene = *state;
	long long fence;

	replica_close(&scene->one, "a", "a", "{}");
	fence = psql_number(&scene->ann, "select fence from deploy_gate.status where gate = 'a'");
	assert_state(&scene->ann, "00000", "select deploy_gate.assert_fence('a.b', %lld)", fence);
	assert_state(&scene->ann, "55000", "select deploy_gate.assert_fence('b', %lld)", fence);
	assert_state(&scene->ann, "55000", "select deploy_gate.assert_fence('a', %lld)", fence + 1);
	assert_state(&scene->ann, "55000", "select deploy_gate.assert_fence('a', null)");
	psql_run(&scene->ann, "begin");
	psql_run(&scene->ann, "select deploy_gate.assert_fence('a', %lld)", fence);
	/* It holds nothing up, and sees what happened since. */
	psql_run(&scene->one.psql, "set lock_timeout = '1s'");
	assert_string_equal(replica_end(&scene->one, "a", "a"), "ok");
	assert_state(&scene->ann, "55000", "select deploy_gate.assert_fence('a', %lld)", fence);
	psql_run(&scene->ann, "rollback");
}

/* The simpler way: to look for the fence among all leases. Jobs that came behind the window have it too, and two rows were no
 * detail but another error. */
static void test_assert_fence__says_how_the_window_ended_and_not_its_jobs(void **state)
{
	struct scene *scene = *state;
	long long fence;

	replica_close(&scene->one, "a", "a", "{}");
	fence = psql_number(&scene->ann, "select fence from deploy_gate.status where gate = 'a'");
	replica_end(&scene->one, "a", "a");
	replica_pass(&scene->one, "b", "a", "{}");
	replica_release(&scene->one, "b");
	assert_true(psql_true(&scene->admin, "select count(*) = 2 from deploy_gate.lease where fence = %lld", fence));
	assert_state(&scene->ann, "55000", "select deploy_gate.assert_fence('a', %lld)", fence);
}

static void test_force_open__asks_for_the_end_of_the_window_that_it_met(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	psql_run(&scene->admin, "begin");
	assert_value(&scene->admin, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "select deploy_gate.force_open('a', 'stuck')");
	/* It holds no row of the gate or the lease. */
	psql_run(&scene->one.psql, "set lock_timeout = '1s'");
	replica_change(&scene->one, "renew", "test.token('a', 'a')");
	psql_run(&scene->admin, "commit; select deploy_gate.force_open('a', 'stuck twice')");
	replica_tick(&scene->one);
	assert_value(&scene->admin, "forced stuck", "select concat_ws(' ', ending, end_reason) from deploy_gate.lease");
	assert_true(psql_true(&scene->admin, "select ended_by = session_user from deploy_gate.lease"));
	assert_value(&scene->admin, "ok ok",
		"select string_agg(outcome, ' ' order by id) from deploy_gate.request where done_at is not null");
}

static void test_force_open__never_ends_the_next_window(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	psql_run(&scene->admin, "select deploy_gate.force_open('a', 'stuck')");
	replica_end(&scene->one, "a", "a");
	assert_string_equal(replica_close(&scene->one, "b", "a", "{}"), "made");
	replica_tick(&scene->one);
	assert_value(&scene->admin, "closed", "select state from deploy_gate.lease where id = " LEASE("b"));
	assert_value(&scene->admin, "gone", "select outcome from deploy_gate.request");
}

static void test_force_open__says_who_else_shuts_the_gate(void **state)
{
	struct scene *scene = *state;

	assert_state(&scene->admin, "55000", "select deploy_gate.force_open('a', 'x')");
	assert_contains(psql_message(&scene->admin), "nothing shuts a");
	SHUT_BY(&scene->bob, "a");
	assert_state(&scene->admin, "55000", "select deploy_gate.force_open('a', 'x')");
	assert_contains(psql_message(&scene->admin), "application 'bob'");
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	replica_close(&scene->one, "a", "a", "{}");
	assert_state(&scene->admin, "55000", "select deploy_gate.force_open('a.b', 'x')");
	assert_contains(psql_message(&scene->admin), "a is closed by holder of a");
	assert_state(&scene->admin, "22023", "select deploy_gate.force_open('a', '')");
	assert_state(&scene->admin, "22023", "select deploy_gate.force_open('a', E'x\\ny')");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.request");
}

static void test_force_open__is_for_those_who_were_granted_it(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	assert_state(&scene->ann, "42501", "select deploy_gate.force_open('a', 'x')");
	psql_run(&scene->admin, "grant execute on function deploy_gate.force_open to " PLAIN_ROLE);
	psql_run(&scene->ann, "select deploy_gate.force_open('a', 'x')");
	assert_value(&scene->admin, PLAIN_ROLE, "select by from deploy_gate.request");
}

static void test_users__may_do_nothing_else(void **state)
{
	struct scene *scene = *state;

	assert_value(&scene->admin,
		"assert_fence close_here deadline enter give_up is_open keep key keys_above keys_shared_by_deploy leave"
		" locks_on_gates notice_lost_client open_here pause prefixed_key show_deploy status_of_gates "
		"tell_client try_close"
		" try_enter wait_open",
		"select string_agg(proname, ' ' order by proname) from pg_proc"
		" where pronamespace = 'deploy_gate'::regnamespace and has_function_privilege('" PLAIN_ROLE
		"', oid, 'execute')");
	assert_value(&scene->admin, "locks status",
		"select string_agg(relname, ' ' order by relname) from pg_class where relnamespace = "
		"'deploy_gate'::regnamespace"
		" and case when relkind in ('r', 'v') then has_table_privilege('" PLAIN_ROLE "', oid,"
		" 'select, insert, update, delete, truncate') when relkind = 'S' then"
		" has_sequence_privilege('" PLAIN_ROLE "', oid, 'usage, select, update') end");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_is_open__a_window_shuts_its_gate_and_all_below),
		SCENE_TEST(test_is_open__a_plain_lock_shuts_it_for_everybody_else),
		SCENE_TEST(test_is_open__a_lock_of_ours_that_is_being_dropped_does_not_shut),
		SCENE_TEST(test_is_open__looks_afresh_and_leaves_no_lock_in_a_transaction),
		SCENE_TEST(test_users__a_snapshot_that_stands_still_is_refused),
		SCENE_TEST(test_users__bad_names_and_timeouts_raise),
		SCENE_TEST(test_wait_open__in_a_transaction_block_fails_also_on_an_open_gate),
		SCENE_TEST(test_wait_open__returns_soon_after_the_opening),
		SCENE_TEST(test_wait_open__returns_when_a_plain_holder_dies),
		SCENE_TEST(test_wait_open__commits_between_its_tries),
		SCENE_TEST(test_wait_open__says_at_the_timeout_who_shuts_the_gate),
		SCENE_TEST(test_status__shows_windows_plain_holders_and_open_gates),
		SCENE_TEST(test_locks__shows_who_holds_and_who_waits),
		SCENE_TEST(test_assert_fence__only_the_live_window_of_the_gate_or_above_passes),
		SCENE_TEST(test_assert_fence__says_how_the_window_ended_and_not_its_jobs),
		SCENE_TEST(test_force_open__asks_for_the_end_of_the_window_that_it_met),
		SCENE_TEST(test_force_open__never_ends_the_next_window),
		SCENE_TEST(test_force_open__says_who_else_shuts_the_gate),
		SCENE_TEST(test_force_open__is_for_those_who_were_granted_it),
		SCENE_TEST(test_users__may_do_nothing_else),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
