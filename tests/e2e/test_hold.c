/* What becomes of a command whose lease is lost, or of which nothing is heard; and of a place in the queue that is given
 * up. By the real client against the real server. */
#include "unit/cases.h"

#include <signal.h>
#include <time.h>

#include "support/run.h"

static void force_open(const struct world *world)
{
	struct run run;

	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "a", "--force", "--reason", "a test")), 0);
}

static void test_child__is_told_to_end_when_the_lease_is_lost(void **state)
{
	struct run run;

	run_start(*state, &run, WORDS("deploy", "a", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	force_open(*state);
	run_await(&run, "got TERM\n");
	assert_int_equal(run_finish(&run), 76);
	assert_contains(run.output, "deploy-gate: exit 76 (lost): ");
}

static void test_child__is_killed_when_it_does_not_end(void **state)
{
	struct run run;
	int64_t told_ms;

	run_start(*state, &run, WORDS("deploy", "a", "--kill-after", "700ms", "--", SELF, "record", "QUIT"));
	run_await(&run, "ready\n");
	force_open(*state);
	run_await(&run, "got TERM\n");
	told_ms = now_ms();
	assert_int_equal(run_finish(&run), 76);
	assert_in_range(now_ms() - told_ms, 500, 9000);
}

/* What still holds the pipe of the output would keep us reading. */
static void test_child__what_it_left_running_ends_with_it(void **state)
{
	static const char *const scripts[] = {
		"\"$0\" record TERM & wait",	     /* both are told */
		"trap 'exit 0' TERM; \"$0\" record QUIT & wait", /* one does not listen, and outlives the other */
	};

	for (size_t i = 0; i < COUNT(scripts); i++) {
		struct run run;

		run_start(*state, &run,
			WORDS("deploy", "a", "--kill-after", "700ms", "--", "sh", "-c", scripts[i], SELF));
		run_await(&run, "ready\n");
		force_open(*state);
		assert_int_equal(run_finish(&run), 76);
		assert_int_equal(run_times(&run, "got TERM\n"), 1);
	}
}

/* A server that stands still acknowledges nothing. */
static void test_child__is_stopped_in_silence_before_the_lease_runs_out(void **state)
{
	const struct world *world = *state;
	struct run run;
	int64_t silent_ms;

	run_start(world, &run, WORDS("deploy", "silent", "--ttl", "12s", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	kill(world->server, SIGSTOP);
	silent_ms = now_ms();
	run_await(&run, "got TERM\n");
	assert_in_range(now_ms() - silent_ms, 1000, 11900);
	kill(world->server, SIGCONT);
	assert_int_equal(run_finish(&run), 76);
}

static void test_child__goes_on_in_silence_if_asked_to(void **state)
{
	const struct world *world = *state;
	struct run run;

	run_start(world, &run,
		WORDS("deploy", "unheard", "--ttl", "4s", "--on-silence", "finish", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	kill(world->server, SIGSTOP);
	run_await(&run, "the command goes on\n");
	assert_int_equal(run_times(&run, "got "), 0);
	kill(world->server, SIGCONT);
	kill(run.pid, SIGTERM);
	run_await(&run, "got TERM\n");
	run_finish(&run);
}

static void test_waiting__an_interruption_gives_the_place_up(void **state)
{
	struct run holder, waiter, look;

	run_start(*state, &holder, WORDS("deploy", "a", "--", SELF, "record", "QUIT"));
	run_await(&holder, "ready\n");
	run_start(*state, &waiter, WORDS("deploy", "a", "--wait", "1m", "--", "echo", "ran"));
	run_await(&waiter, "waiting: ");
	kill(waiter.pid, SIGINT);
	assert_int_equal(run_finish(&waiter), 128 + SIGINT);
	assert_contains(waiter.output, "deploy-gate: exit 130 (interrupted)");
	assert_int_equal(run_words(*state, &look, WORDS("status", "a", "--json")), 0);
	assert_contains(look.output, "\"deploys\":[]");
	kill(holder.pid, SIGQUIT);
	assert_int_equal(run_finish(&holder), RECORDER_EXIT);
	assert_int_equal(run_words(*state, &look, WORDS("check", "a")), 0);
}

/* Longer in the queue than the lease lives: the clock that stops a command in silence must not count that. */
static void test_waiting__time_in_the_queue_is_no_silence(void **state)
{
	const struct timespec longer = { .tv_sec = 6, .tv_nsec = 500000000 };
	struct run holder, waiter;

	run_start(*state, &holder, WORDS("deploy", "a", "--", SELF, "record", "QUIT"));
	run_await(&holder, "ready\n");
	run_start(*state, &waiter,
		WORDS("deploy", "a", "--wait", "1m", "--ttl", "6s", "--", "sh", "-c", "sleep 1; echo ran"));
	run_await(&waiter, "waiting: ");
	clock_nanosleep(CLOCK_MONOTONIC, 0, &longer, NULL);
	kill(holder.pid, SIGQUIT);
	assert_int_equal(run_finish(&holder), RECORDER_EXIT);
	assert_int_equal(run_finish(&waiter), 0);
	assert_contains(waiter.output, "ran\n");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child__is_told_to_end_when_the_lease_is_lost),
		cmocka_unit_test(test_child__is_killed_when_it_does_not_end),
		cmocka_unit_test(test_child__what_it_left_running_ends_with_it),
		cmocka_unit_test(test_child__is_stopped_in_silence_before_the_lease_runs_out),
		cmocka_unit_test(test_child__goes_on_in_silence_if_asked_to),
		cmocka_unit_test(test_waiting__an_interruption_gives_the_place_up),
		cmocka_unit_test(test_waiting__time_in_the_queue_is_no_silence),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
