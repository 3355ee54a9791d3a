/* Deploys in plain SQL: close_here waits its turn, keeps the gate for as long as its session lives, and leaves nothing behind
 * where it did not get it. */
#include "support/scene.h"

#include <stdio.h>

/* A pass, which jobs will take through the service. */
static void make_pass(struct scene *scene, const char *letter, const char *gate, const char *overrun)
{
	psql_run(&scene->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, holder, job, ttl_ms, created_at, "
		"overrun)"
		" values (repeat('%s', 32), repeat('%s', 64), 'pass', 'inside', '{%s}', 'worker', 'import', 1000, "
		"now(), %s);"
		" insert into deploy_gate.lease_gate values (repeat('%s', 32), '%s', 'pass', deploy_gate.key('%s'), "
		"'{}')",
		letter, letter, gate, overrun, letter, gate, gate);
}

static void start_close(struct scene *scene, struct psql *psql, const char *gate)
{
	start_waiting(scene, psql, "call deploy_gate.close_here('%s', 'migration', '30 s')", gate);
}

/* Until it no longer only tries but stands in PostgreSQL's queue for the gate itself. */
static void until_lined_up(struct scene *scene, const struct psql *psql)
{
	psql_until(&scene->admin,
		"select exists (select from pg_locks where pid = %d and mode = 'ExclusiveLock' and not granted)",
		psql->pid);
}

static void test_close_here__shuts_the_gate_until_open_here(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', 'migration', '1 s')");
	assert_false(psql_true(&scene->bob, "select deploy_gate.is_open('a.b.c')"));
	assert_true(psql_true(&scene->bob, "select deploy_gate.is_open('a')"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('a.b')"));
	assert_state(&scene->bob, "55P03", "call deploy_gate.close_here('a', 'x', '0')");
	assert_contains(psql_message(&scene->bob), "a could not be closed in time: session ");
	psql_run(&scene->bob, "call deploy_gate.close_here('a.c', 'x', '1 s')");
	assert_true(psql_true(&scene->ann, "select deploy_gate.open_here('a.b')"));
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	assert_true(psql_true(&scene->bob, "select deploy_gate.is_open('a.b')"));
}

static void test_close_here__the_gate_opens_when_the_session_dies(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a', 'migration', '1 s')");
	start_close(scene, &scene->bob, "a");
	psql_close(&scene->ann);
	assert_string_equal(psql_finish(&scene->bob), "00000");
}

static void test_close_here__in_a_transaction_block_fails_also_on_a_free_gate(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "begin");
	assert_state(&scene->ann, "2D000", "call deploy_gate.close_here('a', 'x', '1 s')");
	psql_run(&scene->ann, "rollback");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_close_here__is_a_window_in_all_but_name_to_the_service(void **state)
{
	struct scene *scene = *state;
	char pid[16];

	psql_run(&scene->ann, "call deploy_gate.close_here('a', 'migration', '1 s')");
	snprintf(pid, sizeof(pid), "%d", scene->ann.pid);
	assert_string_equal(replica_close(&scene->one, "a", "a", "{\"wait_ms\": 60000}"), "pending");
	psql_run(&scene->admin, "update deploy_gate.lease set blocked_at = blocked_at - interval '1 s'");
	assert_string_equal(replica_close(&scene->one, "a", "a", "{\"wait_ms\": 60000}"), "queued");
	assert_value(&scene->one.psql, pid,
		"select deploy_gate.gate_json('a', clock_timestamp()) -> 'external' -> 0 ->> 'pid'");
	psql_run(&scene->ann, "select deploy_gate.open_here('a')");
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "made");
}

/* Its session holds what is above shared, as a job below would, and yet is none. */
static void test_close_here__is_in_the_way_of_a_window_above_and_of_no_job(void **state)
{
	struct scene *scene = *state;
	char pid[16];

	psql_run(&scene->ann, "call deploy_gate.close_here('a.b.c', 'migration', '1 s')");
	snprintf(pid, sizeof(pid), "%d", scene->ann.pid);
	assert_string_equal(replica_pass(&scene->one, "p", "a.b", "{}"), "made");
	psql_run(&scene->bob, "call deploy_gate.enter('a', '0')");
	assert_string_equal(replica_close(&scene->two, "d", "a", "{\"wait_ms\": 60000}"), "pending");
	psql_run(&scene->admin, "update deploy_gate.lease set blocked_at = blocked_at - interval '1 s'");
	assert_string_equal(replica_close(&scene->two, "d", "a", "{}"), "queued");
	assert_value(&scene->admin, pid, "select deploy_gate.gate_json('a.b', now()) -> 'external' -> 0 ->> 'pid'");
	assert_string_equal(replica_pass(&scene->one, "q", "a.b", "{}"), "made");
	psql_run(&scene->bob, "call deploy_gate.enter('a.b', '0')");
	psql_run(&scene->ann, "select deploy_gate.open_here('a.b.c')");
	assert_string_equal(replica_close(&scene->two, "d", "a", "{}"), "draining");
}

static void test_close_here__waits_for_windows_that_conflict(void **state)
{
	static const char *const gates[] = { "a", "a.b", "a.b.c" };

	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
		const char *letter = &"d\0e\0f"[2 * i];

		assert_string_equal(replica_close(&scene->one, letter, gates[i], "{}"), "made");
		start_close(scene, &scene->ann, "a.b");
		assert_string_equal(replica_end(&scene->one, letter, gates[i]), "ok");
		assert_string_equal(psql_finish(&scene->ann), "00000");
		psql_run(&scene->ann, "select deploy_gate.open_here('a.b')");
	}
	assert_string_equal(replica_close(&scene->one, "c", "a.c", "{}"), "made");
	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', 'x', '1 s')");
}

static void test_close_here__waits_for_the_jobs_inside(void **state)
{
	struct scene *scene = *state;

	make_pass(scene, "c", "a", "false");
	make_pass(scene, "d", "a.b.c", "true");
	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', 'x', '1 s'); ");
	psql_run(&scene->ann, "select deploy_gate.open_here('a.b')");
	make_pass(scene, "e", "a.b.c", "false");
	assert_state(&scene->ann, "55P03", "call deploy_gate.close_here('a.b', 'x', '20 ms')");
	assert_contains(psql_message(&scene->ann), "a.b.c has a job inside by worker since 2");
	start_close(scene, &scene->ann, "a.b");
	psql_run(&scene->admin, "delete from deploy_gate.lease where id = repeat('e', 32)");
	assert_string_equal(psql_finish(&scene->ann), "00000");
}

static void test_close_here__lets_the_gap_for_jobs_pass(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin, "insert into deploy_gate.gate (name, gap_until) values ('a', now() + interval '1 h')");
	start_close(scene, &scene->ann, "a.b");
	psql_run(&scene->admin, "update deploy_gate.gate set gap_until = now()");
	assert_string_equal(psql_finish(&scene->ann), "00000");
}

/* Jobs that come and go would starve one that only tries. */
static void test_close_here__lines_up_behind_those_who_hold_the_lock(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->bob, "select pg_advisory_lock_shared(deploy_gate.key('a'))");
	start_close(scene, &scene->ann, "a");
	until_lined_up(scene, &scene->ann);
	assert_false(psql_true(&scene->eve, "select pg_try_advisory_lock_shared(deploy_gate.key('a'))"));
	psql_run(&scene->bob, "select pg_advisory_unlock_shared(deploy_gate.key('a'))");
	assert_string_equal(psql_finish(&scene->ann), "00000");
	assert_value(&scene->admin, "1", LOCKS_OF(&scene->ann));
}

static void test_close_here__leaves_nothing_behind_at_its_timeout(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->bob, "select pg_advisory_lock_shared(deploy_gate.key('a.b'))");
	assert_state(&scene->ann, "55P03", "call deploy_gate.close_here('a.b', 'x', '1500 ms')");
	assert_contains(psql_message(&scene->ann), "application 'bob') holds its lock");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
	assert_value(&scene->ann, "ann", "show application_name");
}

static void test_close_here__leaves_nothing_behind_when_cancelled(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->bob, "select pg_advisory_lock_shared(deploy_gate.key('a.b'))");
	start_close(scene, &scene->ann, "a.b");
	until_lined_up(scene, &scene->ann);
	psql_cancel(&scene->ann);
	assert_string_equal(psql_finish(&scene->ann), "57014");
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_close_here__a_cancel_never_parts_the_lock_from_the_answer(void **state)
{
	/* The gate, the two above it, and the mark that goes with each of those. */
	assert_survives_cancels(*state, "call deploy_gate.close_here('a.b.c', 'x', '5 s')", "5");
}

/* A window was granted while it waited in the queue: the rows, looked at again behind the locks, say so. */
static void test_close_here__gives_way_to_a_window_made_meanwhile(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->bob, "select pg_advisory_lock_shared(deploy_gate.key('a'))");
	start_close(scene, &scene->ann, "a");
	until_lined_up(scene, &scene->ann);
	assert_string_equal(replica_close(&scene->one, "a", "a", "{\"wait_ms\": 60000}"), "pending");
	psql_run(&scene->bob, "select pg_advisory_unlock_shared(deploy_gate.key('a'))");
	psql_until(&scene->admin, "select not exists (select from pg_locks where locktype = 'advisory' and pid = %d)",
		scene->ann.pid);
	assert_string_equal(replica_close(&scene->one, "a", "a", "{}"), "made");
	assert_true(psql_busy(&scene->ann));
	replica_end(&scene->one, "a", "a");
	assert_string_equal(psql_finish(&scene->ann), "00000");
}

/* One whose client vanished would stand in the queue, get the lock later and keep it. */
static void test_close_here__a_client_that_vanishes_while_waiting_leaves_the_queue(void **state)
{
	struct scene *scene = *state;
	int pid = scene->ann.pid;

	psql_run(&scene->bob, "select pg_advisory_lock_shared(deploy_gate.key('a'))");
	start_close(scene, &scene->ann, "a");
	until_lined_up(scene, &scene->ann);
	psql_close(&scene->ann);
	psql_until(&scene->admin, "select not exists (select from pg_stat_activity where pid = %d)", pid);
}

static void test_close_here__has_the_server_look_after_the_client(void **state)
{
	assert_looks_after_client(*state, "call deploy_gate.close_here('a', 'x', '1 s')");
}

static void test_close_here__the_reason_is_there_for_all_to_see(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin, "insert into deploy_gate.gate (name) values ('a')");
	psql_run(&scene->ann, "call deploy_gate.close_here('a', 'nightly migration', '1 s')");
	assert_value(&scene->bob, "closed " PLAIN_ROLE " nightly migration",
		"select concat_ws(' ', state, holder, reason) from deploy_gate.status where pid = %d", scene->ann.pid);
	psql_run(&scene->ann, "select deploy_gate.open_here('a')");
	assert_value(&scene->ann, "ann", "show application_name");
}

static void test_close_here__a_long_reason_is_cut_off_without_a_notice(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a', 'f\303\274r alle: ' || repeat('x', 100), '1 s')");
	assert_value(&scene->ann, "63 deploy-gate: a: f?r alle: xxx",
		"select length(a) || ' ' || left(a, 29) from current_setting('application_name') a");
}

/* A key does not tell its name; what a session says of itself is believed where it has the lock. */
static void test_close_here__shows_a_gate_that_nobody_knew(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', '', '1 s')");
	psql_run(&scene->ann, "call deploy_gate.close_here('c', 'also: this', '1 s')");
	psql_run(&scene->ann, "select deploy_gate.open_here('a.b')");
	psql_run(&scene->bob, "call deploy_gate.close_here('a.b', '', '1 s')");
	psql_run(&scene->eve, "set application_name = 'deploy-gate: x: not so'");
	assert_value(&scene->eve, "a open , a.b closed , c closed also: this",
		"select string_agg(concat(gate, ' ', state, ' ', reason), ', ' order by gate) from deploy_gate.status");
	assert_value(&scene->eve, "a shared, a.b exclusive, c exclusive",
		"select string_agg(concat(gate, ' ', mode), ', ' order by gate) from deploy_gate.locks");
	psql_run(&scene->ann, "select deploy_gate.open_here('c')");
	assert_value(&scene->ann, "ann", "show application_name");
	psql_close(&scene->bob);
	psql_until(&scene->admin, "select not exists (select from deploy_gate.status)");
}

static void test_open_here__without_a_close_drops_nothing(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "select pg_advisory_lock_shared(deploy_gate.key('a'))");
	assert_false(psql_true(&scene->ann, "select deploy_gate.open_here('a.b')"));
	assert_value(&scene->admin, "1", LOCKS_OF(&scene->ann));
}

static void test_open_here__undoes_one_close_each(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', 'x', '1 s')");
	psql_run(&scene->ann, "call deploy_gate.close_here('a.b', 'y', '1 s')");
	assert_true(psql_true(&scene->ann, "select deploy_gate.open_here('a.b')"));
	assert_false(psql_true(&scene->bob, "select deploy_gate.is_open('a.b')"));
	assert_true(psql_true(&scene->ann, "select deploy_gate.open_here('a.b')"));
	assert_false(psql_true(&scene->ann, "select deploy_gate.open_here('a.b')"));
	assert_value(&scene->admin, "0", LOCKS_OF(&scene->ann));
}

static void test_open_here__tells_the_service(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin, "listen deploy_gate");
	psql_run(&scene->ann, "call deploy_gate.close_here('a', 'x', '1 s')");
	psql_run(&scene->ann, "select deploy_gate.open_here('a')");
	psql_until_notified(&scene->admin, "a");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_close_here__shuts_the_gate_until_open_here),
		SCENE_TEST(test_close_here__the_gate_opens_when_the_session_dies),
		SCENE_TEST(test_close_here__in_a_transaction_block_fails_also_on_a_free_gate),
		SCENE_TEST(test_close_here__is_a_window_in_all_but_name_to_the_service),
		SCENE_TEST(test_close_here__is_in_the_way_of_a_window_above_and_of_no_job),
		SCENE_TEST(test_close_here__waits_for_windows_that_conflict),
		SCENE_TEST(test_close_here__waits_for_the_jobs_inside),
		SCENE_TEST(test_close_here__lets_the_gap_for_jobs_pass),
		SCENE_TEST(test_close_here__lines_up_behind_those_who_hold_the_lock),
		SCENE_TEST(test_close_here__leaves_nothing_behind_at_its_timeout),
		SCENE_TEST(test_close_here__leaves_nothing_behind_when_cancelled),
		SCENE_TEST(test_close_here__a_cancel_never_parts_the_lock_from_the_answer),
		SCENE_TEST(test_close_here__gives_way_to_a_window_made_meanwhile),
		SCENE_TEST(test_close_here__a_client_that_vanishes_while_waiting_leaves_the_queue),
		SCENE_TEST(test_close_here__has_the_server_look_after_the_client),
		SCENE_TEST(test_close_here__the_reason_is_there_for_all_to_see),
		SCENE_TEST(test_close_here__a_long_reason_is_cut_off_without_a_notice),
		SCENE_TEST(test_close_here__shows_a_gate_that_nobody_knew),
		SCENE_TEST(test_open_here__without_a_close_drops_nothing),
		SCENE_TEST(test_open_here__undoes_one_close_each),
		SCENE_TEST(test_open_here__tells_the_service),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
