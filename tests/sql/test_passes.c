/* Passes in the rows: who gets in, which locks that wants, what a window does about those inside, and what becomes of them. */
#include "support/scene.h"

#include <stdio.h>

#define HOUR "interval '1 hour'"

#define assert_pass(wanted, replica, letter, gates, more)                                                              \
	assert_string_equal(replica_pass(replica, letter, gates, more), wanted)
#define assert_close(wanted, replica, letter, gates, more)                                                             \
	assert_string_equal(replica_close(replica, letter, gates, more), wanted)
#define assert_release(wanted, replica, letter) assert_string_equal(replica_release(replica, letter), wanted)

/* Under the token of a lease: INSIDE("w"). */
#define INSIDE(letter)                                                                                                 \
	"{\"inside\": \"" letter letter letter letter letter letter letter letter letter letter letter letter letter   \
		letter letter letter letter letter letter letter letter letter letter letter letter letter letter      \
			letter letter letter letter letter letter letter letter letter letter letter letter letter     \
				letter letter letter letter letter letter letter letter letter letter letter letter    \
					letter letter letter letter letter letter letter letter letter letter letter   \
						letter "\"}"

/* The locks of a session on known gates: "g shared, g.x exclusive". */
static void assert_locks(struct scene *scene, const struct replica *replica, const char *wanted)
{
	assert_value(&scene->admin, wanted,
		"select string_agg(gate || ' ' || mode, ', ' order by gate, mode) from deploy_gate.locks where granted "
		"and pid = %d",
		replica->psql.pid);
}

static void assert_lease(struct scene *scene, const char *letter, const char *wanted)
{
	assert_value(&scene->admin, wanted,
		"select concat_ws(' ', state, ending, case when overrun then 'overrun' end,"
		" case when contested then 'contested' end, case when not locked and ended_at is null then 'unlocked' "
		"end)"
		" from deploy_gate.lease where id = repeat('%s', 32)",
		letter);
}

static void limit(struct scene *scene, const char *gate, int most)
{
	psql_run(&scene->admin,
		"insert into deploy_gate.gate (name, pass_limit) values ('%s', %d)"
		" on conflict (name) do update set pass_limit = excluded.pass_limit",
		gate, most);
}

/* As if a drain, or what else is due at that column, had come to its end. */
static void let_pass(struct scene *scene, const char *column)
{
	psql_run(&scene->admin, "update deploy_gate.lease set %s = %s - " HOUR " where %s is not null", column, column,
		column);
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
	assert_locks(scene, &scene->one, "");
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
	let_pass(scene, "blocked_at");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside contested unlocked");
	psql_run(&scene->ann, "select pg_advisory_unlock_all()");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
}

static void test_limit__counts_the_passes_at_a_gate_and_below_it(void **state)
{
	struct scene *scene = *state;

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
	let_pass(scene, "drain_until");
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
	let_pass(scene, "drain_until");
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

static void test_drain__stop_tells_them_and_proceeds_10_s_later(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"stop\"}");
	let_pass(scene, "drain_until");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
	assert_value(&scene->admin, "t",
		"select bool_and(stop_at between now() - interval '9 s' and now())"
		" and max(drain_until) = max(stop_at) + interval '10 s' from deploy_gate.lease");
	assert_value(&scene->one.psql, "t", "select key between 5000 and 10000 from settled where what = 'next'");
	replica_sweep(&scene->one);
	assert_lease(scene, "w", "draining unlocked");
	let_pass(scene, "drain_until");
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
	let_pass(scene, "unclaimed_at");
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
	let_pass(scene, "unclaimed_at");
	replica_tick(&scene->one);
	assert_lease(scene, "w", "ended abandoned");
	assert_pass("made", &scene->one, "b", "g", "{}");
}

static void test_drain__an_outage_does_not_count(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{}");
	assert_close("draining", &scene->one, "w", "g", "{\"on_drain\": \"stop\", \"drain_ms\": 1000}");
	let_pass(scene, "drain_until");
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
	assert_pass("made", &scene->two, "a", "g.x", INSIDE("w"));
	assert_locks(scene, &scene->two, "");
	assert_lease(scene, "a", "inside");
	assert_pass("closed", &scene->two, "b", "g.x", INSIDE("v"));
	assert_pass("made", &scene->two, "b", "g.x,h.y", INSIDE("w"));
	assert_locks(scene, &scene->two, "h shared, h.y shared");
	/* Of other gates it changes nothing. */
	assert_pass("made", &scene->two, "c", "h", INSIDE("w"));
	assert_close("draining", &scene->one, "v", "h", "{}");
	assert_pass("closed", &scene->two, "d", "g,h", INSIDE("w"));
}

static void test_inside__becomes_an_ordinary_pass_with_the_end_of_its_window(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_pass("made", &scene->one, "a", "g.x", INSIDE("w"));
	assert_pass("made", &scene->two, "b", "g.y", INSIDE("w"));
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
	assert_string_equal(replica_end(&scene->one, "w", "g"), "ok");
	assert_close("made", &scene->one, "v", "g", "{}");
	assert_pass("closed", &scene->one, "a", "g", INSIDE("w"));
	assert_close("queued", &scene->one, "u", "g", "{\"wait_ms\": 60000}");
	assert_pass("closed", &scene->one, "a", "g", INSIDE("u"));
}

static void test_takeover__drains_what_the_other_let_in(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "w", "g", "{}");
	assert_pass("made", &scene->one, "a", "g", INSIDE("w"));
	assert_close("draining", &scene->one, "v", "g", "{\"takeover\": true}");
	assert_lease(scene, "w", "ended taken_over");
	assert_false(psql_true(&scene->ann, "select pg_try_advisory_lock_shared(deploy_gate.key('g'))"));
	assert_release("ok", &scene->one, "a");
	assert_lease(scene, "v", "closed");
	assert_close("made", &scene->one, "u", "g", "{\"takeover\": true}");
	assert_lease(scene, "v", "ended taken_over");
}

static void test_expiry__ends_a_pass_and_the_drain_for_it(void **state)
{
	struct scene *scene = *state;

	assert_pass("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	psql_run(&scene->admin, "update deploy_gate.lease set was_attached = true");
	assert_close("draining", &scene->one, "w", "g", "{}");
	let_pass(scene, "expires_at");
	assert_string_equal(replica_change(&scene->two, "renew", "test.token('a', '') || '{\"ttl_ms\": 1000}'"), "ok");
	replica_sweep(&scene->one);
	assert_lease(scene, "a", "inside");
	let_pass(scene, "expires_at");
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
	let_pass(scene, "unclaimed_at");
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

	assert_pass("made", &scene->two, "a", "g.x", "{}");
	psql_close(&scene->two.psql);
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = stamped_at - interval '4 s' where number = %lld",
		scene->two.number);
	psql_run(&scene->admin, "update deploy_gate.service set serving_since = serving_since - interval '4 s'");
	psql_until(&scene->admin, "select count(*) = 0 from pg_stat_activity where pid = %d", scene->two.psql.pid);
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
		SCENE_TEST(test_drain__shuts_the_door_at_once_and_closes_behind_the_last),
		SCENE_TEST(test_drain__the_last_to_leave_elsewhere_tells_the_owner),
		SCENE_TEST(test_drain__abort_opens_the_gate_again),
		SCENE_TEST(test_drain__of_no_time_is_over_at_once),
		SCENE_TEST(test_drain__proceed_closes_over_those_inside),
		SCENE_TEST(test_drain__stop_tells_them_and_proceeds_10_s_later),
		SCENE_TEST(test_drain__ends_by_force_and_lets_jobs_in_again),
		SCENE_TEST(test_drain__outlives_its_client_for_15_s),
		SCENE_TEST(test_drain__that_nobody_waits_for_any_more_opens_the_gate),
		SCENE_TEST(test_drain__an_outage_does_not_count),
		SCENE_TEST(test_inside__a_window_lets_its_own_jobs_in),
		SCENE_TEST(test_inside__becomes_an_ordinary_pass_with_the_end_of_its_window),
		SCENE_TEST(test_inside__a_token_whose_window_is_over_changes_nothing),
		SCENE_TEST(test_takeover__drains_what_the_other_let_in),
		SCENE_TEST(test_expiry__ends_a_pass_and_the_drain_for_it),
		SCENE_TEST(test_abandoned__a_pass_whose_answer_found_nobody_ends_after_15_s),
		SCENE_TEST(test_dead_replica__its_passes_are_guarded_by_another),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
