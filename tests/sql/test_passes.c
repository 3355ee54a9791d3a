/* Passes in the rows: who gets in, which locks that wants, and what becomes of them. */
#include "support/scene.h"

static void limit(struct scene *scene, const char *gate, int most)
{
	psql_run(&scene->admin,
		"insert into deploy_gate.gate (name, pass_limit) values ('%s', %d)"
		" on conflict (name) do update set pass_limit = excluded.pass_limit",
		gate, most);
}

static void test_pass__holds_gates_and_ancestors_shared_once(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g.x", "{}");
	assert_pass("made", &scene->one, "b", "g.x,g.y", "{}");
	assert_pass("made", &scene->two, "c", "g", "{}");
	assert_locks(scene, &scene->one, "g shared, g.x shared, g.y shared");
	assert_locks(scene, &scene->two, "g shared");
	assert_release("ok", &scene->one, "a");
	assert_locks(scene, &scene->one, "g shared, g.x shared, g.y shared");
	assert_release("ok", &scene->one, "b");
	assert_locks(scene, &scene->one, "");
	replica_sweep(&scene->two);
	assert_locks(scene, &scene->two, "g shared");
}

static void test_pass__again_with_its_token_is_the_same_pass(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g,h", "{}");
	assert_pass("ok", &scene->two, "a", "h,g", "{\"claim\": 2}");
	assert_close("draining", &scene->one, "w", "g", "{}");
	assert_pass("ok", &scene->two, "a", "h,g", "{\"claim\": 3}");
	assert_pass("token_used", &scene->one, "a", "g", "{}");
	assert_close("token_used", &scene->one, "a", "g", "{}");
	assert_pass("token_used", &scene->one, "w", "g", "{}");
	assert_release("ok", &scene->one, "a");
	assert_release("ok", &scene->one, "a");
	assert_pass("gone", &scene->one, "a", "g,h", "{}");
}

static void test_pass__tells_the_fence_of_the_last_window(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_string_equal(replica_end(&scene->one, "w", "g"), "ok");
	assert_pass("made", &scene->one, "a", "g.x", "{}");
	assert_value(&scene->admin, "t",
		"select p.fence = w.fence from deploy_gate.lease p, deploy_gate.lease w where p.kind = 'pass' and "
		"w.kind = 'window'");
}

static void test_pass__does_not_get_into_a_shut_gate(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_pass("closed", &scene->two, "a", "g.x,h", "{}");
	assert_pass("closed", &scene->one, "a", "h,g", "{}");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.lease where kind = 'pass'");
	assert_pass("made", &scene->two, "a", "h", "{}");
	assert_pass("not_found", &scene->one, "b", "i", "{\"known_only\": true}");
}

/* Made by rows alone where a lock of another replica is just being dropped, and settled behind it. */
static void test_pass__is_guarded_by_its_rows_until_its_lock_is_had(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	replica_decide(&scene->one, "open", "test.token('w', 'g')");
	assert_pass("made", &scene->two, "a", "g", "{}");
	assert_lease(scene, "a", "inside unlocked");
	replica_sweep(&scene->two);
	assert_lease(scene, "a", "inside unlocked");
	assert_value(&scene->two.psql, "t", "select key <= 250 from settled where what = 'next'");
	replica_drop(&scene->one);
	assert_close("draining", &scene->one, "v", "g", "{}");
	replica_sweep(&scene->two);
	assert_lease(scene, "a", "inside");
	assert_locks(scene, &scene->two, "g shared");
}

static void test_pass__somebody_outside_is_looked_at_first(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->ann, "select pg_advisory_lock(deploy_gate.key('g'))");
	assert_pass("pending", &scene->one, "a", "g.x", "{}");
	assert_value(&scene->admin, "0", "select count(*) from pg_locks where pid = %d and mode = 'ShareLock'",
		scene->one.psql.pid);
	assert_pass("closed", &scene->one, "a", "g.x", "{\"keep_out\": \"closed\"}");
	psql_run(&scene->ann, "select pg_advisory_unlock_all()");
	assert_pass("made", &scene->one, "a", "g.x", "{}");
	assert_pass("made", &scene->one, "a", "g.x", "{\"keep_out\": \"closed\"}");
}

static void test_pass__what_lost_its_lock_to_somebody_outside_is_contested(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	psql_run(&scene->one.psql, "select pg_advisory_unlock_shared(deploy_gate.key('g'))");
	psql_run(&scene->ann, "select pg_advisory_lock(deploy_gate.key('g'))");
	psql_run(&scene->admin, "update deploy_gate.lease set locked = false");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside unlocked");
	make_due(scene, "blocked_at");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside contested unlocked");
	psql_run(&scene->ann, "select pg_advisory_unlock_all()");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
}

static void test_limit__counts_the_passes_at_a_gate_and_below_it(void **state)
{
	struct scene *scene = *state;

	assert_pass("full", &scene->one, "a", "g.x", "{\"keep_out\": \"full\"}");
	limit(scene, "g", 2);
	limit(scene, "h", 1);
	assert_pass("made", &scene->one, "a", "g.x,g.y", "{}");
	assert_pass("made", &scene->two, "b", "g", "{}");
	assert_pass("full", &scene->one, "c", "g.z", "{}");
	assert_pass("full", &scene->one, "c", "h,g.z", "{}");
	assert_pass("made", &scene->one, "d", "h", "{}");
	assert_value(&scene->admin, "full g",
		"select concat_ws(' ', j ->> 'state', j ->> 'closed_by') from deploy_gate.gate_json('g.z', now()) j");
	replica_release(&scene->two, "a");
	assert_value(&scene->two.psql, "g", "select string_agg(lease, ',') from settled where what = 'changed'");
	replica_release(&scene->two, "b");
	assert_value(&scene->two.psql, "", "select string_agg(lease, ',') from settled where what = 'changed'");
	assert_pass("made", &scene->one, "c", "g.z", "{}");
}

static void test_expiry__ends_a_pass_and_the_drain_for_it(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	psql_run(&scene->admin, "update deploy_gate.lease set was_attached = true");
	assert_close("draining", &scene->one, "w", "g", "{}");
	make_due(scene, "expires_at");
	assert_string_equal(replica_change(&scene->two, "renew", "test.token('a', '') || '{\"ttl_ms\": 60000}'"), "ok");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
	make_due(scene, "expires_at");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "ended expired");
	assert_lease(scene, "w", "closed");
	assert_string_equal(replica_change(&scene->two, "renew", "test.token('a', '')"), "gone");
}

static void test_abandoned__a_pass_whose_answer_found_nobody_ends_after_15_s(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_pass("made", &scene->one, "b", "g", "{}");
	replica_change(&scene->one, "unclaim", "test.token('a', 'g')");
	replica_change(&scene->one, "unclaim", "test.token('b', 'g')");
	/* Back at another replica in time: it is the one who made it. */
	assert_pass("made", &scene->two, "b", "g", "{\"claim\": 2}");
	make_due(scene, "unclaimed_at");
	replica_tick(&scene->two);
	assert_lease(scene, "a", "ended abandoned");
	assert_lease(scene, "b", "inside");
	/* One hang-up of two who asked takes nothing back from the other. */
	assert_pass("ok", &scene->one, "b", "g", "{\"claim\": 3}");
	replica_change(&scene->one, "unclaim", "test.token('b', 'g') || '{\"claim\": 3}'");
	replica_change(&scene->two, "unclaim", "test.token('b', 'g') || '{\"claim\": 2}'");
	assert_value(&scene->admin, "t", "select unclaimed_at is null from deploy_gate.lease where id = " LEASE("b"));
}

static void test_dead_replica__its_passes_are_guarded_by_another(void **state)
{
	struct scene *scene = *state;
	int pid = scene->two.psql.pid;

	assert_pass("made", &scene->two, "a", "g.x", "{}");
	psql_close(&scene->two.psql);
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = stamped_at - interval '4 s' where number = %lld",
		scene->two.number);
	psql_run(&scene->admin, "update deploy_gate.service set serving_since = serving_since - interval '4 s'");
	psql_until(&scene->admin, "select count(*) = 0 from pg_stat_activity where pid = %d", pid);
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
	assert_locks(scene, &scene->one, "g shared, g.x shared");
	assert_close("draining", &scene->one, "w", "g", "{}");
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "w", "closed");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_pass__holds_gates_and_ancestors_shared_once),
		SCENE_TEST(test_pass__again_with_its_token_is_the_same_pass),
		SCENE_TEST(test_pass__tells_the_fence_of_the_last_window),
		SCENE_TEST(test_pass__does_not_get_into_a_shut_gate),
		SCENE_TEST(test_pass__is_guarded_by_its_rows_until_its_lock_is_had),
		SCENE_TEST(test_pass__somebody_outside_is_looked_at_first),
		SCENE_TEST(test_pass__what_lost_its_lock_to_somebody_outside_is_contested),
		SCENE_TEST(test_limit__counts_the_passes_at_a_gate_and_below_it),
		SCENE_TEST(test_expiry__ends_a_pass_and_the_drain_for_it),
		SCENE_TEST(test_abandoned__a_pass_whose_answer_found_nobody_ends_after_15_s),
		SCENE_TEST(test_dead_replica__its_passes_are_guarded_by_another),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
