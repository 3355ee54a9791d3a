/* What is told of the waiting, by the real client: on a terminal and into a log. */
#include "unit/cases.h"

#include <signal.h>
#include <string.h>

#include "support/run.h"

#define NOBODY "unix:/nonexistent/gate"
#define DRAWN "\r\033[K"

static void close_a(void **state)
{
	struct run close;

	assert_int_equal(run_words(*state, &close, WORDS("close", "a", "--reason", "release 1", "--holder", "bob")), 0);
}

static void open_a(void **state)
{
	struct run open;

	assert_int_equal(run_words(*state, &open, WORDS("open", "a")), 0);
}

/* Times of when it began would be wrong in the next second. */
static void test_terminal__the_progress_line_tells_no_times_but_its_own(void **state)
{
	struct run waiter;

	close_a(state);
	run_start_on_terminal(*state, &waiter, WORDS("wait", "a"));
	run_await(&waiter, "s): a is closed by bob (release 1)" DRAWN "waiting (");
	open_a(state);
	assert_int_equal(run_finish(&waiter), 0);
}

static void test_terminal__the_progress_line_is_gone_when_the_command_runs(void **state)
{
	struct run waiter;

	close_a(state);
	run_start_on_terminal(*state, &waiter, WORDS("run", "a", "--", "echo", "ran"));
	run_await(&waiter, DRAWN "waiting (");
	open_a(state);
	assert_int_equal(run_finish(&waiter), 0);
	assert_contains(waiter.output, ")" DRAWN "ran\r\n");
}

static void test_terminal__the_progress_line_is_gone_behind_us(void **state)
{
	struct run waiter;

	close_a(state);
	run_start_on_terminal(*state, &waiter, WORDS("wait", "a"));
	run_await(&waiter, DRAWN "waiting (");
	open_a(state);
	assert_int_equal(run_finish(&waiter), 0);
	assert_string_equal(waiter.output + waiter.size - strlen(DRAWN), DRAWN);
}

/* Advice is for who gives up. */
static void test_log__who_waits_in_line_is_not_told_to(void **state)
{
	struct run waiter;
	const char *advice;

	close_a(state);
	assert_int_equal(run_words(*state, &waiter, WORDS("deploy", "a", "--wait", "1500ms", "--", "echo", "ran")), 75);
	open_a(state);
	assert_contains(waiter.output, "deploy-gate: waiting: a is closed by bob (release 1) for ");
	advice = strstr(waiter.output, "--wait 30m waits in line");
	assert_non_null(advice);
	assert_true(advice > strstr(waiter.output, "deploy-gate: exit 75 (held): "));
}

static void test_log__who_waits_for_a_server_says_so(void **state)
{
	struct run waiter;

	run_start(*state, &waiter, WORDS("--url", NOBODY, "run", "a", "--", "echo", "ran"));
	run_await(&waiter,
		"deploy-gate: waiting: could not reach " NOBODY ": No such file or directory; is deploy-gated up");
	kill(waiter.pid, SIGINT);
	assert_int_equal(run_finish(&waiter), 128 + SIGINT);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terminal__the_progress_line_tells_no_times_but_its_own),
		cmocka_unit_test(test_terminal__the_progress_line_is_gone_when_the_command_runs),
		cmocka_unit_test(test_terminal__the_progress_line_is_gone_behind_us),
		cmocka_unit_test(test_log__who_waits_in_line_is_not_told_to),
		cmocka_unit_test(test_log__who_waits_for_a_server_says_so),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
