/* Windows that find passes inside, in the rows: how they wait, what they do when nobody leaves, what they let in themselves. */
#include "support/scene.h"

#define HOUR "interval '1 hour'"

/* A pass that acts under the token of a lease. */
#define assert_inside(wanted, replica, letter, gates, owner)                                                           \
	assert_string_equal(replica_change(replica, "pass", "test.token('%s', '%s') || '{\"inside\": \"%s\"}'", \
				    letter, gates, digest(owner)), \
		wanted)

/* What test.token makes of a letter; good until the next call. */
static const char *digest(const char *letter)
{
	static char text[65];

	memset(text, *letter, sizeof(text) - 1);
	return text;
}

static void test_drain__shuts_the_door_at_once_and_closes_behind_the_last(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g.x", "{}");
	assert_pass("made", &scene->two, "b", "g", "{}");
	assert_close("draining", &scene->one, "w", "g,f.y", "{}");
	assert_lease(scene, "w", "draining unlocked");
	assert_value(&scene->admin, "t",
		"select expires_at is null and drain_until = created_at + interval '10 min' from deploy_gate.lease"
		" where id = " LEASE("w"));
	assert_locks(scene, &scene->one, "f shared, g shared, g.x shared");
	assert_pass("closed", &scene->two, "c", "g.z", "{}");
	assert_pass("closed", &scene->two, "c", "f.y.z", "{}");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
	assert_release("ok", &scene->two, "b");
	assert_close("draining", &scene->one, "w", "g,f.y", "{}");
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "w", "closed");
	assert_locks(scene, &scene->one, "f shared, f.y exclusive, g exclusive");
	assert_close("made", &scene->one, "w", "g,f.y", "{\"claim\": 2}");
	assert_value(&scene->admin, "draining closed",
		"select string_agg(kind, ' ' order by id) from deploy_gate.event where gate = 'g' and lease = " LEASE(
			"w"));
}

/* Whichever batch takes the last one out tells the window's owner, who alone tries its locks. */
static void test_drain__the_last_to_leave_elsewhere_tells_the_owner(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->two, "a", "g.x", "{}");
	assert_pass("made", &scene->two, "b", "g.x", "{}");
	assert_close("draining", &scene->one, "w", "g", "{}");
	assert_release("ok", &scene->two, "a");
	assert_value(&scene->two.psql, "", "select string_agg(lease, ',') from settled where what = 'changed'");
	assert_release("ok", &scene->two, "b");
	assert_value(&scene->two.psql, "g", "select string_agg(lease, ',') from settled where what = 'changed'");
	assert_lease(scene, "w", "draining unlocked");
	replica_change(&scene->one, "tick", "'{\"touch\": [\"g\"]}'");
	assert_lease(scene, "w", "closed");
}

static void test_drain__abort_opens_the_gate_again(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g.x,g,f", "{}");
	make_due(scene, "drain_until");
	/* Another's deadline is nothing to tick for: only the owner does something about it. */
	replica_sweep(&scene->two);
	assert_value(&scene->two.psql, "t", "select key > 500000 from settled where what = 'next'");
	assert_lease(scene, "w", "draining unlocked");
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "ended drain_timeout");
	assert_locks(scene, &scene->one, "g shared");
	assert_pass("made", &scene->two, "b", "g.x", "{}");
	assert_close("gone", &scene->one, "w", "g.x,g,f", "{}");
}

/* The rollback of a deploy that failed gives up: jobs must not get in on what is broken. */
static void test_drain__abort_of_a_rollback_leaves_the_gate_crashed(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_pass("made", &scene->one, "b", "g",
		"{\"inside\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}");
	replica_change(&scene->one, "open", "test.token('a', 'g') || '{\"outcome\": \"failed\"}'");
	assert_pass("closed", &scene->one, "c", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{}");
	make_due(scene, "drain_until");
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "ended drain_timeout");
	assert_pass("closed", &scene->two, "c", "g", "{}");
	assert_release("ok", &scene->one, "b");
	assert_close("made", &scene->one, "v", "g", "{}");
	assert_string_equal(replica_end(&scene->one, "v", "g"), "ok");
	assert_pass("made", &scene->two, "c", "g", "{}");
}

/* A rollback at the end of its drain, which covered more than had crashed: the rest was not broken, and opens. */
static void give_up_rollback(struct scene *scene, const char *letter)
{
	make_due(scene, "drain_until");
	for (int i = 0; i < 2; i++) {
		replica_sweep(&scene->one);
		assert_lease(scene, letter, "ended drain_timeout");
		assert_value(&scene->admin, "f open, g crashed first, h crashed because, k crashed first",
			"select string_agg(concat_ws(' ', gate, state, reason), ', ') from deploy_gate.status");
		assert_locks(scene, &scene->one, "f shared, g exclusive, h exclusive, k exclusive");
	}
}

static void test_drain__abort_of_a_rollback_leaves_only_that_crashed_which_was(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g,k", "{\"reason\": \"first\"}");
	assert_close("made", &scene->one, "b", "h", "{}");
	replica_change(&scene->one, "open", "test.token('a', 'g') || '{\"outcome\": \"failed\"}'");
	replica_change(&scene->one, "open", "test.token('b', 'h') || '{\"outcome\": \"failed\"}'");
	assert_pass("made", &scene->one, "p", "f", "{}");
	assert_close("draining", &scene->one, "v", "f,g,h,k", "{}");
	assert_pass("closed", &scene->two, "q", "f", "{}");
	/* Whoever held the locks for what crashed may be gone by now. */
	psql_run(
		&scene->admin, "update deploy_gate.lease set session = 0 where id in (" LEASE("a") ", " LEASE("b") ")");
	give_up_rollback(scene, "v");
	/* One that took the place of another rollback, which had not closed yet. */
	assert_close("draining", &scene->one, "w", "f,g,h,k", "{}");
	assert_close("draining", &scene->one, "u", "f,g,h,k", "{\"takeover\": true}");
	give_up_rollback(scene, "u");
	assert_close("held", &scene->one, "x", "g", "{}");
	assert_close("made", &scene->one, "y", "h", "{}");
	assert_close("made", &scene->one, "z", "g,k", "{}");
	assert_string_equal(replica_end(&scene->one, "z", "g"), "ok");
	assert_pass("made", &scene->two, "r", "k", "{}");
}

static void test_drain__of_no_time_is_over_at_once(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("drain_timeout", &scene->one, "w", "g", "{\"drain_ms\": 0}");
	assert_close("made", &scene->one, "v", "g", "{\"drain_ms\": 0, \"on_drain\": \"proceed\"}");
	assert_lease(scene, "a", "inside overrun");
}

static void test_drain__proceed_closes_over_those_inside(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g.x,h", "{}");
	assert_pass("made", &scene->two, "b", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"proceed\"}");
	make_due(scene, "drain_until");
	/* The other replica has to drop its lock first. */
	assert_close("draining", &scene->one, "w", "g", "{}");
	assert_lease(scene, "a", "inside overrun");
	assert_lease(scene, "b", "inside overrun");
	replica_change(&scene->two, "tick", "'{\"touch\": [\"g\"]}'");
	assert_locks(scene, &scene->two, "");
	assert_close("made", &scene->one, "w", "g", "{\"claim\": 2}");
	assert_locks(scene, &scene->one, "g exclusive");
	/* An overrun pass never counts again, and still ends as any other. */
	assert_string_equal(replica_end(&scene->one, "w", "g"), "ok");
	assert_close("made", &scene->one, "v", "h", "{}");
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "a", "ended released overrun");
	assert_value(&scene->admin, "2",
		"select count(*) from deploy_gate.event where kind = 'overrun' and gate like 'g%%'");
}

/* A batch must not be held up by it. */
static void test_drain__proceeds_over_many_a_piece_at_a_time(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g.x", "{}");
	psql_run(&scene->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at, session, locked)"
		" select 'copy ' || n, 'copy', kind, state, gates, ttl_ms, created_at, session, locked"
		" from deploy_gate.lease, generate_series(1, 600) n");
	psql_run(&scene->admin,
		"insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)"
		" select 'copy ' || n, gate, role, key, ancestor_keys from deploy_gate.lease_gate, generate_series(1, "
		"600) n");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"proceed\", \"drain_ms\": 0}");
	assert_value(&scene->admin, "500", "select count(*) from deploy_gate.lease where overrun");
	assert_pass("closed", &scene->two, "b", "g", "{}");
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "closed");
	assert_value(&scene->admin, "601", "select count(*) from deploy_gate.lease where overrun");
}

static void test_drain__stop_tells_them_and_proceeds_10_s_later(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"stop\"}");
	make_due(scene, "drain_until");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
	assert_value(&scene->admin, "t",
		"select count(stop_at) = 2 and bool_and(stop_at between now() - interval '9 s' and now())"
		" and max(drain_until) = max(stop_at) + interval '10 s' from deploy_gate.lease");
	assert_value(&scene->one.psql, "t", "select key between 5000 and 10000 from settled where what = 'next'");
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "draining unlocked");
	make_due(scene, "drain_until");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside overrun");
	assert_lease(scene, "w", "closed");
}

static void test_drain__ends_by_force_and_lets_jobs_in_again(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{}");
	assert_string_equal(replica_change(&scene->two, "force_open",
				    "jsonb_build_object('gate', 'g', 'by', 'me', 'reason', 'stuck')"),
		"ok");
	assert_lease(scene, "w", "ended forced");
	assert_pass("made", &scene->two, "b", "g", "{}");
	assert_close("gone", &scene->one, "w", "g", "{}");
}

static void test_drain__outlives_its_client_for_15_s(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{}");
	replica_change(&scene->one, "unclaim", "test.token('w', 'g')");
	assert_close("draining", &scene->two, "w", "g", "{\"claim\": 2}");
	replica_change(&scene->two, "unclaim", "test.token('w', 'g') || '{\"claim\": 2}'");
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "w", "closed");
	make_due(scene, "unclaimed_at");
	replica_tick(&scene->two);
	assert_lease(scene, "w", "ended abandoned");
}

static void test_drain__that_nobody_waits_for_any_more_opens_the_gate(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->two, "w", "g", "{}");
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = stamped_at - interval '6 s' where number = %lld",
		scene->two.number);
	replica_tick(&scene->one);
	make_due(scene, "unclaimed_at");
	replica_tick(&scene->one);
	assert_lease(scene, "w", "ended abandoned");
	assert_pass("made", &scene->one, "b", "g", "{}");
}

static void test_drain__an_outage_does_not_count(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"stop\", \"drain_ms\": 1000}");
	make_due(scene, "drain_until");
	replica_sweep(&scene->one);
	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = stamped_at - " HOUR);
	psql_run(&scene->admin,
		"update deploy_gate.lease set drain_until = drain_until - " HOUR ", stop_at = stop_at - " HOUR
		", expires_at = expires_at - " HOUR);
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "draining unlocked");
	assert_value(&scene->admin, "t",
		"select bool_and(stop_at > now() - interval '1 min') and bool_or(drain_until > now()) from "
		"deploy_gate.lease");
}

static void test_inside__a_window_lets_its_own_jobs_in(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_inside("made", &scene->two, "a", "g.x", "w");
	assert_locks(scene, &scene->two, "");
	assert_lease(scene, "a", "inside");
	assert_inside("closed", &scene->two, "b", "g.x", "v");
	assert_inside("made", &scene->two, "b", "g.x,h.y", "w");
	assert_locks(scene, &scene->two, "h shared, h.y shared");
	/* Of other gates it changes nothing. */
	assert_inside("made", &scene->two, "c", "h", "w");
	assert_close("draining", &scene->one, "v", "h", "{}");
	assert_inside("closed", &scene->two, "d", "g,h", "w");
}

static void test_inside__becomes_an_ordinary_pass_with_the_end_of_its_window(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_inside("made", &scene->one, "a", "g.x", "w");
	assert_inside("made", &scene->two, "b", "g.y", "w");
	replica_decide(&scene->one, "open", "test.token('w', 'g')");
	assert_lease(scene, "a", "inside");
	assert_lease(scene, "b", "inside unlocked");
	assert_value(&scene->one.psql, "g,g.y",
		"select string_agg(lease, ',' order by lease) from settled where what = 'changed'");
	replica_drop(&scene->one);
	assert_locks(scene, &scene->one, "g shared, g.x shared");
	replica_change(&scene->two, "tick", "'{\"touch\": [\"g.y\"]}'");
	assert_lease(scene, "b", "inside");
	assert_locks(scene, &scene->two, "g shared, g.y shared");
	assert_close("draining", &scene->two, "v", "g", "{}");
}

static void test_inside__a_token_whose_window_is_over_changes_nothing(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_string_equal(
		replica_change(&scene->one, "open", "test.token('w', 'g') || '{\"outcome\": \"failed\"}'"), "ok");
	assert_inside("closed", &scene->one, "a", "g", "w");
	assert_close("made", &scene->one, "v", "g", "{}");
	assert_inside("closed", &scene->one, "a", "g", "w");
	assert_close("queued", &scene->one, "u", "g", "{\"wait_ms\": 60000}");
	assert_inside("closed", &scene->one, "a", "g", "u");
}

static void test_takeover__drains_what_the_other_let_in(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_inside("made", &scene->one, "a", "g", "w");
	assert_close("draining", &scene->one, "v", "g", "{\"takeover\": true}");
	assert_lease(scene, "w", "ended taken_over");
	assert_false(psql_true(&scene->ann, "select pg_try_advisory_lock_shared(deploy_gate.key('g'))"));
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "v", "closed");
	assert_close("made", &scene->one, "u", "g", "{\"takeover\": true}");
	assert_lease(scene, "v", "ended taken_over");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_drain__shuts_the_door_at_once_and_closes_behind_the_last),
		SCENE_TEST(test_drain__the_last_to_leave_elsewhere_tells_the_owner),
		SCENE_TEST(test_drain__abort_opens_the_gate_again),
		SCENE_TEST(test_drain__abort_of_a_rollback_leaves_the_gate_crashed),
		SCENE_TEST(test_drain__abort_of_a_rollback_leaves_only_that_crashed_which_was),
		SCENE_TEST(test_drain__of_no_time_is_over_at_once),
		SCENE_TEST(test_drain__proceed_closes_over_those_inside),
		SCENE_TEST(test_drain__proceeds_over_many_a_piece_at_a_time),
		SCENE_TEST(test_drain__stop_tells_them_and_proceeds_10_s_later),
		SCENE_TEST(test_drain__ends_by_force_and_lets_jobs_in_again),
		SCENE_TEST(test_drain__outlives_its_client_for_15_s),
		SCENE_TEST(test_drain__that_nobody_waits_for_any_more_opens_the_gate),
		SCENE_TEST(test_drain__an_outage_does_not_count),
		SCENE_TEST(test_inside__a_window_lets_its_own_jobs_in),
		SCENE_TEST(test_inside__becomes_an_ordinary_pass_with_the_end_of_its_window),
		SCENE_TEST(test_inside__a_token_whose_window_is_over_changes_nothing),
		SCENE_TEST(test_takeover__drains_what_the_other_let_in),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
