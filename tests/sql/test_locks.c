/* Locks that match the rows: what settle takes and names for dropping, and what it makes of somebody outside in the way. */
#include "support/scene.h"

#include <stdio.h>

#define WAITING "{\"wait_ms\": 600000}"

/* How often a session holds a lock shows only in how often it can be dropped. */
static void assert_held_once(struct replica *replica, const char *gate, const char *function)
{
	assert_true(psql_true(&replica->psql, "select %s(deploy_gate.key('%s'))", function, gate));
	assert_false(psql_true(&replica->psql, "select %s(deploy_gate.key('%s'))", function, gate));
}

/* As if somebody outside had first been seen 20 ms ago. */
static void let_be_seen_again(struct scene *scene)
{
	psql_run(&scene->admin, "update deploy_gate.lease set blocked_at = blocked_at - interval '1 hour'");
}

static void hold_outside(struct psql *psql, const char *function, const char *gate)
{
	psql_run(psql, "select %s(deploy_gate.key('%s'))", function, gate);
}

static void test_settle__holds_gates_exclusively_and_ancestors_shared_once(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g.x", "{}");
	assert_close("made", &scene->one, "b", "g.y,g.z.q", "{}");
	assert_close("made", &scene->two, "c", "g.w", "{}");
	assert_locks(scene, &scene->one, "g shared, g.x exclusive, g.y exclusive, g.z shared, g.z.q exclusive");
	replica_sweep(&scene->one);
	assert_locks(scene, &scene->one, "g shared, g.x exclusive, g.y exclusive, g.z shared, g.z.q exclusive");
	assert_held_once(&scene->one, "g", "pg_advisory_unlock_shared");
	assert_held_once(&scene->one, "g.x", "pg_advisory_unlock");
}

static void test_settle__names_what_nobody_wants_any_more(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g.x", "{}");
	assert_close("made", &scene->one, "b", "g.y", "{}");
	replica_decide(&scene->one, "open", "test.token('a', 'g.x')");
	assert_value(&scene->one.psql, "t",
		"select count(*) = 1 and bool_and(key = deploy_gate.key('g.x') and mode = 'x')"
		" from settled where what = 'drop'");
	assert_value(&scene->one.psql, "g.x", "select string_agg(lease, ',') from settled where what = 'changed'");
	replica_drop(&scene->one);
	assert_locks(scene, &scene->one, "g shared, g.y exclusive");
	replica_end(&scene->one, "b", "g.y");
	assert_locks(scene, &scene->one, "");
}

/* A parent's window ends and a child's begins, in whatever order the locks come. */
static void test_settle__goes_from_exclusive_to_shared_on_one_gate(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	replica_decide(&scene->one, "open", "test.token('a', 'g')");
	/* The drop got lost: the next look at everything names it again. */
	assert_string_equal(
		replica_decide(&scene->one, "close", "test.token('b', 'g.x') || '{\"everything\": true}'"), "made");
	replica_drop(&scene->one);
	assert_locks(scene, &scene->one, "g shared, g.x exclusive");
}

static void test_settle__a_lock_of_another_replica_is_no_outsider(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	replica_decide(&scene->one, "open", "test.token('a', 'g')");
	assert_close("pending", &scene->two, "b", "g", "{}");
	assert_close("pending", &scene->two, "b", "g", "{}");
	assert_value(&scene->admin, "t",
		"select blocked_at is null and external is null from deploy_gate.lease where id = " LEASE("b"));
	replica_drop(&scene->one);
	assert_close("made", &scene->two, "b", "g", "{}");
}

static void test_outsider__exclusive_sends_the_window_back_to_its_place(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_close("queued", &scene->two, "c", "g", WAITING);
	replica_end(&scene->one, "a", "g");
	hold_outside(&scene->bob, "pg_advisory_lock", "g");
	/* Seen once, it may be on its way out. */
	assert_close("pending", &scene->one, "b", "g", WAITING);
	psql_run(&scene->admin, "update deploy_gate.lease set blocked_at = blocked_at + interval '1 min'");
	assert_close("pending", &scene->one, "b", "g", WAITING);
	let_be_seen_again(scene);
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_locks(scene, &scene->one, "");
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	assert_close("queued", &scene->two, "c", "g", WAITING);
	assert_close("made", &scene->one, "b", "g", WAITING);
}

static void test_outsider__exclusive_is_held_once_the_wait_is_over(void **state)
{
	struct scene *scene = *state;
	char pid[16];

	hold_outside(&scene->bob, "pg_advisory_lock", "g");
	snprintf(pid, sizeof(pid), "%d", scene->bob.pid);
	assert_close("pending", &scene->one, "a", "g.x", "{}");
	let_be_seen_again(scene);
	assert_close("held", &scene->one, "a", "g.x", "{}");
	assert_value(&scene->one.psql, pid, "select body #>> '{gate,external,0,pid}' from body");
	assert_value(&scene->one.psql, "g", "select body #>> '{gate,closed_by}' from body");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.lease");
	assert_locks(scene, &scene->one, "");
}

/* Probes fail behind one that merely waits. */
static void test_outsider__a_waiter_for_exclusive_counts_as_its_holder(void **state)
{
	struct scene *scene = *state;

	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	psql_send(&scene->ann, "select pg_advisory_lock(deploy_gate.key('g'))");
	psql_until(
		&scene->admin, "select exists (select from pg_locks where pid = %d and not granted)", scene->ann.pid);
	assert_close("pending", &scene->one, "a", "g.x", WAITING);
	let_be_seen_again(scene);
	assert_close("queued", &scene->one, "a", "g.x", WAITING);
}

static void test_outsider__shared_is_drained(void **state)
{
	struct scene *scene = *state;

	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	assert_close("pending", &scene->one, "a", "g", "{}");
	let_be_seen_again(scene);
	assert_close("draining", &scene->one, "a", "g", "{}");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	assert_close("made", &scene->one, "a", "g", "{}");
	assert_value(
		&scene->admin, "draining closed", "select string_agg(kind, ' ' order by id) from deploy_gate.event");
}

static void test_outsider__shared_on_an_ancestor_is_in_nobodys_way(void **state)
{
	struct scene *scene = *state;

	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	assert_close("made", &scene->one, "a", "g.x", "{}");
}

static void test_outsider__shared_beyond_drain_aborts_or_is_closed_over(void **state)
{
	static const struct {
		const char *letter, *terms, *came;
	} cases[] = {
		{ "a", "{\"on_drain\": \"abort\", \"drain_ms\": 0}", "drain_timeout" },
		{ "b", "{\"on_drain\": \"proceed\", \"drain_ms\": 0}", "made" },
	};
	struct scene *scene = *state;

	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_close("pending", &scene->one, cases[i].letter, "g", cases[i].terms);
		let_be_seen_again(scene);
		assert_close("draining", &scene->one, cases[i].letter, "g", cases[i].terms);
		assert_close(cases[i].came, &scene->one, cases[i].letter, "g", cases[i].terms);
	}
	assert_value(&scene->admin, "t",
		"select contested and not locked and external -> 0 ->> 'application_name' = 'bob'"
		" from deploy_gate.lease where id = " LEASE("b"));
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	replica_sweep(&scene->one);
	assert_value(&scene->admin, "f t",
		"select concat_ws(' ', contested, locked) from deploy_gate.lease where id = " LEASE("b"));
}

/* Each try has its own drain: what is left of an earlier one must not end it. */
static void test_outsider__a_ticket_that_came_back_drains_afresh(void **state)
{
	static const char terms[] = "{\"wait_ms\": 600000, \"drain_ms\": 60000}";
	struct scene *scene = *state;

	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	assert_close("pending", &scene->one, "a", "g", terms);
	let_be_seen_again(scene);
	assert_close("draining", &scene->one, "a", "g", terms);
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	hold_outside(&scene->bob, "pg_advisory_lock", "g");
	assert_close("queued", &scene->one, "a", "g", terms);
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	hold_outside(&scene->bob, "pg_advisory_lock_shared", "g");
	psql_run(&scene->admin, "update deploy_gate.lease set drain_until = drain_until - interval '1 hour'");
	assert_close("draining", &scene->one, "a", "g", terms);
}

static void test_outsider__in_the_way_of_a_live_window_makes_it_contested(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	psql_run(&scene->one.psql, "select pg_advisory_unlock(deploy_gate.key('g'))");
	psql_run(&scene->admin, "update deploy_gate.lease set locked = false");
	hold_outside(&scene->bob, "pg_advisory_lock", "g");
	replica_sweep(&scene->one);
	let_be_seen_again(scene);
	replica_sweep(&scene->one);
	replica_sweep(&scene->one);
	assert_value(&scene->admin, "closed t", "select concat_ws(' ', state, contested) from deploy_gate.lease");
	assert_value(&scene->admin, "1", "select count(*) from deploy_gate.event where kind = 'contested'");
	psql_run(&scene->bob, "select pg_advisory_unlock_all()");
	replica_sweep(&scene->one);
	assert_value(&scene->admin, "f t", "select concat_ws(' ', contested, locked) from deploy_gate.lease");
}

/* The probes of a check are those of a snapshot: gone in a moment, and of a session of ours or of nobody. */
static void test_outsider__a_passing_probe_only_delays(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->two.psql, "begin");
	psql_run(&scene->two.psql, "select pg_try_advisory_xact_lock_shared(deploy_gate.key('g'))");
	assert_close("pending", &scene->one, "a", "g", "{}");
	psql_run(&scene->two.psql, "commit");
	assert_close("made", &scene->one, "a", "g", "{}");
	assert_value(&scene->admin, "closed", "select string_agg(kind, ' ') from deploy_gate.event");
}

static void test_key__is_of_its_own_kind_for_gates_sessions_and_migration(void **state)
{
	struct scene *scene = *state;

	/* printf 'deploy_gate:production' | sha256sum */
	assert_value(&scene->ann, "757320538880429960", "select deploy_gate.key('production')");
	assert_value(&scene->ann, "3",
		"select count(distinct deploy_gate.prefixed_key(p, '1')) from"
		" unnest('{deploy_gate:,deploy_gate-session:,deploy_gate-migrate:}'::text[]) p");
	assert_value(&scene->ann, "t", "select deploy_gate.key('1') = deploy_gate.prefixed_key('deploy_gate:', '1')");
	assert_value(&scene->ann, "t", "select deploy_gate.key('A') <> deploy_gate.key('a')");
}

/* The table of locks is everybody's: what is live is kept, and what is new is refused. */
static void test_locks__beyond_the_budget_are_too_many(void **state)
{
	struct scene *scene = *state;

	assert_true(psql_true(&scene->admin,
		"select deploy_gate.lock_budget() = current_setting('max_locks_per_transaction')::int"
		" * current_setting('max_connections')::int / 10"));
	psql_run(&scene->admin,
		"create or replace function deploy_gate.lock_budget() returns integer language sql as 'select 5'");
	assert_close("made", &scene->one, "a", "g.x.y", "{}");
	assert_close("too_many", &scene->one, "b", "h.x,k", "{}");
	assert_close("made", &scene->one, "b", "g.z", "{}");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.lease where gates = '{h.x,k}'");
	assert_pass("too_many", &scene->one, "p", "h.x", "{}");
	assert_pass("made", &scene->one, "p", "g,h", "{}");
	assert_locks(scene, &scene->one, "g shared, g.x shared, g.x.y exclusive, g.z exclusive, h shared");
	/* What needs no more than is held has room, and who asks again has what it has. */
	assert_pass("made", &scene->one, "q", "h", "{}");
	assert_close("ok", &scene->one, "a", "g.x.y", "{}");
	/* The budget is each session's own. */
	assert_close("made", &scene->two, "c", "k", "{}");
	assert_string_equal(replica_end(&scene->one, "b", "g.z"), "ok");
	assert_close("made", &scene->one, "d", "f", "{}");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_settle__holds_gates_exclusively_and_ancestors_shared_once),
		SCENE_TEST(test_settle__names_what_nobody_wants_any_more),
		SCENE_TEST(test_settle__goes_from_exclusive_to_shared_on_one_gate),
		SCENE_TEST(test_settle__a_lock_of_another_replica_is_no_outsider),
		SCENE_TEST(test_outsider__exclusive_sends_the_window_back_to_its_place),
		SCENE_TEST(test_outsider__exclusive_is_held_once_the_wait_is_over),
		SCENE_TEST(test_outsider__a_waiter_for_exclusive_counts_as_its_holder),
		SCENE_TEST(test_outsider__shared_is_drained),
		SCENE_TEST(test_outsider__shared_on_an_ancestor_is_in_nobodys_way),
		SCENE_TEST(test_outsider__shared_beyond_drain_aborts_or_is_closed_over),
		SCENE_TEST(test_outsider__a_ticket_that_came_back_drains_afresh),
		SCENE_TEST(test_outsider__in_the_way_of_a_live_window_makes_it_contested),
		SCENE_TEST(test_outsider__a_passing_probe_only_delays),
		SCENE_TEST(test_key__is_of_its_own_kind_for_gates_sessions_and_migration),
		SCENE_TEST(test_locks__beyond_the_budget_are_too_many),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
