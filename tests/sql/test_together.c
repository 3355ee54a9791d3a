/* Changes of a kind that come in one batch: what is plain among them is decided together, and nobody can tell by the answers. */
#include <stdio.h>

#include "support/scene.h"

/* A batch of one list, settled and committed; then the drop. The words in order; of a close that settling decides that word. */
static const char many[] =
	"create function test.many(me bigint, kind text, requests jsonb) returns text language plpgsql as $$\n"
	"declare\n"
	" words text[] := '{}';\n"
	" came record;\n"
	"begin\n"
	" create temp table if not exists settled\n"
	"  (what text, lease text, outcome text, key bigint, mode text, body json);\n"
	" create temp table if not exists bodies (place integer, body jsonb);\n"
	" truncate settled, bodies;\n"
	" perform deploy_gate.begin(me, 0, test.held(me, 'ExclusiveLock'), test.held(me, 'ShareLock'));\n"
	" for came in execute format('select outcome, body from deploy_gate.change_%s($1)', kind) using requests loop\n"
	"  words := words || came.outcome::text;\n"
	"  insert into bodies values (cardinality(words), came.body);\n"
	" end loop;\n"
	" insert into settled select * from deploy_gate.settle(false);\n"
	" return array_to_string(words, ' ');\n"
	"end $$;\n"
	"create function test.asked(letter text, gates text, more text default '{}') returns jsonb language sql as $$\n"
	" select test.token(letter, gates) || '{\"known_only\": false}' || more::jsonb $$;\n";

static int together_setup(void **state)
{
	if (scene_setup(state) != 0)
		return -1;
	psql_run(&((struct scene *)*state)->admin, "%s", many);
	return 0;
}

#define TOGETHER_TEST(test) cmocka_unit_test_setup_teardown(test, together_setup, scene_teardown)

/* requests: calls of test.asked, by commas. */
static void assert_many(struct replica *replica, const char *wanted, const char *kind, const char *requests)
{
	assert_value(&replica->psql, wanted, "select test.many(%lld, '%s', jsonb_build_array(%s))", replica->number,
		kind, requests);
	replica_drop(replica);
}

static const char *who_has(struct scene *scene, const char *gate)
{
	return psql_value(&scene->admin,
		"select coalesce(string_agg(l.id::char || ' ' || l.state, ', ' order by l.id), 'nobody')"
		" from deploy_gate.lease_gate lg join deploy_gate.lease l on l.id = lg.lease where lg.gate = '%s'",
		gate);
}

static void test_closes__each_has_its_own_answer(void **state)
{
	struct scene *scene = *state;

	assert_many(&scene->one, "made made made", "closes",
		"test.asked('a', 'g'), test.asked('b', 'h.below', '{\"ttl_ms\": 5000, \"on_expiry\": \"hold\"}'), "
		"test.asked('c', 'i')");
	assert_value(&scene->one.psql, "1 aaa g 1800000, 2 bbb h.below 5000, 3 ccc i 1800000",
		"select string_agg(concat_ws(' ', place, left(body ->> 'id', 3), body #>> '{gates,0}', body ->> "
		"'ttl_ms'), "
		"', ' order by place) from bodies");
	assert_value(&scene->admin, "t",
		"select bool_and(locked and answered and fence is not null and expires_at = closed_at + ttl_ms * "
		"interval '1 ms')"
		" and count(distinct fence) = 3 from deploy_gate.lease where state = 'closed'");
	assert_value(&scene->admin, "closed a g, closed b h.below, closed c i",
		"select string_agg(concat_ws(' ', kind, lease::char, gate), ', ' order by id) from deploy_gate.event");
	assert_value(&scene->admin, "3", "select count(*) from deploy_gate.gate");
	assert_value(&scene->admin, "g exclusive, h shared, h.below exclusive, i exclusive",
		"select string_agg(concat_ws(' ', gate, mode), ', ' order by gate)"
		" from deploy_gate.locks where gate in ('g', 'h', 'h.below', 'i')");
}

/* Those for which there is room are made, in their order. */
static void test_closes__beyond_the_budget_of_locks_are_too_many(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin,
		"create or replace function deploy_gate.lock_budget() returns integer language sql as 'select 3'");
	assert_many(&scene->one, "made too_many made", "closes",
		"test.asked('a', 'g'), test.asked('b', 'h.x.y'), test.asked('c', 'i.x')");
	assert_many(&scene->one, "too_many", "closes", "test.asked('b', 'k')");
}

/* The same terms asked alone and in a list make the same lease but for what no two have in common. */
static void test_closes__in_a_list_are_as_alone(void **state)
{
	static const char *const terms =
		"{\"ttl_ms\": 5000, \"max_ms\": 4000, \"drain_ms\": 7, \"on_drain\": \"stop\", "
		"\"grace_ms\": 9, \"url\": \"http://x\", \"release\": \"r1\", \"job\": \"j\", "
		"\"wait_ms\": 30}";
	struct scene *scene = *state;
	char requests[1024];

	snprintf(requests, sizeof(requests), "test.asked('a', 'g', '%s')", terms);
	assert_value(&scene->one.psql, "made", "select test.many(%lld, 'closes', jsonb_build_array(%s))",
		scene->one.number, requests);
	replica_drop(&scene->one);
	replica_close(&scene->one, "b", "h", terms);
	assert_value(&scene->admin, "t",
		"select count(distinct to_jsonb(l) - "
		"'{id,digest,gates,holder,number,fence,created_at,wait_until,closed_at,"
		"expires_at,max_at}'::text[] || jsonb_build_object('wait', wait_until - created_at, 'ttl', expires_at "
		"- "
		"closed_at, 'max', max_at - closed_at)) = 1 and count(*) = 2 from deploy_gate.lease l");
}

static void test_closes__of_one_tree_are_decided_in_order(void **state)
{
	struct scene *scene = *state;

	assert_many(&scene->one, "made held held held made", "closes",
		"test.asked('a', 'g.x'), test.asked('b', 'g.x'), test.asked('c', 'g'), test.asked('d', 'g.x.y'), "
		"test.asked('e', 'g-x')");
	assert_string_equal(who_has(scene, "g.x"), "a closed");
	assert_string_equal(who_has(scene, "g"), "nobody");
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
}

static void test_closes__one_behind_a_refused_one_is_not_let_past_it(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g.x", "{}");
	assert_many(&scene->one, "queued queued made", "closes",
		"test.asked('b', 'g', '{\"wait_ms\": 60000}'), test.asked('c', 'g.y', '{\"wait_ms\": 60000}'), "
		"test.asked('d', 'h')");
	assert_string_equal(who_has(scene, "g.y"), "c queued");
}

static void test_closes__with_a_token_again_are_one_window(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->two, "a", "g", "{}");
	assert_many(&scene->one, "ok made ok token_used", "closes",
		"test.asked('a', 'g'), test.asked('b', 'h'), test.asked('b', 'h', '{\"claim\": 2}'), test.asked('b', "
		"'i')");
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
}

static void test_closes__sets_takeovers_and_unknown_gates_go_alone(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "known", "{}");
	assert_many(&scene->one, "made made not_found made", "closes",
		"test.asked('b', 'g,h'), test.asked('c', 'known', '{\"takeover\": true}'), "
		"test.asked('d', 'nobody-knows', '{\"known_only\": true}'), test.asked('e', 'known2', '{\"takeover\": "
		"true}')");
	assert_string_equal(who_has(scene, "h"), "b closed");
	assert_string_equal(who_has(scene, "known"), "c closed");
	assert_value(&scene->admin, "taken_over", "select ending from deploy_gate.lease where id = " LEASE("a"));
}

static void test_closes__a_ttl_above_the_max_of_its_gate_is_refused(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin, "insert into deploy_gate.gate (name, max_ms) values ('h', 4000)");
	assert_many(&scene->one, "bad_request bad_request made made", "closes",
		"test.asked('a', 'g', '{\"ttl_ms\": 14400001}'), test.asked('b', 'h', '{\"ttl_ms\": 4001}'), "
		"test.asked('c', 'i', '{\"ttl_ms\": 14400001, \"max_ms\": 14400001}'), test.asked('d', 'j')");
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
}

static void test_closes__keep_the_gap_of_a_gate(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin,
		"insert into deploy_gate.gate (name, gap_until)"
		" select unnest('{g,h.below,k}'::text[]), now() + interval '1 min'");
	assert_many(&scene->one, "queued queued queued made", "closes",
		"test.asked('a', 'g'), test.asked('b', 'h'), test.asked('c', 'k.below'), test.asked('d', 'i')");
}

static void test_closes__one_with_somebody_outside_in_the_way_holds_up_no_other(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->eve, "select pg_advisory_lock(deploy_gate.key('g'))");
	assert_many(&scene->one, "settling made", "closes", "test.asked('a', 'g'), test.asked('b', 'h')");
	assert_string_equal(who_has(scene, "g"), "a draining");
	assert_string_equal(who_has(scene, "h"), "b closed");
}

static void test_opens__each_has_its_own_answer(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->two, "b", "h.below", "{}");
	replica_close(&scene->one, "c", "i,j", "{}");
	replica_close(&scene->one, "d", "k", "{}");
	assert_many(&scene->one, "ok ok not_holder ok ok ok not_holder", "opens",
		"test.asked('a', 'g', '{\"reason\": \"done\"}'), test.asked('b', 'h.below'), test.asked('x', 'g'), "
		"test.asked('c', 'j'), test.asked('a', 'g'), test.asked('d', 'k', '{\"outcome\": \"failed\"}'), "
		"test.asked('d', 'other')");
	assert_value(&scene->one.psql, "a opened done, b opened because, c opened because, d failed because",
		"select string_agg(concat_ws(' ', id::char, ending, end_reason), ', ' order by id) from "
		"deploy_gate.lease");
	assert_value(&scene->one.psql, "aaa opened g",
		"select concat_ws(' ', left(body ->> 'id', 3), body ->> 'end', "
		"body #>> '{gates,0}') from bodies where place = 1");
	assert_value(&scene->admin, "k", "select string_agg(gate, ',') from deploy_gate.lease_gate");
	assert_value(&scene->admin, "k",
		"select string_agg(gate, ',') from deploy_gate.locks where gate in ('g', 'i', 'j', 'k')");
	assert_value(&scene->admin, "t",
		"select bool_and(g.fence = l.fence and g.freed_at = l.ended_at and g.typical_ms >= 0) and count(*) = 2"
		" from deploy_gate.gate g join deploy_gate.lease l on l.gates = array[g.name] where g.name in ('g', "
		"'h.below')");
}

static void test_opens__leave_the_gap_for_jobs_that_waited(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "g", "{\"wait_ms\": 60000}");
	replica_change(&scene->one, "jobs_wait", "jsonb_build_object('lease', %s)", LEASE("a"));
	assert_many(&scene->one, "ok", "opens", "test.asked('a', 'g')");
	assert_value(&scene->admin, "t", "select gap_until > freed_at from deploy_gate.gate where name = 'g'");
}

/* So it looks where the clock was stepped back meanwhile. */
static void test_opens__what_ends_before_it_began_lasted_no_time(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "h,i", "{}");
	psql_run(&scene->admin, "update deploy_gate.lease set closed_at = closed_at + interval '1 h'");
	psql_run(&scene->admin, "update deploy_gate.gate set typical_ms = 4000");
	assert_many(&scene->one, "ok ok", "opens", "test.asked('a', 'g'), test.asked('b', 'h')");
	assert_value(&scene->admin, "g 3000, h 3000, i 3000",
		"select string_agg(concat_ws(' ', name, typical_ms), ', ' order by name) from deploy_gate.gate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TOGETHER_TEST(test_closes__each_has_its_own_answer),
		TOGETHER_TEST(test_closes__beyond_the_budget_of_locks_are_too_many),
		TOGETHER_TEST(test_closes__in_a_list_are_as_alone),
		TOGETHER_TEST(test_closes__of_one_tree_are_decided_in_order),
		TOGETHER_TEST(test_closes__one_behind_a_refused_one_is_not_let_past_it),
		TOGETHER_TEST(test_closes__with_a_token_again_are_one_window),
		TOGETHER_TEST(test_closes__sets_takeovers_and_unknown_gates_go_alone),
		TOGETHER_TEST(test_closes__a_ttl_above_the_max_of_its_gate_is_refused),
		TOGETHER_TEST(test_closes__keep_the_gap_of_a_gate),
		TOGETHER_TEST(test_closes__one_with_somebody_outside_in_the_way_holds_up_no_other),
		TOGETHER_TEST(test_opens__each_has_its_own_answer),
		TOGETHER_TEST(test_opens__leave_the_gap_for_jobs_that_waited),
		TOGETHER_TEST(test_opens__what_ends_before_it_began_lasted_no_time),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
