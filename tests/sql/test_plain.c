/* What is plain in a batch is decided by one statement for each kind of change, what it is silent about by the next batch, and nobody
 * can tell by the answers. */
#include <stdio.h>

#include "support/scene.h"

/* A plain batch of one list, and the next batch with those that it left, settled; then the drop. The words in order, "/alone" behind
 * those of the second batch; of a close that settling decides that word. */
static const char many[] =
	"create function test.many(me bigint, kind text, plain text, requests jsonb) returns text language plpgsql as "
	"$$\n"
	"declare\n"
	" words text[] := '{}';\n"
	" word text;\n"
	" told json;\n"
	" came record;\n"
	" place bigint;\n"
	" left_over text;\n"
	"begin\n"
	" create temp table if not exists settled\n"
	"  (what text, lease text, outcome text, key bigint, mode text, body json);\n"
	" create temp table if not exists bodies (place bigint, body jsonb);\n"
	" truncate settled, bodies;\n"
	" perform test.begin(me, 0, '{}', '{}');\n"
	" for came in execute plain\n"
	"  using array(select jsonb_array_elements(requests)),\n"
	"   test.held(me, case kind when 'pass' then 'ShareLock' else 'ExclusiveLock' end) loop\n"
	"  for place in select q.place from jsonb_array_elements(requests) with ordinality q (request, place)\n"
	"   where left(q.request ->> 'digest', 32) = came.id loop\n"
	"   words[place] := came.outcome;\n"
	"   insert into bodies select place, deploy_gate.lease_json(l, came.at) from deploy_gate.lease l where l.id = "
	"came.id;\n"
	"  end loop;\n"
	" end loop;\n"
	" left_over := current_setting('deploy_gate.postponed', true);\n"
	" perform test.begin(me, 0, test.held(me, 'ExclusiveLock')::text, test.held(me, 'ShareLock')::text);\n"
	" perform set_config('deploy_gate.postponed', coalesce(left_over, ''), false);\n"
	" for came in select * from jsonb_array_elements(requests) with ordinality q (request, place)\n"
	"  where words[q.place] is null order by q.place loop\n"
	"  execute format('select outcome, body from deploy_gate.change_%s($1)', kind)\n"
	"   using came.request into word, told;\n"
	"  words[came.place] := word || '/alone';\n"
	"  insert into bodies values (came.place, told);\n"
	" end loop;\n"
	" insert into settled select * from deploy_gate.settle(false);\n"
	" return array_to_string(words, ' ');\n"
	"end $$;\n"
	"create function test.asked(letter text, gates text, more text default '{}') returns jsonb language sql as $$\n"
	" select test.token(letter, gates) || more::jsonb $$;\n";

static int plain_setup(void **state)
{
	if (scene_setup(state) != 0)
		return -1;
	psql_run(&((struct scene *)*state)->admin, "%s", many);
	return 0;
}

#define PLAIN_TEST(test) cmocka_unit_test_setup_teardown(test, plain_setup, scene_teardown)

/* kind: "close" or "open"; requests: calls of test.asked, by commas. */
static void assert_many(struct replica *replica, const char *wanted, const char *kind, const char *requests)
{
	char plain[16];

	snprintf(plain, sizeof(plain), "plain_%s", kind);
	assert_value(&replica->psql, wanted, "select test.many(%lld, '%s', $plain$%s$plain$, jsonb_build_array(%s))",
		replica->number, kind, replica_query(plain), requests);
	replica_drop(replica);
}

/* Gates that somebody closed before, by commas. */
static void know(struct scene *scene, const char *gates)
{
	psql_run(&scene->admin, "insert into deploy_gate.gate (name) select unnest('{%s}'::text[])", gates);
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

	know(scene, "g,h,i");
	assert_many(&scene->one, "made made made", "close",
		"test.asked('a', 'g'), test.asked('b', 'h', '{\"ttl_ms\": 5000, \"on_expiry\": \"hold\"}'), "
		"test.asked('c', 'i')");
	assert_value(&scene->one.psql, "1 aaa g 1800000, 2 bbb h 5000, 3 ccc i 1800000",
		"select string_agg(concat_ws(' ', place, left(body ->> 'id', 3), body #>> '{gates,0}', body ->> "
		"'ttl_ms'), "
		"', ' order by place) from bodies");
	assert_value(&scene->admin, "t",
		"select bool_and(locked and answered and fence is not null and expires_at = closed_at + ttl_ms * "
		"interval '1 ms')"
		" and count(distinct fence) = 3 from deploy_gate.lease where state = 'closed'");
	assert_value(&scene->admin, "closed a g, closed b h, closed c i",
		"select string_agg(concat_ws(' ', kind, lease::char, gate), ', ' order by id) from deploy_gate.event");
	assert_value(&scene->admin, "3", "select count(*) from deploy_gate.gate");
	assert_value(&scene->admin, "g exclusive, h exclusive, i exclusive",
		"select string_agg(concat_ws(' ', gate, mode), ', ' order by gate)"
		" from deploy_gate.locks where gate in ('g', 'h', 'i')");
}

/* The same terms asked alone and in a list make the same lease but for what no two have in common. */
static void test_closes__in_a_list_are_as_alone(void **state)
{
	static const char *const terms =
		"{\"ttl_ms\": 5000, \"max_ms\": 8000, \"drain_ms\": 7, \"on_drain\": \"stop\", "
		"\"grace_ms\": 9, \"url\": \"http://x\", \"release\": \"r1\", \"job\": \"j\", "
		"\"wait_ms\": 30}";
	struct scene *scene = *state;
	char requests[1024];

	know(scene, "g,h");
	snprintf(requests, sizeof(requests), "test.asked('a', 'g', '%s')", terms);
	assert_many(&scene->one, "made", "close", requests);
	replica_close(&scene->one, "b", "h", terms);
	assert_value(&scene->admin, "t",
		"select count(distinct to_jsonb(l) - "
		"'{id,digest,gates,holder,number,fence,created_at,wait_until,closed_at,"
		"expires_at,max_at}'::text[] || jsonb_build_object('wait', wait_until - created_at, 'ttl', expires_at "
		"- "
		"closed_at, 'max', max_at - closed_at)) = 1 and count(*) = 2 from deploy_gate.lease l");
}

/* A gate that nobody closed before, and one with settings. */
static void test_closes__of_a_gate_that_is_not_plain_go_alone(void **state)
{
	struct scene *scene = *state;

	know(scene, "g,h");
	psql_run(&scene->admin, "update deploy_gate.gate set drain_ms = 7 where name = 'h'");
	assert_many(&scene->one, "made made/alone made/alone", "close",
		"test.asked('a', 'g'), test.asked('b', 'h'), test.asked('c', 'g-x')");
	assert_value(&scene->admin, "7", "select drain_ms from deploy_gate.lease where gates = '{h}'");
	assert_value(&scene->admin, "3", "select count(*) from deploy_gate.gate");
}

/* A window, a job and one that stands in line, each at the gate or below it. */
static void test_closes__with_somebody_near_go_alone(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "h.below", "{}");
	replica_pass(&scene->one, "c", "i.below", "{}");
	replica_close(&scene->one, "d", "i.below", "{\"wait_ms\": 60000}");
	replica_end(&scene->one, "c", "i.below");
	know(scene, "g.other,h,i,j");
	assert_many(&scene->one, "queued/alone held/alone queued/alone made", "close",
		"test.asked('e', 'g', '{\"wait_ms\": 60000}'), test.asked('f', 'h'), "
		"test.asked('i', 'i', '{\"wait_ms\": 60000}'), test.asked('j', 'j')");
	assert_string_equal(who_has(scene, "j"), "j closed");
}

static void test_closes__with_a_token_again_are_one_window(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->two, "a", "g", "{}");
	know(scene, "h,i");
	assert_many(&scene->one, "ok/alone made", "close", "test.asked('a', 'g'), test.asked('b', 'h')");
	assert_many(&scene->one, "ok/alone", "close", "test.asked('b', 'h', '{\"claim\": 2}')");
	assert_many(&scene->one, "token_used/alone token_used/alone", "close",
		"test.asked('a', 'i'), test.asked('b', 'i')");
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
}

static void test_closes__a_ttl_above_the_max_of_its_gate_is_refused(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin, "insert into deploy_gate.gate (name, max_ms) values ('h', 4000)");
	know(scene, "g,i,j");
	assert_many(&scene->one, "bad_request/alone bad_request/alone made made", "close",
		"test.asked('a', 'g', '{\"ttl_ms\": 14400001}'), test.asked('b', 'h', '{\"ttl_ms\": 4001}'), "
		"test.asked('c', 'i', '{\"ttl_ms\": 14400001, \"max_ms\": 14400001}'), test.asked('d', 'j')");
	assert_value(&scene->admin, "2", "select count(*) from deploy_gate.lease");
}

static void test_closes__keep_the_gap_of_a_gate(void **state)
{
	struct scene *scene = *state;

	psql_run(&scene->admin,
		"insert into deploy_gate.gate (name, gap_until)"
		" select unnest('{g,h.below}'::text[]), now() + interval '1 min'");
	know(scene, "h,i");
	assert_many(&scene->one, "queued/alone queued/alone made", "close",
		"test.asked('a', 'g'), test.asked('b', 'h'), test.asked('c', 'i')");
}

static void test_closes__one_with_somebody_outside_in_the_way_holds_up_no_other(void **state)
{
	struct scene *scene = *state;

	know(scene, "g,h");
	psql_run(&scene->eve, "select pg_advisory_lock(deploy_gate.key('g'))");
	assert_many(&scene->one, "settling/alone made", "close", "test.asked('a', 'g'), test.asked('b', 'h')");
	assert_string_equal(who_has(scene, "g"), "a draining");
	assert_string_equal(who_has(scene, "h"), "b closed");
}

static void test_opens__each_has_its_own_answer(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->two, "b", "h", "{}");
	replica_close(&scene->one, "c", "i,j", "{}");
	replica_close(&scene->one, "d", "k", "{}");
	assert_many(&scene->one, "ok ok not_holder/alone ok/alone not_holder/alone", "open",
		"test.asked('a', 'g', '{\"reason\": \"done\"}'), test.asked('b', 'h'), test.asked('x', 'g'), "
		"test.asked('c', 'j'), test.asked('d', 'other')");
	assert_value(&scene->one.psql, "a opened done, b opened because, c opened because, d",
		"select string_agg(concat_ws(' ', id::char, ending, end_reason), ', ' order by id) from "
		"deploy_gate.lease");
	assert_value(&scene->one.psql, "aaa opened g",
		"select concat_ws(' ', left(body ->> 'id', 3), body ->> 'end', "
		"body #>> '{gates,0}') from bodies where place = 1");
	assert_value(&scene->admin, "k", "select string_agg(gate, ',') from deploy_gate.lease_gate");
	assert_value(&scene->admin, "h exclusive",
		"select string_agg(concat_ws(' ', gate, mode), ', ') from deploy_gate.locks where gate in ('g', 'h', "
		"'i', 'j')");
	assert_value(&scene->admin, "t",
		"select bool_and(g.fence = l.fence and g.freed_at = l.ended_at and g.typical_ms >= 0) and count(*) = 2"
		" from deploy_gate.gate g join deploy_gate.lease l on l.gates = array[g.name] where g.name in ('g', "
		"'h')");
	assert_value(&scene->admin, "opened a g, opened b h",
		"select string_agg(concat_ws(' ', kind, lease::char, gate), ', ' order by lease) from deploy_gate.event"
		" where kind = 'opened' and lease < 'c'");
	assert_many(&scene->one, "ok/alone not_holder/alone", "open",
		"test.asked('a', 'g'), test.asked('d', 'k', jsonb_build_object('digest', repeat('d', 63) || "
		"'e')::text)");
}

/* One that stands in line asks for itself; a job inside the window is to become an ordinary one. */
static void test_opens__with_somebody_near_go_alone(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "g", "{\"wait_ms\": 60000}");
	replica_close(&scene->one, "c", "h", "{}");
	assert_pass("made", &scene->one, "d", "h.below",
		"{\"inside\": \"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc\"}");
	assert_many(&scene->one, "ok ok/alone", "open", "test.asked('a', 'g'), test.asked('c', 'h')");
	assert_string_equal(who_has(scene, "g"), "b queued");
}

static void test_opens__leave_the_gap_for_jobs_that_waited(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "a", "g", "{}");
	replica_close(&scene->one, "b", "g", "{\"wait_ms\": 60000}");
	replica_change(&scene->one, "jobs_wait", "jsonb_build_object('lease', %s)", LEASE("a"));
	assert_many(&scene->one, "ok/alone", "open", "test.asked('a', 'g')");
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
	assert_many(&scene->one, "ok ok/alone", "open", "test.asked('a', 'g'), test.asked('b', 'h')");
	assert_value(&scene->admin, "g 3000, h 3000, i 3000",
		"select string_agg(concat_ws(' ', name, typical_ms), ', ' order by name) from deploy_gate.gate");
}

static void test_passes__each_has_its_own_answer_and_the_gate_one_lock(void **state)
{
	static const char *const letters[] = { "a", "c", "d", "e" };
	struct scene *scene = *state;

	replica_close(&scene->one, "x", "g", "{}");
	replica_end(&scene->one, "x", "g");
	know(scene, "h");
	assert_many(&scene->one, "made made made", "pass",
		"test.asked('a', 'g', '{\"ttl_ms\": 5000}'), test.asked('b', 'h'), test.asked('c', 'g')");
	assert_many(&scene->one, "made", "pass", "test.asked('d', 'g')");
	replica_pass(&scene->one, "e", "g", "{\"ttl_ms\": 5000}");
	assert_value(&scene->admin, "t",
		"select count(distinct to_jsonb(l) - '{id,digest,holder,created_at,expires_at}'::text[] ||"
		" jsonb_build_object('ttl', expires_at - created_at)) = 1 from deploy_gate.lease l where id::char in "
		"('a', 'e')");
	assert_value(&scene->admin, "g pass a, g pass c, g pass d, g pass e, h pass b",
		"select string_agg(concat_ws(' ', gate, role, lease::char), ', ' order by gate, lease) from "
		"deploy_gate.lease_gate");
	assert_value(&scene->admin, "passed a g, passed c g, passed d g, passed e g",
		"select string_agg(concat_ws(' ', kind, lease::char, gate), ', ' order by lease) from deploy_gate.event"
		" where kind = 'passed' and gate = 'g'");
	assert_locks(scene, &scene->one, "g shared, h shared");
	for (size_t i = 0; i < 4; i++)
		assert_release("ok", &scene->one, letters[i]);
	assert_locks(scene, &scene->one, "h shared");
}

/* Where there is a window or a limit, or the token is not new, and where somebody outside has the gate. */
static void test_passes__of_a_gate_that_is_not_plain_go_alone(void **state)
{
	struct scene *scene = *state;

	replica_close(&scene->one, "x", "g", "{}");
	know(scene, "h,i,j,k");
	psql_run(&scene->admin, "update deploy_gate.gate set pass_limit = 1 where name = 'h'");
	psql_run(&scene->eve, "select pg_advisory_lock(deploy_gate.key('i'))");
	assert_many(&scene->one, "closed/alone made/alone pending/alone made made/alone", "pass",
		"test.asked('a', 'g'), test.asked('b', 'h'), test.asked('c', 'i'), test.asked('d', 'j'), "
		"test.asked('e', 'unknown')");
	assert_many(&scene->one, "ok/alone full/alone", "pass",
		"test.asked('d', 'j', '{\"claim\": 2}'), test.asked('f', 'h')");
	assert_value(&scene->admin, "b d e",
		"select string_agg(id::char, ' ' order by id) from deploy_gate.lease where kind = 'pass'");
}

/* One list in a transaction of its own, by a statement that was prepared before. */
static void execute(struct replica *replica, const char *statement, const char *requests)
{
	psql_run(&replica->psql, "begin");
	psql_run(&replica->psql, "select test.begin(%lld, 0, '{}', '{}')", replica->number);
	psql_run(&replica->psql, "do $$ begin execute 'execute %s(' || quote_literal(array[%s]) || ', ''{}'')'; end $$",
		statement, requests);
}

/* A plan is made once a session, and PostgreSQL counted leases and gates while there was one of each. */
static void test_plain__looks_at_nothing_that_came_since_plans_were_made(void **state)
{
	static const char *const statements[] = { "plain_close", "plain_open", "plain_pass" };
	static const char *const requests[] = { "test.asked('b', 'h')", "test.asked('a', 'g')",
		"test.asked('c', 'i')" };
	struct scene *scene = *state;
	struct psql *psql = &scene->one.psql;

	replica_close(&scene->one, "a", "g", "{}");
	know(scene, "h,i");
	psql_run(&scene->admin, "analyze deploy_gate.lease, deploy_gate.lease_gate, deploy_gate.gate");
	replica_pin_plans(&scene->one);
	for (int i = 0; i < 3; i++) {
		psql_run(psql, "prepare %s(jsonb[], bigint[]) as %s", statements[i], replica_query(statements[i]));
		execute(&scene->one, statements[i], "test.asked('x', 'g')");
		psql_run(psql, "commit");
	}
	psql_run(&scene->admin,
		"with others as (select md5(i::text) as id, 'g' || i as gate from generate_series(1, 5000) i),"
		" leases as (insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at)"
		"  select id, id, 'window', 'closed', array[gate], 1, now() from others),"
		" lists as (insert into deploy_gate.lease_gate select id, gate, 'window', 1, '{}' from others)"
		" insert into deploy_gate.gate (name) select gate from others");
	for (int i = 0; i < 3; i++) {
		execute(&scene->one, statements[i], requests[i]);
		assert_true(psql_number(psql,
				    "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
				    " from pg_stat_xact_all_tables where schemaname = 'deploy_gate'") < 100);
		psql_run(psql, "commit");
	}
	assert_string_equal(who_has(scene, "g"), "nobody");
	assert_string_equal(who_has(scene, "h"), "b closed");
	assert_string_equal(who_has(scene, "i"), "c inside");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN_TEST(test_closes__each_has_its_own_answer),
		PLAIN_TEST(test_closes__in_a_list_are_as_alone),
		PLAIN_TEST(test_closes__of_a_gate_that_is_not_plain_go_alone),
		PLAIN_TEST(test_closes__with_somebody_near_go_alone),
		PLAIN_TEST(test_closes__with_a_token_again_are_one_window),
		PLAIN_TEST(test_closes__a_ttl_above_the_max_of_its_gate_is_refused),
		PLAIN_TEST(test_closes__keep_the_gap_of_a_gate),
		PLAIN_TEST(test_closes__one_with_somebody_outside_in_the_way_holds_up_no_other),
		PLAIN_TEST(test_opens__each_has_its_own_answer),
		PLAIN_TEST(test_opens__with_somebody_near_go_alone),
		PLAIN_TEST(test_opens__leave_the_gap_for_jobs_that_waited),
		PLAIN_TEST(test_opens__what_ends_before_it_began_lasted_no_time),
		PLAIN_TEST(test_passes__each_has_its_own_answer_and_the_gate_one_lock),
		PLAIN_TEST(test_passes__of_a_gate_that_is_not_plain_go_alone),
		PLAIN_TEST(test_plain__looks_at_nothing_that_came_since_plans_were_made),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
