/* Replicas as the database knows them: registration, proof of life, who follows whom, which database is the service's. */
#include "support/scene.h"

#include <stdio.h>

#define WAITING "{\"wait_ms\": 600000}"
#define REGISTER "select number from deploy_gate.register_locks('%s', '%s', '0', 'here')"

/* Ends the backend and returns once it is gone. */
static void kill_replica(struct scene *scene, struct replica *replica)
{
	int pid = replica->psql.pid;

	psql_close(&replica->psql);
	psql_until(&scene->admin, "select not exists (select from pg_stat_activity where pid = %d)", pid);
}

static void let_stamp_age(struct scene *scene, const struct replica *replica)
{
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = clock_timestamp() - interval '4 s' where number = %lld",
		replica->number);
}

static void serve_since(struct scene *scene, const char *interval)
{
	psql_run(&scene->admin,
		"update deploy_gate.service set stamped_at = clock_timestamp(),"
		" serving_since = clock_timestamp() - interval '%s'",
		interval);
}

static void assert_owner(struct scene *scene, const char *letter, const struct replica *owner, const char *locked)
{
	char wanted[32];

	snprintf(wanted, sizeof(wanted), "%lld %s", owner->number, locked);
	assert_value(&scene->admin, wanted,
		"select concat_ws(' ', session, locked) from deploy_gate.lease where id = repeat('%s', 32)", letter);
}

static void test_begin__one_batch_is_decided_at_a_time(void **state)
{
	struct scene *scene = *state;
	char call[64];

	psql_run(&scene->one.psql, "begin");
	psql_run(&scene->one.psql, "select test.begin(%lld, 0, '{}', '{}')", scene->one.number);
	snprintf(call, sizeof(call), "select test.begin(%lld, 0, '{}', '{}')", scene->two.number);
	psql_send(&scene->two.psql, call);
	psql_until(&scene->admin, "select wait_event_type = 'Lock' from pg_stat_activity where pid = %d",
		scene->two.psql.pid);
	psql_run(&scene->one.psql, "commit");
	assert_string_equal(psql_finish(&scene->two.psql), "00000");
}

static void test_begin__a_change_without_it_fails(void **state)
{
	static const char change[] = "select deploy_gate.change_close(test.token('a', 'g'))";
	struct scene *scene = *state;

	assert_string_not_equal(psql_state(&scene->one.psql, change), "00000");
	replica_tick(&scene->one);
	assert_string_not_equal(psql_state(&scene->one.psql, change), "00000");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.lease");
}

/* A thawed zombie's batch does nothing: its stamp is old. */
static void test_begin__is_refused_to_a_session_that_is_over_or_another_s(void **state)
{
	static const char forget_stamp[] = "select set_config('deploy_gate.stamped_at', '', false)";
	struct scene *scene = *state;

	assert_state(&scene->one.psql, "DG001", "select test.begin(%lld, 0, '{}', '{}')", scene->two.number);
	assert_state(&scene->one.psql, "DG001", "select test.begin(999999, 0, '{}', '{}')");
	assert_state(&scene->one.psql, "00000", "select test.begin(%lld, 0, '{}', '{}')", scene->one.number);
	psql_run(&scene->admin, "update deploy_gate.session set ended_at = now() where number = %lld",
		scene->one.number);
	psql_run(&scene->one.psql, forget_stamp);
	assert_state(&scene->one.psql, "DG001", "select test.begin(%lld, 0, '{}', '{}')", scene->one.number);
}

static void test_register__proves_its_life_by_a_lock(void **state)
{
	static const char proof[] =
		"select pg_try_advisory_lock(deploy_gate.prefixed_key('deploy_gate-session:', '%lld'))";
	struct scene *scene = *state;

	assert_false(psql_true(&scene->admin, proof, scene->one.number));
	kill_replica(scene, &scene->one);
	assert_true(psql_true(&scene->admin, proof, scene->one.number));
}

static void test_register__a_restarted_replica_gets_what_its_predecessor_held(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	kill_replica(scene, &scene->one);
	replica_open(&scene->one, &scene->db, "one");
	assert_owner(scene, "a", &scene->one, "f");
	assert_close("ok", &scene->two, "a", "g", "{}");
	replica_sweep(&scene->one);
	assert_owner(scene, "a", &scene->one, "t");
	assert_value(&scene->admin, "1", "select count(*) from deploy_gate.locks where gate = 'g' and pid = %d",
		scene->one.psql.pid);
}

/* The simpler way: to end what else a process had registered together with its locks session. Where that was taken over while
 * the process lived on, and it registered a reader again before it died, nobody would ever end that one. */
static void test_register__ends_what_a_dead_process_registered_behind_its_end(void **state)
{
	struct scene *scene = *state;
	struct psql reader, living;

	psql_open(&reader, &scene->db, NULL);
	psql_open(&living, &scene->db, NULL);
	psql_run(&reader, "select deploy_gate.register_helper('reads', 'dead', 'three', '0', 'here')");
	psql_run(&living, "select deploy_gate.register_helper('reads', 'living', 'three', '0', 'here')");
	psql_run(&scene->admin, "select pg_terminate_backend(%d, 10000)", reader.pid);
	psql_run(&scene->admin, REGISTER, "new", "three");
	assert_value(&scene->admin, "living",
		"select string_agg(replica, ' ') from deploy_gate.session"
		" where name = 'three' and role = 'reads' and ended_at is null");
	psql_close(&reader);
	psql_close(&living);
}

/* A replica that stood still is taken over with all it has registered. Then it goes on, and only its locks session is told. */
static void test_register__who_was_taken_for_dead_goes_on_with_its_reader(void **state)
{
	struct scene *scene = *state;
	struct psql locks, reader;
	long long number;

	psql_open(&locks, &scene->db, NULL);
	psql_open(&reader, &scene->db, NULL);
	number = psql_number(&locks, REGISTER, "process", "three");
	psql_run(&reader, "select deploy_gate.register_helper('reads', 'process', 'three', '0', 'here')");
	psql_run(&scene->admin, "select deploy_gate.supersede(%lld, %lld, 'died')", number, scene->two.number);
	assert_true(psql_true(
		&scene->admin, "select bool_and(ended_at is not null) from deploy_gate.session where name = 'three'"));
	psql_run(&scene->admin, "select pg_terminate_backend(%d, 10000)", locks.pid);
	psql_run(&scene->admin, REGISTER, "process", "three");
	assert_value(&scene->admin, "locks reads",
		"select string_agg(role, ' ' order by role) from deploy_gate.session"
		" where name = 'three' and ended_at is null");
	psql_close(&locks);
	psql_close(&reader);
}

/* The clients of the process that died are gone: nobody answers for their requests, unless they ask again. */
static void test_register__claims_die_with_their_process(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->two, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	kill_replica(scene, &scene->one);
	replica_open(&scene->one, &scene->db, "one");
	replica_tick(&scene->one);
	assert_value(&scene->admin, "t",
		"select claim_session is null and unclaimed_at is not null from deploy_gate.lease"
		" where state = 'queued'");
	assert_value(&scene->admin, "t", "select unclaimed_at is null from deploy_gate.lease where state = 'closed'");
}

/* The process lives, and so do its clients' requests. */
static void test_register__a_process_that_reconnects_keeps_its_claims(void **state)
{
	struct scene *scene = *state;
	struct psql again = { 0 };
	long long number;

	psql_run(&scene->admin, "update deploy_gate.session set replica = 'me' where number = %lld", scene->one.number);
	assert_close("made", &scene->two, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	psql_open(&again, &scene->db, NULL);
	/* Its earlier backend is still there: it is ended first. */
	assert_value(&again, "", REGISTER, "me", "one");
	psql_until(
		&scene->admin, "select not exists (select from pg_stat_activity where pid = %d)", scene->one.psql.pid);
	number = psql_number(&again, REGISTER, "me", "one");
	assert_true(psql_true(
		&scene->admin, "select claim_session = %lld from deploy_gate.lease where state = 'queued'", number));
	assert_value(&scene->admin, "superseded",
		"select left(end_reason, 10) from deploy_gate.session where number = %lld", scene->one.number);
	psql_close(&again);
}

static void test_register__another_process_of_that_name_is_left_alone(void **state)
{
	struct scene *scene = *state;
	struct psql other = { 0 };

	assert_close("made", &scene->one, "a", "g", "{}");
	psql_open(&other, &scene->db, NULL);
	assert_string_not_equal(psql_value(&other, REGISTER, "another", "one"), "");
	assert_owner(scene, "a", &scene->one, "t");
	replica_tick(&scene->one);
	psql_close(&other);
}

static void test_takeover__of_the_dead_moves_their_leases(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", WAITING);
	kill_replica(scene, &scene->one);
	let_stamp_age(scene, &scene->one);
	serve_since(scene, "4 s");
	replica_sweep(&scene->two);
	replica_sweep(&scene->two);
	assert_owner(scene, "a", &scene->two, "t");
	assert_value(&scene->admin, "t",
		"select claim_session is null and unclaimed_at is not null from deploy_gate.lease"
		" where state = 'queued'");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
}

static void test_takeover__never_of_one_whose_proof_is_held(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	let_stamp_age(scene, &scene->one);
	serve_since(scene, "4 s");
	replica_sweep(&scene->two);
	assert_owner(scene, "a", &scene->one, "t");
}

/* Else the first replica back after a restart would take everything. */
static void test_takeover__not_before_the_judge_has_served_a_while(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	kill_replica(scene, &scene->one);
	let_stamp_age(scene, &scene->one);
	serve_since(scene, "0 s");
	replica_sweep(&scene->two);
	assert_owner(scene, "a", &scene->one, "t");
}

/* Its stamp is as old as the step, and it is heard of all the same: who waits there keeps the place. */
static void test_clock__a_step_silences_no_replica(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->two, "b", "g", WAITING);
	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = stamped_at - interval '1 h'");
	psql_run(&scene->admin, "update deploy_gate.session set stamped_at = stamped_at - interval '1 h'");
	psql_run(&scene->admin, "update deploy_gate.lease set wait_until = wait_until - interval '1 h'");
	replica_tick(&scene->one);
	assert_true(psql_true(&scene->admin,
		"select claim_session = %lld and unclaimed_at is null from deploy_gate.lease where state = 'queued'",
		scene->two.number));
}

static void test_leave__hands_the_leases_to_another(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	psql_run(&scene->admin, "listen deploy_gate");
	replica_change(&scene->one, "leave", "'{}'");
	/* Behind the mark at which even one that holds nothing looks; and by then the lock is free for it. */
	psql_until_notified(&scene->admin, "!,g");
	assert_value(&scene->admin, "0", "select count(*) from deploy_gate.locks where granted");
	assert_owner(scene, "a", &scene->two, "f");
	assert_state(&scene->one.psql, "DG001", "select test.begin(%lld, 0, '{}', '{}')", scene->one.number);
}

static void test_database__a_foreign_one_is_refused_until_adopted(void **state)
{
	static const char *const strange[] = { "system_identifier = '1'", "timeline = timeline + 1" };
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		psql_run(&scene->admin, "update deploy_gate.service set %s", strange[i]);
		assert_state(&scene->admin, "DG002", REGISTER, "three", "three");
		assert_contains(psql_hint(&scene->admin), "select deploy_gate.adopt_database()");
		psql_run(&scene->admin, "select deploy_gate.adopt_database()");
		assert_state(&scene->admin, "00000", REGISTER, "three", "three");
		psql_run(&scene->admin, "delete from deploy_gate.session where name = 'three'");
	}
}

/* Fences that an asynchronous failover lost must not be handed out twice. */
static void test_database__a_promoted_one_leaves_room_for_lost_fences(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	psql_run(&scene->admin, "update deploy_gate.service set timeline = timeline - 1");
	psql_run(&scene->admin, REGISTER, "three", "three");
	assert_close("made", &scene->one, "b", "h", "{}");
	assert_true(psql_true(&scene->admin, "select max(fence) > min(fence) + 1000000 from deploy_gate.lease"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_begin__one_batch_is_decided_at_a_time),
		SCENE_TEST(test_begin__a_change_without_it_fails),
		SCENE_TEST(test_begin__is_refused_to_a_session_that_is_over_or_another_s),
		SCENE_TEST(test_register__proves_its_life_by_a_lock),
		SCENE_TEST(test_register__a_restarted_replica_gets_what_its_predecessor_held),
		SCENE_TEST(test_register__ends_what_a_dead_process_registered_behind_its_end),
		SCENE_TEST(test_register__who_was_taken_for_dead_goes_on_with_its_reader),
		SCENE_TEST(test_register__claims_die_with_their_process),
		SCENE_TEST(test_register__a_process_that_reconnects_keeps_its_claims),
		SCENE_TEST(test_register__another_process_of_that_name_is_left_alone),
		SCENE_TEST(test_takeover__of_the_dead_moves_their_leases),
		SCENE_TEST(test_takeover__never_of_one_whose_proof_is_held),
		SCENE_TEST(test_takeover__not_before_the_judge_has_served_a_while),
		SCENE_TEST(test_clock__a_step_silences_no_replica),
		SCENE_TEST(test_leave__hands_the_leases_to_another),
		SCENE_TEST(test_database__a_foreign_one_is_refused_until_adopted),
		SCENE_TEST(test_database__a_promoted_one_leaves_room_for_lost_fences),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
