/* How windows end and what that leaves: opened, failed, expired, forced, taken over; and the clock they live by. */
#include "support/scene.h"

#include <stdio.h>

#define HOUR "interval '1 hour'"

static const char *change(struct scene *scene, const char *kind, const char *letter, const char *more)
{
	return replica_change(&scene->one, kind, "test.token('%s', 'g') || '%s'", letter, more);
}

static void expire(struct scene *scene, const char *letter)
{
	psql_run(&scene->admin,
		"update deploy_gate.lease set expires_at = clock_timestamp() - interval '1 ms'"
		" where id = repeat('%s', 32)",
		letter);
}

static bool holds_key(struct scene *scene, const struct replica *replica, const char *gate)
{
	return psql_true(&scene->admin,
		"select exists (select from deploy_gate.locks where gate = '%s' and pid = %d and mode = 'exclusive' "
		"and granted)",
		gate, replica->psql.pid);
}

static void test_open__ends_the_window_of_its_token_alone(void **state)
{
	struct scene *scene = *state;

	assert_string_equal(change(scene, "open", "a", "{}"), "not_holder");
	assert_close("made", &scene->one, "a", "g", "{}");
	assert_string_equal(change(scene, "open", "b", "{}"), "not_holder");
	assert_string_equal(change(scene, "open", "a", "{}"), "ok");
	assert_string_equal(change(scene, "open", "a", "{}"), "ok");
	assert_close("made", &scene->one, "b", "g", "{}");
	assert_string_equal(change(scene, "open", "a", "{}"), "ok");
	assert_lease(scene, "b", "closed");
	assert_true(holds_key(scene, &scene->one, "g"));
}

static void test_open__too_late_is_gone_and_says_how_it_ended(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	expire(scene, "a");
	replica_tick(&scene->one);
	assert_string_equal(change(scene, "open", "a", "{}"), "gone");
	assert_value(&scene->one.psql, "expired", "select body #>> '{lease,end}' from body");
}

static void test_expiry__ends_what_is_due_and_nothing_else(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("made", &scene->one, "b", "h", "{}");
	expire(scene, "a");
	assert_lease(scene, "a", "closed");
	replica_tick(&scene->two);
	assert_lease(scene, "a", "ended expired");
	assert_lease(scene, "b", "closed");
	/* Its own replica drops the lock, and hears of it by the announcement. */
	assert_true(holds_key(scene, &scene->one, "g"));
	replica_sweep(&scene->one);
	assert_false(holds_key(scene, &scene->one, "g"));
	assert_true(holds_key(scene, &scene->one, "h"));
}

/* A tick takes a piece of what is due, and says that the rest is due at once. */
static void test_expiry__of_many_goes_on_at_once(void **state)
{
	static const char live[] =
		"select count(*) from deploy_gate.lease where gates[1] like 'many%%' and ended_at is null";
	struct scene *scene = *state;

	psql_run(&scene->one.psql,
		"select test.batch(%lld, 'close', jsonb_build_object('digest', repeat(md5(i::text), 2), 'id', "
		"md5(i::text), 'claim', i, 'gates', jsonb_build_array('many' || i))) from generate_series(1, 60) i",
		scene->one.number);
	assert_value(&scene->admin, "60", live);
	psql_run(&scene->admin,
		"update deploy_gate.lease set expires_at = expires_at - interval '1 h' where gates[1] like 'many%%'");
	replica_sweep(&scene->one);
	assert_value(&scene->admin, "10", live);
	assert_value(&scene->one.psql, "0", "select key from settled where what = 'next'");
	replica_sweep(&scene->one);
	assert_value(&scene->admin, "0", live);
}

static void test_expiry__a_renewal_that_comes_before_it_is_decided_succeeds(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	expire(scene, "a");
	assert_string_equal(change(scene, "renew", "a", "{}"), "ok");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "closed");
	assert_string_equal(change(scene, "renew", "a", "{\"ttl_ms\": 99999999}"), "ok");
	assert_value(&scene->one.psql, "true 0",
		"select concat_ws(' ', body ->> 'max_reached',"
		" (body ->> 'expires_in_ms')::bigint - (body ->> 'max_in_ms')::bigint) from body");
}

static void test_expiry__a_batch_that_had_to_wait_lets_the_renewals_in_first(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	expire(scene, "a");
	psql_run(&scene->one.psql, "begin");
	psql_run(&scene->one.psql, "select test.begin(%lld, 0, '{}', '{}')", scene->one.number);
	psql_run(&scene->one.psql,
		"select set_config('deploy_gate.held_up', 'yes', true), deploy_gate.change_tick('{}')");
	psql_run(&scene->one.psql, "commit");
	assert_lease(scene, "a", "closed");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "ended expired");
}

static void test_expiry__grace_keeps_the_gate_shut_a_little_longer(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{\"grace_ms\": 3000}");
	expire(scene, "a");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "ended expired grace");
	assert_false(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
	assert_close("held", &scene->one, "b", "g", "{}");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "ended expired grace");
	psql_run(&scene->admin, "update deploy_gate.lease set opens_at = clock_timestamp()");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "ended expired");
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
}

static void test_crash__the_gate_stays_shut_until_the_next_close_takes_over(void **state)
{
	static const char *const ways[] = { "expired", "failed" };
	struct scene *scene = *state;

	for (int i = 0; i < 2; i++) {
		const char *first = &"a\0b"[2 * i], *next = &"c\0d"[2 * i];

		assert_close("made", &scene->one, first, "g", "{\"on_expiry\": \"hold\"}");
		if (i == 0) {
			expire(scene, first);
			replica_tick(&scene->one);
		} else {
			assert_string_equal(change(scene, "open", first, "{\"outcome\": \"failed\"}"), "ok");
		}
		assert_value(&scene->ann, "crashed", "select state from deploy_gate.status where gate = 'g'");
		assert_true(holds_key(scene, &scene->one, "g"));
		/* Of all replicas the one that holds the lock goes on holding it. */
		assert_close("pending", &scene->two, next, "g", "{}");
		assert_value(&scene->admin, ways[i],
			"select ending from deploy_gate.lease where id = repeat('%s', 32) and aftermath is null",
			first);
		assert_true(holds_key(scene, &scene->one, "g"));
		replica_change(&scene->one, "tick", "'{\"touch\": [\"g\"]}'");
		assert_true(holds_key(scene, &scene->one, "g"));
		assert_close("made", &scene->two, next, "g", "{}");
		assert_string_equal(change(scene, "open", next, "{}"), "ok");
	}
}

static void test_takeover__ends_the_other_and_inherits_its_session(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_close("queued", &scene->one, "b", "g", "{\"wait_ms\": 60000}");
	assert_close("pending", &scene->two, "c", "g", "{\"takeover\": true}");
	assert_lease(scene, "a", "ended taken_over");
	assert_true(holds_key(scene, &scene->one, "g"));
	replica_change(&scene->one, "tick", "'{\"touch\": [\"g\"]}'");
	assert_close("made", &scene->two, "c", "g", "{\"takeover\": true}");
	assert_value(&scene->admin, "t", "select session = %lld from deploy_gate.lease where id = " LEASE("c"),
		scene->one.number);
	assert_lease(scene, "b", "queued");
}

/* What the other shuts beyond the gates of the one that takes over would open by accident. */
static void test_takeover__needs_all_gates_of_the_other_covered(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g,h", "{}");
	assert_close("held", &scene->one, "b", "g", "{\"takeover\": true}");
	assert_close("made", &scene->one, "b", "g,h,i", "{\"takeover\": true}");
}

static void test_force_open__ends_the_window_it_means_and_no_other(void **state)
{
	struct scene *scene = *state;

	assert_string_equal(change(scene, "force_open", "a", "{\"gate\": \"g\"}"), "not_holder");
	assert_close("made", &scene->one, "a", "g", "{}");
	assert_string_equal(change(scene, "force_open", "x", "{\"gate\": \"g.h\"}"), "held");
	assert_string_equal(
		replica_change(&scene->one, "force_open",
			"jsonb_build_object('gate', 'g', 'lease', " LEASE("a") ", 'by', 'me', 'reason', 'stuck')"),
		"ok");
	assert_lease(scene, "a", "ended forced");
	assert_close("made", &scene->one, "b", "g", "{}");
	assert_string_equal(replica_change(&scene->one, "force_open",
				    "jsonb_build_object('gate', 'g', 'lease', " LEASE("a") ", 'by', 'me')"),
		"ok");
	assert_string_equal(replica_change(&scene->one, "force_open",
				    "jsonb_build_object('gate', 'g', 'lease', " LEASE("z") ", 'by', 'me')"),
		"not_found");
	assert_lease(scene, "b", "closed");
	assert_value(&scene->admin, "forced stuck me",
		"select concat_ws(' ', kind, reason, by) from deploy_gate.event where kind = 'forced'");
}

static void test_force_open__opens_a_crashed_gate(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_string_equal(change(scene, "open", "a", "{\"outcome\": \"failed\"}"), "ok");
	assert_string_equal(change(scene, "force_open", "a", "{\"gate\": \"g\", \"by\": \"me\"}"), "ok");
	assert_lease(scene, "a", "ended failed");
	assert_true(psql_true(&scene->ann, "select deploy_gate.is_open('g')"));
	assert_false(holds_key(scene, &scene->one, "g"));
}

/* Nobody could renew while the service was away: what is due moves with it. */
static void test_clock__an_outage_does_not_count(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	assert_close("queued", &scene->one, "b", "g", "{\"wait_ms\": 60000}");
	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = stamped_at - " HOUR);
	psql_run(&scene->admin,
		"update deploy_gate.lease set expires_at = expires_at - " HOUR ", max_at = max_at - " HOUR
		", wait_until = wait_until - " HOUR);
	replica_tick(&scene->one);
	assert_lease(scene, "a", "closed");
	assert_close("queued", &scene->one, "b", "g", "{\"wait_ms\": 60000}");
	assert_true(
		psql_true(&scene->admin, "select serving_since > now() - interval '1 min' from deploy_gate.service"));
	assert_true(psql_true(&scene->admin,
		"select expires_at between now() + interval '30 s' and now() + interval '61 s'"
		" and max_at > now() + interval '3 h' from deploy_gate.lease where state = 'closed'"));
}

static void test_clock__a_short_absence_counts(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	expire(scene, "a");
	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = clock_timestamp() - interval '2 s'");
	replica_tick(&scene->one);
	assert_lease(scene, "a", "ended expired");
}

/* A clock that was stepped back shows as a stamp in the future. */
static void test_clock__a_step_back_moves_what_is_due_with_it(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = stamped_at + " HOUR);
	psql_run(&scene->admin,
		"update deploy_gate.lease set expires_at = expires_at + " HOUR ", max_at = max_at + " HOUR);
	replica_tick(&scene->one);
	assert_true(psql_true(&scene->admin,
		"select expires_at between now() + interval '30 s' and now() + interval '61 s'"
		" from deploy_gate.lease"));
	assert_true(psql_true(&scene->admin, "select stamped_at <= clock_timestamp() from deploy_gate.service"));
}

/* Whether a batch leaves the stamp of a moment ago. Later than 500 ms it must not, and a busy machine may take longer. */
static bool leaves_stamp(struct scene *scene)
{
	char stamp[64];

	psql_run(&scene->admin, "update deploy_gate.session set stamped_at = clock_timestamp()");
	snprintf(stamp, sizeof(stamp), "%s",
		psql_value(&scene->admin,
			"update deploy_gate.service set stamped_at = clock_timestamp() returning stamped_at"));
	replica_tick(&scene->one);
	assert_true(psql_true(&scene->admin,
		"select stamped_at = '%s' or stamped_at > '%s'::timestamptz + interval '500 ms' from "
		"deploy_gate.service",
		stamp, stamp));
	return psql_true(&scene->admin, "select stamped_at = '%s' from deploy_gate.service", stamp);
}

static void test_clock__rows_are_stamped_every_500_ms_at_most(void **state)
{
	struct scene *scene = *state;
	char before[64];

	psql_run(&scene->admin, "update deploy_gate.service set stamped_at = clock_timestamp() + interval '900 ms'");
	replica_tick(&scene->one);
	for (int tries = 0; !leaves_stamp(scene); tries++)
		assert_in_range(tries, 0, 100);
	snprintf(before, sizeof(before), "%s",
		psql_value(&scene->admin,
			"update deploy_gate.service set stamped_at = clock_timestamp() - interval '501 ms'"
			" returning clock_timestamp()"));
	replica_tick(&scene->one);
	assert_true(psql_true(&scene->admin, "select stamped_at >= '%s' from deploy_gate.service", before));
}

static void test_amend__moves_max_and_cuts_the_expiry(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{\"ttl_ms\": 60000}");
	assert_string_equal(change(scene, "amend", "a", "{\"reason\": \"longer\", \"max_ms\": 30000}"), "ok");
	assert_true(psql_true(&scene->admin,
		"select reason = 'longer' and max_at = closed_at + interval '30 s' and expires_at = max_at"
		" from deploy_gate.lease"));
	assert_string_equal(change(scene, "amend", "b", "{}"), "not_found");
	assert_string_equal(change(scene, "renew", "a", "{\"digest\": \"other\"}"), "not_holder");
}

static void test_release__ends_a_lease_once(void **state)
{
	struct scene *scene = *state;

	assert_close("made", &scene->one, "a", "g", "{}");
	assert_string_equal(change(scene, "release", "a", "{}"), "ok");
	assert_string_equal(change(scene, "release", "a", "{}"), "ok");
	assert_string_equal(change(scene, "renew", "a", "{}"), "gone");
	assert_string_equal(change(scene, "open", "a", "{}"), "gone");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_open__ends_the_window_of_its_token_alone),
		SCENE_TEST(test_open__too_late_is_gone_and_says_how_it_ended),
		SCENE_TEST(test_expiry__ends_what_is_due_and_nothing_else),
		SCENE_TEST(test_expiry__of_many_goes_on_at_once),
		SCENE_TEST(test_expiry__a_renewal_that_comes_before_it_is_decided_succeeds),
		SCENE_TEST(test_expiry__a_batch_that_had_to_wait_lets_the_renewals_in_first),
		SCENE_TEST(test_expiry__grace_keeps_the_gate_shut_a_little_longer),
		SCENE_TEST(test_crash__the_gate_stays_shut_until_the_next_close_takes_over),
		SCENE_TEST(test_takeover__ends_the_other_and_inherits_its_session),
		SCENE_TEST(test_takeover__needs_all_gates_of_the_other_covered),
		SCENE_TEST(test_force_open__ends_the_window_it_means_and_no_other),
		SCENE_TEST(test_force_open__opens_a_crashed_gate),
		SCENE_TEST(test_clock__an_outage_does_not_count),
		SCENE_TEST(test_clock__a_short_absence_counts),
		SCENE_TEST(test_clock__a_step_back_moves_what_is_due_with_it),
		SCENE_TEST(test_clock__rows_are_stamped_every_500_ms_at_most),
		SCENE_TEST(test_amend__moves_max_and_cuts_the_expiry),
		SCENE_TEST(test_release__ends_a_lease_once),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
