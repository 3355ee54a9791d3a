/* Who waits at a gate, as it is told from what the replicas told of those who wait there. */
#include "support/scene.h"

/* A job that a replica lists, whose id is a letter 32 times; more is further members. */
#define JOB(letter, since, more) \
	"{\"id\": \"" letter letter letter letter "\", \"holder\": \"ann\", \"job\": \"night\", \"since\": \"" since \
	"\"" more "}"
#define OCT(letter)  letter letter letter letter letter letter letter letter
#define EARLY	     "2026-01-02T03:04:05.678Z"
#define LATE	     "2026-01-02T03:04:06.000Z"
#define OTHERS	     ", \"others\": true"

/* The replica tells that so many wait at the gate, of which some for no other, and these are listed. */
static void tell(struct replica *replica, const char *gate, int count, int alone, const char *jobs)
{
	replica_change(replica, "tick", "'{\"waiting\": {\"%s\": {\"count\": %d, \"alone\": %d, \"jobs\": [%s]}}}'",
		gate, count, alone, jobs);
}

/* "3: LATE …": how many wait, and since when those do that are listed. */
static const char *waiting(struct scene *scene, const char *gate)
{
	return psql_value(&scene->admin,
		"select concat(g #>> '{waiting,jobs,count}', ':',"
		" (select string_agg(' ' || (j ->> 'since'), '') from json_array_elements(g #> "
		"'{waiting,jobs,oldest}') j))"
		" from deploy_gate.gate_json('%s', clock_timestamp()) g",
		gate);
}

#define assert_waiting(scene, gate, wanted) assert_string_equal(waiting(scene, gate), wanted)

static void shut(struct scene *scene, const char *gate)
{
	assert_string_equal(replica_close(&scene->one, "z", gate, "{}"), "made");
}

static void test_waiting__is_told_at_the_gate_and_above_it_over_all_replicas(void **state)
{
	struct scene *scene = *state;

	shut(scene, "g");
	tell(&scene->one, "g.x", 200, 200, JOB(OCT("a"), LATE, ""));
	tell(&scene->two, "g.x", 2, 2, JOB(OCT("b"), EARLY, ""));
	assert_waiting(scene, "g", "202: " EARLY " " LATE);
	assert_waiting(scene, "g.x", "202: " EARLY " " LATE);
	assert_waiting(scene, "g.y", "0:");
	assert_waiting(scene, "g.x.z", "0:");
	assert_value(&scene->admin, "ann night t",
		"select concat_ws(' ', j ->> 'holder', j ->> 'job', (j ->> 'since_ago_ms')::bigint ="
		" deploy_gate.ms_between('" EARLY "', '2026-01-02T03:04:07Z'))"
		" from deploy_gate.gate_json('g', '2026-01-02T03:04:07Z') g,"
		" json_array_elements(deploy_gate.waiting_jobs_json('g', '2026-01-02T03:04:07Z', false) -> 'oldest') j"
		" limit 1");
}

/* Its client gave up at one replica and asked at another, which the first may not have noticed. */
static void test_waiting__one_that_asked_at_two_replicas_waits_once(void **state)
{
	struct scene *scene = *state;

	shut(scene, "g");
	tell(&scene->one, "g", 1, 1, JOB(OCT("a"), EARLY, ""));
	tell(&scene->two, "g", 2, 2, JOB(OCT("a"), LATE, "") "," JOB(OCT("b"), LATE, ""));
	assert_waiting(scene, "g", "2: " EARLY " " LATE);
}

static void test_waiting__for_several_gates_below_one_is_once(void **state)
{
	struct scene *scene = *state;

	shut(scene, "g");
	replica_change(&scene->one, "tick",
		"'{\"waiting\": {\"g.x\": {\"count\": 1, \"alone\": 0, \"jobs\": [%s]},"
		" \"g.y\": {\"count\": 1, \"alone\": 0, \"jobs\": [%s]}}}'",
		JOB(OCT("a"), EARLY, OTHERS), JOB(OCT("a"), EARLY, OTHERS));
	assert_waiting(scene, "g", "1: " EARLY);
	assert_waiting(scene, "g.y", "1: " EARLY);
}

/* What a replica told may be a second old: whoever has the pass by now is inside. */
static void test_waiting__who_has_a_lease_is_let_in(void **state)
{
	struct scene *scene = *state;

	tell(&scene->one, "g", 2, 0, JOB(OCT("a"), EARLY, OTHERS) "," JOB(OCT("b"), LATE, OTHERS));
	assert_waiting(scene, "g", "2: " EARLY " " LATE);
	assert_string_equal(replica_pass(&scene->one, "a", "g", "{}"), "made");
	assert_waiting(scene, "g", "1: " LATE);
}

static void test_waiting__nobody_does_for_an_open_gate_alone(void **state)
{
	struct scene *scene = *state;

	shut(scene, "g,h");
	tell(&scene->one, "g", 200, 198, JOB(OCT("a"), EARLY, "") "," JOB(OCT("b"), LATE, OTHERS));
	assert_waiting(scene, "g", "200: " EARLY " " LATE);
	replica_end(&scene->one, "z", "g,h");
	assert_waiting(scene, "g", "2: " LATE);
}

/* Nor is one told of whose replica is no longer heard of. */
static void test_waiting__at_a_replica_that_fell_silent_is_unknown(void **state)
{
	struct scene *scene = *state;

	shut(scene, "g");
	tell(&scene->two, "g", 1, 1, JOB(OCT("a"), EARLY, ""));
	assert_waiting(scene, "g", "1: " EARLY);
	psql_run(&scene->admin,
		"update deploy_gate.session set stamped_at = clock_timestamp() - interval '6 s' where number = %lld",
		scene->two.number);
	assert_waiting(scene, "g", "0:");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SCENE_TEST(test_waiting__is_told_at_the_gate_and_above_it_over_all_replicas),
		SCENE_TEST(test_waiting__one_that_asked_at_two_replicas_waits_once),
		SCENE_TEST(test_waiting__for_several_gates_below_one_is_once),
		SCENE_TEST(test_waiting__who_has_a_lease_is_let_in),
		SCENE_TEST(test_waiting__nobody_does_for_an_open_gate_alone),
		SCENE_TEST(test_waiting__at_a_replica_that_fell_silent_is_unknown),
	};

	return cmocka_run_group_tests(tests, scene_group_setup, scene_group_teardown);
}
