/* Reaping in the rows: what is ended, in which order, and what is left alone. */
#include "support/scene.h"

#include <stdio.h>

/* Reaps, and gives the letters of the leases that this says it ended, in its order. */
static const char *reap(struct replica *replica, const char *request)
{
	assert_string_equal(
		replica_change(replica, "reap", "'{\"reason\": \"left over\", \"by\": \"ann\", %s}'", request), "ok");
	return psql_value(&replica->psql,
		"select string_agg(left(l ->> 'id', 1), '' order by place)"
		" from body, jsonb_array_elements(body -> 'leases') with ordinality x (l, place)");
}

static void let_age(struct scene *scene, const char *letter, const char *interval)
{
	psql_run(&scene->admin,
		"update deploy_gate.lease set created_at = created_at - interval '%s' where id = repeat('%s', 32)",
		interval, letter);
}

/* The leases that are live: their letters. */
static void assert_live(struct scene *scene, const char *wanted)
{
	assert_value(&scene->admin, wanted,
		"select coalesce(string_agg(left(id, 1), '' order by id), '') from deploy_gate.lease where ended_at is "
		"null");
}

static void test_reap__ends_what_is_older_the_oldest_first(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->two, "b", "h", "{}");
	replica_pass(&scene->one, "c", "i", "{}");
	replica_pass(&scene->two, "d", "i", "{}");
	let_age(scene, "d", "3 h");
	let_age(scene, "a", "2 h");
	let_age(scene, "b", "50 m");
	assert_string_equal(reap(&scene->one, "\"older_than_ms\": 3600000"), "da");
	assert_live(scene, "bc");
	assert_value(&scene->admin, "reaped ann left over",
		"select concat_ws(' ', ending, ended_by, end_reason) from deploy_gate.lease where id = " LEASE("a"));
	assert_value(&scene->admin, "g ann left over",
		"select concat_ws(' ', gate, by, reason) from deploy_gate.event where kind = 'reaped' and lease "
		"= " LEASE("a"));
	assert_string_equal(reap(&scene->one, "\"all\": true"), "bc");
	assert_live(scene, "");
	assert_string_equal(reap(&scene->one, "\"all\": true"), "");
}

/* Strictly: what is just as old is not older. */
static void test_reap__what_is_just_as_old_stays(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "h", "{}");
	psql_run(&scene->admin,
		"update deploy_gate.lease set created_at = '2026-01-02T03:04:05.000001Z' where id = " LEASE("a"));
	psql_run(&scene->admin,
		"update deploy_gate.lease set created_at = '2026-01-02T03:04:05.000002Z' where id = " LEASE("b"));
	assert_string_equal(reap(&scene->one, "\"older_than_ms\": 1, \"before\": \"2026-01-02T03:04:05.000001Z\""), "");
	assert_string_equal(
		reap(&scene->one, "\"older_than_ms\": 1, \"before\": \"2026-01-02T03:04:05.000002Z\""), "a");
	assert_live(scene, "b");
}

static void test_reap__by_kind_and_gates(void **state)
{
	struct scene *scene = *state;

	replica_pass(&scene->one, "a", "g.x,other", "{}");
	replica_pass(&scene->one, "b", "gx", "{}");
	replica_close(&scene->one, "c", "g.y", "{}");
	replica_close(&scene->one, "d", "h", "{}");
	replica_pass(&scene->one, "e", "k", "{}");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"kind\": \"window\", \"gates\": [\"g\"]"), "c");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"gates\": [\"g\", \"h\"]"), "ad");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"gates\": [\"gx.y\"]"), "");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"kind\": \"pass\""), "be");
}

/* Who stands in line holds nothing; and what crashed waits for a person who looks. */
static void test_reap__leaves_the_line_and_what_crashed(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "g", "{\"wait_ms\": 600000}");
	replica_close(&scene->one, "c", "h", "{}");
	replica_change(&scene->one, "open", "test.token('c', 'h') || '{\"outcome\": \"failed\"}'");
	assert_string_equal(reap(&scene->one, "\"all\": true"), "a");
	assert_live(scene, "b");
	assert_value(&scene->admin, "crashed", "select aftermath from deploy_gate.lease where id = " LEASE("c"));
}

/* A window waits for a pass that is reaped no longer; and one that drains is ended like any other. */
static void test_reap__lets_a_drain_go_on_or_ends_it(void **state)
{
	struct scene *scene = *state;

	replica_pass(&scene->one, "a", "g.x", "{}");
	replica_close(&scene->one, "b", "g", "{}");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"kind\": \"pass\""), "a");
	assert_value(&scene->admin, "closed", "select state from deploy_gate.lease where id = " LEASE("b"));
	replica_end(&scene->one, "b", "g");
	replica_pass(&scene->one, "c", "g.x", "{}");
	replica_close(&scene->one, "d", "g", "{}");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"kind\": \"window\""), "d");
	assert_live(scene, "c");
	assert_true(
		psql_true(&scene->admin, "select deploy_gate.gate_json('g', clock_timestamp()) ->> 'state' = 'open'"));
}

/* Those that another replica holds the locks of are ended as well; it is told, and drops them. */
static void test_reap__ends_what_another_replica_holds(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->two, "a", "g", "{}");
	replica_pass(&scene->two, "b", "h.x", "{}");
	psql_run(&scene->admin, "listen deploy_gate");
	assert_string_equal(reap(&scene->one, "\"all\": true, \"kind\": \"pass\""), "b");
	psql_until_notified(&scene->admin, "h.x");
	assert_string_equal(reap(&scene->one, "\"all\": true"), "a");
	psql_until_notified(&scene->admin, "g");
	replica_sweep(&scene->two);
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.locks where granted");
}

/* The clock was stepped back: what seems to be of the future is young, but part of all. */
static void test_reap__all_is_also_what_the_clock_has_yet_to_reach(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	let_age(scene, "a", "-1 h");
	assert_string_equal(reap(&scene->one, "\"older_than_ms\": 1"), "");
	assert_string_equal(reap(&scene->one, "\"all\": true"), "a");
}

/* The first piece says what is left, and what came since then is not. */
static void test_reap__goes_in_pieces(void **state)
{
	struct scene *scene = *state;
	char before[64], request[128];

	psql_run(&scene->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at, expires_at, "
		"session, locked)"
		" select lpad(i::text, 32, '0'), i, 'pass', 'inside', array['many'], 60000, clock_timestamp() - "
		"interval '1 h'"
		" + i * interval '1 s', clock_timestamp() + interval '1 h', %lld, true from generate_series(1, 150) i;"
		" insert into deploy_gate.lease_gate (lease, gate, role, key, ancestor_keys)"
		" select id, 'many', 'pass', deploy_gate.key('many'), '{}' from deploy_gate.lease",
		scene->two.number);
	reap(&scene->one, "\"all\": true");
	snprintf(before, sizeof(before), "%s", psql_value(&scene->one.psql, "select body ->> 'before' from body"));
	assert_string_not_equal(before, "");
	assert_value(&scene->admin, "100 t",
		"select concat_ws(' ', count(*), max(id) = lpad('100', 32, '0')) from deploy_gate.lease where ending = "
		"'reaped'");
	replica_close(&scene->one, "a", "g", "{}");
	snprintf(request, sizeof(request), "\"all\": true, \"before\": \"%s\"", before);
	reap(&scene->one, request);
	assert_value(&scene->one.psql, "", "select body ->> 'before' from body");
	assert_live(scene, "a");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_reap__ends_what_is_older_the_oldest_first),
		SCENE_TEST(test_reap__what_is_just_as_old_stays),
		SCENE_TEST(test_reap__by_kind_and_gates),
		SCENE_TEST(test_reap__leaves_the_line_and_what_crashed),
		SCENE_TEST(test_reap__lets_a_drain_go_on_or_ends_it),
		SCENE_TEST(test_reap__ends_what_another_replica_holds),
		SCENE_TEST(test_reap__all_is_also_what_the_clock_has_yet_to_reach),
		SCENE_TEST(test_reap__goes_in_pieces),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
