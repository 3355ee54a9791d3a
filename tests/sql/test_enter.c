/* Jobs in plain SQL: enter lets in where nothing shuts the gate, keeps deploys waiting until leave, and leaves nothing behind
 * where it did not get in. */
#include "support/scene.h"

static void start_enter(struct scene *scene, struct psql *psql, const char *gate)
{
	start_waiting(scene, psql, "call deploy_gate.enter('%s', '30 s')", gate);
}

/* Asks for a window until it drains for plain sessions, seen twice. */
static void start_drain(struct scene *scene, const char *letter, const char *gate)
{
	assert_string_equal(replica_close(&scene->one, letter, gate, "{\"wait_ms\": 60000}"), "pending");
	psql_run(&scene->admin, "update deploy_gate.lease set blocked_at = blocked_at - interval '1 s'");
	assert_string_equal(replica_close(&scene->one, letter, gate, "{\"wait_ms\": 60000}"), "draining");
}

static void test_enter__holds_the_gate_and_all_above_it_shared_until_leave(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a.b.c', '1 s')");
	assert_value(&scene->admin, "3",
		"select count(*) from pg_locks l, unnest(array['a', 'a.b', 'a.b.c']) g where l.pid = %d"
		" and l.mode = 'ShareLock' and (l.classid::bigint << 32) | l.objid::bigint = deploy_gate.key(g)",
		scene->ann.pid);
	psql_run(&scene->bob, "call deploy_gate.enter('a', '1 s')");
	assert_false(psql_true(&scene->eve, "select pg_try_advisory_lock(deploy_gate.key('a.b'))"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.leave('a.b.c')"));
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	assert_true(psql_true(&scene->eve, "select pg_try_advisory_lock(deploy_gate.key('a.b'))"));
	assert_false(psql_true(&scene->eve, "select pg_try_advisory_lock(deploy_gate.key('a'))"));
}

static void test_enter__in_a_transaction_block_fails_also_on_an_open_gate(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "begin");
	assert_state(&scene->ann, "2D000", "call deploy_gate.enter('a', '1 s')");
	psql_run(&scene->ann, "rollback");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_enter__a_snapshot_that_stands_still_is_refused(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "set default_transaction_isolation = 'repeatable read'");
	assert_state(&scene->ann, "25001", "call deploy_gate.enter('a', '1 s')");
	psql_run(&scene->ann, "set default_transaction_isolation = 'serializable'");
	assert_state(&scene->ann, "25001", "call deploy_gate.enter('a', '1 s')");
}

static void test_enter__bad_names_and_timeouts_raise(void **state)
{
	static const char *const calls[] = { "call deploy_gate.enter(null, '1 s')",
		"call deploy_gate.enter('a b', '1 s')", "call deploy_gate.enter('a..b', '1 s')",
		"call deploy_gate.enter('a', null)", "call deploy_gate.enter('a', '-1 s')",
		"select deploy_gate.leave(null)", "select deploy_gate.leave('a.')" };
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_state(&scene->ann, "22023", "%s", calls[i]);
}

static void test_enter__waits_while_the_gate_or_one_above_is_shut(void **state)
{
	struct scene *scene = *state;

	assert_string_equal(replica_close(&scene->one, "a", "a.b", "{}"), "made");
	psql_run(&scene->bob, "call deploy_gate.enter('a', '0')");
	psql_run(&scene->bob, "call deploy_gate.enter('a.c', '0')");
	assert_state(&scene->bob, "55P03", "call deploy_gate.enter('a.b', '0')");
	start_enter(scene, &scene->ann, "a.b.c");
	assert_string_equal(replica_end(&scene->one, "a", "a.b"), "ok");
	assert_string_equal(psql_finish(&scene->ann), "00000");
	assert_value(&scene->admin, "3", LOCKS_OF(&scene->ann));
}

static void test_enter__holds_nothing_at_its_timeout_and_says_who_is_in_the_way(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{\"holder\": \"deployer\", \"reason\": \"new schema\"}");
	assert_state(&scene->ann, "55P03", "call deploy_gate.enter('a.b', '200 ms')");
	assert_contains(psql_message(&scene->ann), "a.b did not open in time: a is closed by deployer since 2");
	assert_contains(psql_message(&scene->ann), "new schema");
	replica_end(&scene->one, "a", "a");
	psql_run(&scene->bob, "select pg_advisory_lock(deploy_gate.key('a'))");
	assert_state(&scene->ann, "55P03", "call deploy_gate.enter('a.b', '200 ms')");
	assert_contains(psql_message(&scene->ann), "application 'bob') holds its lock");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_enter__stays_out_of_a_crashed_gate(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	assert_string_equal(
		replica_change(&scene->one, "open", "test.token('a', 'a') || '{\"outcome\": \"failed\"}'"), "ok");
	assert_state(&scene->ann, "55P03", "call deploy_gate.enter('a', '0')");
}

/* A deploy that waits for those inside is not starved by newcomers. */
static void test_enter__stays_out_of_a_gate_that_drains(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a', '1 s')");
	start_drain(scene, "a", "a");
	assert_state(&scene->bob, "55P03", "call deploy_gate.enter('a', '100 ms')");
	assert_state(&scene->bob, "55P03", "call deploy_gate.enter('a.b', '0')");
	assert_contains(psql_message(&scene->bob), "a is draining");
	psql_run(&scene->ann, "select deploy_gate.leave('a')");
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "made");
}

/* Were who is inside to wait for the deploy that waits for it, neither would ever go on. */
static void test_enter__again_by_who_is_inside_does_not_wait_for_the_drain(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
	start_drain(scene, "a", "a");
	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '0')");
	psql_run(&scene->ann, "call deploy_gate.enter('a.c', '0')");
	psql_run(&scene->ann, "select deploy_gate.leave('a.b'), deploy_gate.leave('a.c')");
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "draining");
	psql_run(&scene->ann, "select deploy_gate.leave('a.b')");
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "made");
	assert_state(&scene->ann, "55P03", "call deploy_gate.enter('a.b', '0')");
}

/* A window that closed over those inside holds no lock, so that only its row tells; it may come between the first look and the
 * locks. */
static void test_enter__looks_at_the_rows_again_behind_the_locks(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin,
		"create or replace function deploy_gate.keys_above(gate text) returns bigint[] language plpgsql as $$"
		" begin perform pg_advisory_lock(1), pg_advisory_unlock(1); return '{}'; end $$");
	psql_run(&scene->admin, "select pg_advisory_lock(1)");
	psql_send(&scene->ann, "call deploy_gate.enter('a', '30 s')");
	psql_until(&scene->eve, "select exists (select from pg_locks where pid = %d and not granted)", scene->ann.pid);
	replica_close(&scene->one, "a", "a", "{}");
	psql_run(&scene->one.psql, "select pg_advisory_unlock(deploy_gate.key('a'))");
	psql_run(&scene->admin, "select pg_advisory_unlock(1)");
	psql_until(&scene->admin, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %d", scene->ann.pid);
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	psql_run(&scene->admin, "delete from deploy_gate.lease_gate");
	assert_string_equal(psql_finish(&scene->ann), "00000");
}

static void test_enter__holds_nothing_when_cancelled(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "a", "{}");
	start_enter(scene, &scene->ann, "a.b");
	psql_cancel(&scene->ann);
	assert_string_equal(psql_finish(&scene->ann), "57014");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_enter__a_cancel_never_parts_the_locks_from_the_answer(void **state)
{
	assert_survives_cancels(*state, "call deploy_gate.enter('a.b.c', '5 s')", "3");
}

static void test_enter__a_client_that_vanishes_leaves(void **state)
{
	struct scene *scene = *state;
	int pid = scene->ann.pid;

	replica_close(&scene->one, "a", "a", "{}");
	start_enter(scene, &scene->ann, "a");
	psql_close(&scene->ann);
	psql_until(&scene->admin, "select not exists (select from pg_stat_activity where pid = %d)", pid);
}

static void test_enter__has_the_server_look_after_the_client(void **state)
{
	assert_looks_after_client(*state, "call deploy_gate.enter('a', '1 s')");
}

static void test_leave__undoes_one_enter_each(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
	assert_true(psql_true(&scene->ann, "select deploy_gate.leave('a.b')"));
	assert_value(&scene->admin, "2", LOCKS_OF(&scene->ann));
	assert_true(psql_true(&scene->ann, "select deploy_gate.leave('a.b')"));
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	assert_false(psql_true(&scene->ann, "select deploy_gate.leave('a.b')"));
}

static void test_leave__counts_a_gate_and_one_above_it_apart(void **state)
{
	static const char *const order[][2] = { { "a", "a.b" }, { "a.b", "a" } };

	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		psql_run(&scene->ann, "call deploy_gate.enter('a', '1 s')");
		psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
		assert_true(psql_true(&scene->ann, "select deploy_gate.leave('%s')", order[i][0]));
		assert_false(psql_true(&scene->bob, "select pg_try_advisory_lock(deploy_gate.key('a'))"));
		assert_true(psql_true(&scene->ann, "select deploy_gate.leave('%s')", order[i][1]));
		assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	}
}

static void test_leave__without_an_enter_drops_nothing(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a.x', 'mine', '1 s')");
	assert_false(psql_true(&scene->ann, "select deploy_gate.leave('a.x')"));
	assert_false(psql_true(&scene->ann, "select deploy_gate.leave('a.b')"));
	assert_value(&scene->admin, "3", LOCKS_OF(&scene->ann));
}

static void test_leave__tells_a_service_that_drains(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
	start_drain(scene, "a", "a");
	psql_run(&scene->admin, "listen deploy_gate");
	psql_run(&scene->ann, "select deploy_gate.leave('a.b')");
	psql_until_notified(&scene->admin, "a.b");
}

static void test_close_here__waits_for_those_who_entered(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.enter('a.b', '1 s')");
	assert_state(&scene->bob, "55P03", "call deploy_gate.close_here('a', 'x', '20 ms')");
	psql_send(&scene->bob, "call deploy_gate.close_here('a', 'x', '30 s')");
	/* Once it stands in line nobody gets in before it. */
	psql_until(
		&scene->admin, "select exists (select from pg_locks where pid = %d and not granted)", scene->bob.pid);
	start_enter(scene, &scene->eve, "a.c");
	psql_run(&scene->ann, "select deploy_gate.leave('a.b')");
	assert_string_equal(psql_finish(&scene->bob), "00000");
	assert_true(psql_busy(&scene->eve));
	psql_run(&scene->bob, "select deploy_gate.open_here('a')");
	assert_string_equal(psql_finish(&scene->eve), "00000");
}

/* Between two of its turns in line, of 1 s each, there is next to no time in which others could get in. */
static void test_close_here__is_not_starved_by_jobs_that_overlap(void **state)
{
	struct scene *scene = *state;
	int got_in = 0;

	psql_run(&scene->ann, "call deploy_gate.enter('a', '1 s')");
	psql_send(&scene->bob, "call deploy_gate.close_here('a', 'x', '60 s')");
	psql_until(
		&scene->admin, "select exists (select from pg_locks where pid = %d and not granted)", scene->bob.pid);
	for (int i = 0; i < 5; i++)
		if (strcmp(psql_state(&scene->eve, "call deploy_gate.enter('a', '1200 ms')"), "00000") == 0) {
			got_in++;
			psql_run(&scene->eve, "select deploy_gate.leave('a')");
		}
	assert_in_range(got_in, 0, 2);
	psql_run(&scene->ann, "select deploy_gate.leave('a')");
	assert_string_equal(psql_finish(&scene->bob), "00000");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_enter__holds_the_gate_and_all_above_it_shared_until_leave),
		SCENE_TEST(test_enter__in_a_transaction_block_fails_also_on_an_open_gate),
		SCENE_TEST(test_enter__a_snapshot_that_stands_still_is_refused),
		SCENE_TEST(test_enter__bad_names_and_timeouts_raise),
		SCENE_TEST(test_enter__waits_while_the_gate_or_one_above_is_shut),
		SCENE_TEST(test_enter__holds_nothing_at_its_timeout_and_says_who_is_in_the_way),
		SCENE_TEST(test_enter__stays_out_of_a_crashed_gate),
		SCENE_TEST(test_enter__stays_out_of_a_gate_that_drains),
		SCENE_TEST(test_enter__again_by_who_is_inside_does_not_wait_for_the_drain),
		SCENE_TEST(test_enter__looks_at_the_rows_again_behind_the_locks),
		SCENE_TEST(test_enter__holds_nothing_when_cancelled),
		SCENE_TEST(test_enter__a_cancel_never_parts_the_locks_from_the_answer),
		SCENE_TEST(test_enter__a_client_that_vanishes_leaves),
		SCENE_TEST(test_enter__has_the_server_look_after_the_client),
		SCENE_TEST(test_leave__undoes_one_enter_each),
		SCENE_TEST(test_leave__counts_a_gate_and_one_above_it_apart),
		SCENE_TEST(test_leave__without_an_enter_drops_nothing),
		SCENE_TEST(test_leave__tells_a_service_that_drains),
		SCENE_TEST(test_close_here__waits_for_those_who_entered),
		SCENE_TEST(test_close_here__is_not_starved_by_jobs_that_overlap),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
