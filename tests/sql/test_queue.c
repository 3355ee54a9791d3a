/* Who gets a gate: places in the queue, claims on them, trees and sets of gates, the gap for jobs. */
#include "support/scene.h"

#define WAITING "{\"wait_ms\": 600000}"

/* The answers of a close are compared as words. */

/* Moves what is stored into the past, as if that much time had gone by. */
static void let_pass(struct scene *scene, const char *interval)
{
	psql_run(&scene->admin, "update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '%s'", interval);
	psql_run(&scene->admin,
		"update deploy_gate.gate set freed_at = freed_at - interval '%s', gap_until = gap_until - interval "
		"'%s'",
		interval, interval);
}

/* What became free does so a minute later: time enough for what happens here within 1 s of it, or within the gap. */
static void free_later(struct scene *scene)
{
	psql_run(&scene->admin,
		"update deploy_gate.gate set freed_at = freed_at + interval '1 min', gap_until = gap_until + interval "
		"'1 min'");
}

static void test_queue__first_come_first_served_across_replicas(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->two, "b", "g", WAITING);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	assert_string_equal(replica_end(&scene->one, "a", "g"), "ok");
	free_later(scene);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	assert_close("held", &scene->one, "d", "g", "{}");
	/* The lock of the first is dropped by its replica; here it was. */
	assert_close("made", &scene->two, "b", "g", WAITING);
	replica_end(&scene->two, "b", "g");
	assert_close("made", &scene->one, "c", "g", WAITING);
	assert_value(&scene->admin, "aaa bbb ccc",
		"select string_agg(left(id, 3), ' ' order by fence) from deploy_gate.lease where fence is not null");
}

static void test_queue__a_refused_close_leaves_no_trace(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("held", &scene->two, "b", "g", "{}");
	assert_value(&scene->two.psql, "g closed",
		"select concat_ws(' ', body #>> '{gate,name}', body #>> '{gate,state}') from body");
	assert_close("queued", &scene->two, "c", "g", "{\"wait_ms\": 1}");
	psql_run(&scene->admin,
		"update deploy_gate.lease set wait_until = now() - interval '1 s' where state = 'queued'");
	assert_close("held", &scene->two, "c", "g", "{\"wait_ms\": 1}");
	assert_value(&scene->admin, "1", "select count(*) from deploy_gate.lease");
}

/* The same token again, at whichever replica, is the same window. */
static void test_queue__a_repeated_close_is_one_window(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("ok", &scene->two, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_close("queued", &scene->two, "b", "g", WAITING);
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
	assert_string_equal(replica_end(&scene->two, "a", "g"), "ok");
}

static void test_queue__a_token_belongs_to_one_lease_for_good(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g,h", "{}");
	assert_close("ok", &scene->one, "a", "h,g", "{}");
	assert_close("token_used", &scene->one, "a", "g", "{}");
	replica_end(&scene->one, "a", "g");
	assert_close("gone", &scene->one, "a", "g,h", "{}");
	assert_value(&scene->one.psql, "opened", "select body #>> '{lease,end}' from body");
}

static void test_queue__a_hang_up_clears_only_its_own_claim(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", "{\"wait_ms\": 600000, \"claim\": 7}");
	/* The client is back at the other replica before its first hang-up is noticed. */
	assert_close("queued", &scene->two, "b", "g", "{\"wait_ms\": 600000, \"claim\": 7}");
	replica_change(&scene->one, "unclaim", "test.token('b', 'g') || '{\"claim\": 7}'");
	replica_change(&scene->two, "unclaim", "test.token('b', 'g') || '{\"claim\": 6}'");
	assert_value(&scene->admin, "t",
		"select claim_session = %lld and unclaimed_at is null from deploy_gate.lease"
		" where state = 'queued'",
		scene->two.number);
	replica_change(&scene->two, "unclaim", "test.token('b', 'g') || '{\"claim\": 7}'");
	assert_value(&scene->admin, "t",
		"select claim_session is null and unclaimed_at is not null from deploy_gate.lease"
		" where state = 'queued'");
}

static void test_queue__a_ticket_without_claim_is_passed_over_and_keeps_its_number(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	assert_close("queued", &scene->one, "d", "g", WAITING);
	replica_change(&scene->one, "unclaim", "test.token('b', 'g')");
	replica_end(&scene->one, "a", "g");
	assert_close("made", &scene->one, "c", "g", WAITING);
	assert_close("queued", &scene->one, "b", "g", WAITING);
	replica_end(&scene->one, "c", "g");
	free_later(scene);
	assert_close("queued", &scene->one, "d", "g", WAITING);
	assert_close("made", &scene->one, "b", "g", WAITING);
}

static void test_queue__a_ticket_that_does_not_ask_in_time_is_passed_over(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	replica_end(&scene->one, "a", "g");
	free_later(scene);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	let_pass(scene, "61 s");
	assert_close("made", &scene->one, "c", "g", WAITING);
}

/* A hung replica's claims count no longer than its stamp is fresh. */
static void test_queue__the_claims_of_a_silent_replica_do_not_count(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->two, "b", "g", WAITING);
	replica_end(&scene->one, "a", "g");
	free_later(scene);
	assert_close("queued", &scene->one, "c", "g", WAITING);
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = now() - interval '6 s' where number = %lld",
		scene->two.number);
	assert_close("made", &scene->one, "c", "g", WAITING);
}

static void test_queue__what_nobody_asks_for_is_abandoned_after_15_s(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	replica_change(&scene->one, "unclaim", "test.token('b', 'g')");
	let_pass(scene, "10 s");
	replica_tick(&scene->one);
	assert_lease(scene, "b", "queued");
	let_pass(scene, "5 s");
	replica_tick(&scene->one);
	assert_lease(scene, "b", "ended abandoned");
	assert_lease(scene, "a", "closed");
	assert_close("gone", &scene->one, "b", "g", WAITING);
}

/* The answer could not be delivered: nobody may know that the gate is shut. */
static void test_queue__an_unanswered_window_is_abandoned_too(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	replica_change(&scene->one, "unclaim", "test.token('a', 'g')");
	assert_close("made", &scene->two, "a", "g", "{\"claim\": 2}");
	replica_change(&scene->two, "unclaim", "test.token('a', 'g') || '{\"claim\": 2}'");
	let_pass(scene, "15 s");
	replica_tick(&scene->two);
	assert_lease(scene, "a", "ended abandoned");
}

/* Whoever of the two hangs up: the other was told that the gate is shut. */
static void test_queue__a_window_that_was_answered_twice_is_not_taken_back(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("ok", &scene->two, "a", "g", "{\"claim\": 2}");
	replica_change(&scene->two, "unclaim", "test.token('a', 'g') || '{\"claim\": 2}'");
	replica_change(&scene->one, "unclaim", "test.token('a', 'g')");
	let_pass(scene, "15 s");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "closed");
}

static void test_queue__parent_and_child_conflict_and_siblings_do_not(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g.x", "{}");
	assert_close("made", &scene->two, "b", "g.y", "{}");
	assert_close("made", &scene->two, "c", "g-x", "{}");
	assert_close("held", &scene->two, "d", "g", "{}");
	assert_close("held", &scene->two, "d", "g.x.z", "{}");
	assert_close("queued", &scene->two, "e", "g", WAITING);
	/* The older ticket of the parent goes before a child that would be free. */
	assert_close("held", &scene->one, "f", "g.z", "{}");
	replica_end(&scene->one, "a", "g.x");
	assert_close("queued", &scene->two, "e", "g", WAITING);
	replica_end(&scene->two, "b", "g.y");
	assert_close("made", &scene->two, "e", "g", WAITING);
	assert_close("held", &scene->one, "f", "g.z", "{}");
}

static void test_queue__a_set_is_had_whole_or_not_at_all(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "h", "{}");
	assert_close("queued", &scene->one, "b", "g,h,i", WAITING);
	assert_close("held", &scene->two, "c", "i", "{}");
	assert_value(&scene->admin, "1", "select count(*) from deploy_gate.lease_gate where role = 'window'");
	replica_end(&scene->one, "a", "h");
	assert_close("made", &scene->one, "b", "g,h,i", WAITING);
	assert_value(&scene->admin, "3",
		"select count(*) from pg_locks where pid = %d and mode = 'ExclusiveLock' and locktype = 'advisory'"
		" and (classid::bigint << 32) | objid::bigint in (select deploy_gate.key(g) from "
		"unnest('{g,h,i}'::text[]) g)",
		scene->one.psql.pid);
	assert_string_equal(replica_end(&scene->one, "b", "x"), "not_holder");
	assert_string_equal(replica_end(&scene->one, "b", "h"), "ok");
	assert_close("made", &scene->two, "c", "i", "{}");
}

static void test_queue__jobs_that_waited_get_a_gap_between_two_windows(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	replica_change(&scene->one, "jobs_wait", "jsonb_build_object('lease', " LEASE("a") ")");
	assert_close("queued", &scene->one, "b", "g.x", WAITING);
	replica_end(&scene->one, "a", "g");
	assert_value(&scene->admin, "00:00:00.5", "select gap_until - freed_at from deploy_gate.gate where name = 'g'");
	free_later(scene);
	/* A close that finds only the gap in its way waits for it, whatever its wait. */
	assert_close("queued", &scene->one, "b", "g.x", WAITING);
	assert_true(
		psql_true(&scene->one.psql, "select (body ->> 'ask_again_ms')::int between 50000 and 60500 from body"));
	assert_close("queued", &scene->two, "c", "h,g.y", "{}");
	let_pass(scene, "61 s");
	assert_close("made", &scene->one, "b", "g.x", WAITING);
}

static void test_queue__no_gap_where_no_deploy_waits_or_no_job_did(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	replica_end(&scene->one, "a", "g");
	assert_close("made", &scene->one, "b", "g", WAITING);
	replica_change(&scene->one, "jobs_wait", "jsonb_build_object('lease', " LEASE("b") ")");
	replica_end(&scene->one, "b", "g");
	assert_close("made", &scene->one, "c", "g", "{}");
}

/* PostgreSQL counted the leases while there were three. */
static void test_tick__looks_at_none_of_what_ended_since_plans_were_made(void **state)
{
	struct scene *scene = *state;

	replica_pin_plans(&scene->one);
	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	assert_pass("made", &scene->one, "c", "h", "{}");
	psql_run(&scene->admin, "analyze deploy_gate.lease, deploy_gate.lease_gate");
	replica_sweep(&scene->one);
	psql_run(&scene->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at, ended_at, ending)"
		" select md5(i::text), md5(i::text), 'window', 'ended', '{g}', 1, now(), now(), 'opened'"
		" from generate_series(1, 5000) i");
	psql_run(&scene->one.psql, "begin");
	replica_sweep(&scene->one);
	assert_true(psql_number(&scene->one.psql,
			    "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
			    " from pg_stat_xact_all_tables where relid = 'deploy_gate.lease'::regclass") < 100);
	psql_run(&scene->one.psql, "commit");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_queue__first_come_first_served_across_replicas),
		SCENE_TEST(test_queue__a_refused_close_leaves_no_trace),
		SCENE_TEST(test_queue__a_repeated_close_is_one_window),
		SCENE_TEST(test_queue__a_token_belongs_to_one_lease_for_good),
		SCENE_TEST(test_queue__a_hang_up_clears_only_its_own_claim),
		SCENE_TEST(test_queue__a_ticket_without_claim_is_passed_over_and_keeps_its_number),
		SCENE_TEST(test_queue__a_ticket_that_does_not_ask_in_time_is_passed_over),
		SCENE_TEST(test_queue__the_claims_of_a_silent_replica_do_not_count),
		SCENE_TEST(test_queue__what_nobody_asks_for_is_abandoned_after_15_s),
		SCENE_TEST(test_queue__an_unanswered_window_is_abandoned_too),
		SCENE_TEST(test_queue__a_window_that_was_answered_twice_is_not_taken_back),
		SCENE_TEST(test_queue__parent_and_child_conflict_and_siblings_do_not),
		SCENE_TEST(test_queue__a_set_is_had_whole_or_not_at_all),
		SCENE_TEST(test_queue__jobs_that_waited_get_a_gap_between_two_windows),
		SCENE_TEST(test_queue__no_gap_where_no_deploy_waits_or_no_job_did),
		SCENE_TEST(test_tick__looks_at_none_of_what_ended_since_plans_were_made),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
