/* close --while-pid: a window that lives and ends with a process. By the real client against the real server. */
#include "unit/cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/names.h"
#include "support/run.h"

static pid_t begin_process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static int end_process(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WTERMSIG(status);
}

/* Closes the gate as long as the process lives. The end of its output is the end of all that could write to it. */
static void close_while(const struct world *world, const char *gate, pid_t pid, const char *on_lost)
{
	struct run run;
	char number[16];

	snprintf(number, sizeof(number), "%d", pid);
	assert_int_equal(
		run_words(world, &run,
			WORDS("-q", "close", gate, "--while-pid", number, "--ttl", "6s", "--on-lost", on_lost)),
		0);
	assert_int_equal(strlen(run.output), TOKEN_MADE_LEN + 1);
}

static int command(const struct world *world, const char *const *words)
{
	struct run run;

	return run_words(world, &run, words);
}

/* What was left behind is handed to us by the kernel: waits for its end. */
static void await_follower(void)
{
	int status;

	assert_true(waitpid(-1, &status, 0) > 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_while_pid__the_gate_is_closed_as_long_as_the_process_lives(void **state)
{
	const struct timespec longer = { .tv_sec = 7 };
	pid_t pid = begin_process();

	close_while(*state, "w", pid, "stop");
	assert_int_equal(command(*state, WORDS("check", "-q", "w")), 1);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &longer, NULL);
	assert_int_equal(command(*state, WORDS("check", "-q", "w")), 1);
	end_process(pid);
	assert_int_equal(command(*state, WORDS("-q", "wait", "w", "--wait", "50s")), 0);
	await_follower();
	assert_int_equal(command(*state, WORDS("open", "w")), 64);
}

/* What is left behind has another working directory. */
static void test_while_pid__its_token_is_forgotten_also_in_a_place_named_from_here(void **state)
{
	const struct world *world = *state;
	pid_t pid = begin_process();

	assert_int_equal(chdir(world->place), 0);
	setenv("DEPLOY_GATE_STATE_DIR", "here", 1);
	close_while(world, "w", pid, "stop");
	end_process(pid);
	await_follower();
	assert_int_equal(command(world, WORDS("open", "w")), 64);
	assert_int_equal(rmdir("here/@user") | rmdir("here"), 0);
	setenv("DEPLOY_GATE_STATE_DIR", world->place, 1);
}

static void test_while_pid__the_process_ends_when_the_window_is_lost(void **state)
{
	pid_t pid = begin_process();
	int status;

	close_while(*state, "w", pid, "stop");
	assert_int_equal(command(*state, WORDS("-q", "open", "w", "--force", "--reason", "a test")), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGTERM);
	await_follower();
	assert_int_equal(command(*state, WORDS("open", "w")), 76);
}

static void test_while_pid__or_goes_on_if_that_is_asked_for(void **state)
{
	pid_t pid = begin_process();

	close_while(*state, "w", pid, "nothing");
	assert_int_equal(command(*state, WORDS("-q", "open", "w", "--force", "--reason", "a test")), 0);
	await_follower();
	assert_int_equal(end_process(pid), SIGKILL);
}

static void test_while_pid__somebody_may_open_before(void **state)
{
	pid_t pid = begin_process();

	close_while(*state, "w", pid, "stop");
	assert_int_equal(command(*state, WORDS("-q", "open", "w")), 0);
	await_follower();
	assert_int_equal(end_process(pid), SIGKILL);
}

static void test_while_pid__a_process_that_is_not_there_closes_nothing(void **state)
{
	pid_t pid = begin_process();
	struct run run;
	char number[16];

	end_process(pid);
	snprintf(number, sizeof(number), "%d", pid);
	assert_int_equal(run_words(*state, &run, WORDS("close", "w", "--while-pid", number)), 64);
	assert_contains(run.output, "exit 64 (usage): --while-pid: No such process");
	assert_int_equal(command(*state, WORDS("check", "-q", "w")), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_pid__the_gate_is_closed_as_long_as_the_process_lives),
		cmocka_unit_test(test_while_pid__its_token_is_forgotten_also_in_a_place_named_from_here),
		cmocka_unit_test(test_while_pid__the_process_ends_when_the_window_is_lost),
		cmocka_unit_test(test_while_pid__or_goes_on_if_that_is_asked_for),
		cmocka_unit_test(test_while_pid__somebody_may_open_before),
		cmocka_unit_test(test_while_pid__a_process_that_is_not_there_closes_nothing),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
