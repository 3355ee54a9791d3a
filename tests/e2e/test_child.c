/* Commands under `run` and `deploy`, by the real client against the real server: signals, exit codes, terminal,
 * descriptors. The command is mostly this program itself, as a recorder. */
#include "unit/cases.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/run.h"

static void type_keys(const struct run *run, const char *keys)
{
	assert_int_equal(write(run->fd, keys, strlen(keys)), strlen(keys));
}

static void test_child__signals_are_passed_on_once(void **state)
{
	for (size_t i = 0; i < recorded_count; i++) {
		struct run run;
		char line[32];

		run_start(*state, &run,
			WORDS("run", "a", "--", SELF, "record", strcmp(recorded[i].name, "QUIT") ? "QUIT" : "INT"));
		run_await(&run, "ready\n");
		kill(run.pid, recorded[i].number);
		snprintf(line, sizeof(line), "got %s\n", recorded[i].name);
		run_await(&run, line);
		kill(run.pid, strcmp(recorded[i].name, "QUIT") ? SIGQUIT : SIGINT);
		assert_int_equal(run_finish(&run), RECORDER_EXIT);
		assert_int_equal(run_times(&run, "got "), 2);
	}
}

static void test_child__its_group_gets_them_too(void **state)
{
	struct run run;

	run_start(*state, &run,
		WORDS("deploy", "a", "--", "sh", "-c", "trap '' INT; \"$0\" record INT & wait; wait", SELF));
	run_await(&run, "ready\n");
	kill(run.pid, SIGINT);
	run_await(&run, "got INT\n");
	assert_int_equal(run_finish(&run), 0);
}

static void test_child__every_exit_code_is_handed_on(void **state)
{
	for (int code = 0; code <= 255; code += code < 4 || code > 60 ? 1 : 7) {
		struct run run;
		char script[32];

		snprintf(script, sizeof(script), "exit %d", code);
		assert_int_equal(run_words(*state, &run, WORDS("-E", "3", "run", "a", "--", "sh", "-c", script)), code);
		assert_string_equal(run.output, "");
	}
}

static const struct death {
	const char *words[6], *said;
	int code;
} deaths[] = {
	{ { "run", "a", "--", "sh", "-c", "kill -KILL $$" }, "", 137 },
	{ { "deploy", "a", "--", "sh", "-c", "kill -TERM $$" }, "", 143 },
	{ { "deploy", "a", "--", "sh", "-c", "kill -SEGV $$" }, "", 139 },
	{ { "run", "a", "--", "no-such-command" }, "deploy-gate: exit 127 (not found): no-such-command:", 127 },
	{ { "deploy", "a", "--", "no-such-command" }, "deploy-gate: exit 127 (not found): no-such-command:", 127 },
	{ { "run", "a", "--", "/etc/passwd" }, "deploy-gate: exit 126 (cannot run): /etc/passwd:", 126 },
	{ { "run", "a", "--", "/tmp" }, "deploy-gate: exit 126 (cannot run): /tmp: Permission denied", 126 },
	{ { "run", "-E0", "a", "--", "/etc/passwd" }, "deploy-gate: exit 126 (cannot run): /etc/passwd:", 126 },
	{ { "deploy", "-E0", "a", "--", "no-such-command" }, "exit 127 (not found): no-such-command:", 127 },
};

static void test_child__deaths_and_what_cannot_be_run(void **state)
{
	for (size_t i = 0; i < COUNT(deaths); i++) {
		const char *words[8] = { "-q" };
		struct run run;

		for (size_t j = 0; j < COUNT(deaths[i].words); j++)
			words[j + 1] = deaths[i].words[j];
		assert_int_equal(run_words(*state, &run, words), deaths[i].code);
		assert_contains(run.output, deaths[i].said);
	}
}

static void test_child__inherits_what_we_inherited_and_nothing_of_ours(void **state)
{
	static const char *const commands[] = { "run", "deploy" };

	for (size_t i = 0; i < COUNT(commands); i++) {
		struct run run;

		assert_int_equal(run_words(*state, &run, WORDS("-q", commands[i], "a", "--", SELF, "descriptors")), 0);
		assert_int_equal(run_times(&run, "open "), 4);
		assert_contains(run.output, "open 7\n");
	}
}

/* Written to a closed stream, a token must not go into whatever of ours has its number. */
static void test_child__closed_streams_are_nothing_of_ours(void **state)
{
	static const char script[] = "\"$0\" run a -- sh -c '[ -e /proc/$$/fd/1 ] || echo as it was >&2' >&-";
	const struct world *world = *state;
	struct run run;

	run_start(world, &run, WORDS("run", "a", "--", "sh", "-c", "\"$0\" check a 2>&1 >&-", world->client));
	assert_int_equal(run_finish(&run), 70);
	assert_contains(run.output, "cannot write the output: Bad file descriptor");
	run_start(world, &run, WORDS("run", "a", "--", "sh", "-c", script, world->client));
	assert_int_equal(run_finish(&run), 0);
	assert_contains(run.output, "as it was");
}

static void test_child__ctrl_c_reaches_it_once(void **state)
{
	struct run run;

	run_start_on_terminal(*state, &run, WORDS("run", "a", "--", SELF, "record", "QUIT"));
	run_await(&run, "ready\r\n");
	type_keys(&run, "\003");
	run_await(&run, "got INT\r\n");
	type_keys(&run, "\034");
	assert_int_equal(run_finish(&run), RECORDER_EXIT);
	assert_int_equal(run_times(&run, "got "), 2);
}

static void test_child__ctrl_z_stops_us_with_it(void **state)
{
	struct run run;
	int status;

	run_start_on_terminal(
		*state, &run, WORDS("run", "a", "--", "sh", "-c", "echo ready; read line; echo \"read $line\""));
	run_await(&run, "ready\r\n");
	type_keys(&run, "\032");
	assert_int_equal(waitpid(run.pid, &status, WUNTRACED), run.pid);
	assert_true(WIFSTOPPED(status));
	kill(run.pid, SIGCONT);
	type_keys(&run, "hello\n");
	run_await(&run, "read hello\r\n");
	assert_int_equal(run_finish(&run), 0);
}

/* A shell with job control at a terminal, in which "$C" is the client. */
static void begin_shell(const struct world *world, struct run *run)
{
	setenv("C", world->client, 1);
	run_start_on_terminal(world, run, WORDS("run", "a", "--", "sh", "-i"));
}

static void test_child__put_into_the_background_leaves_the_terminal_to_the_shell(void **state)
{
	struct run run;

	begin_shell(*state, &run);
	/* What is ready starts nothing any more: a shell that is stopped in the middle of vfork() stops for good, and not to be seen. */
	type_keys(&run, "$C run a -- sh -c 'sh -c \"echo rea\\dy; exec sleep 1\"; exit 7'\n");
	run_await(&run, "ready\r\n");
	type_keys(&run, "\032");
	run_await(&run, "Stopped");
	type_keys(&run, "bg; wait %1; echo en\"\"ded $?\n");
	run_await(&run, "ended 7\r\n");
	type_keys(&run, "exit 3\n");
	assert_int_equal(run_finish(&run), 3);
}

static void test_child__put_into_the_foreground_gets_the_terminal(void **state)
{
	struct run run;

	begin_shell(*state, &run);
	type_keys(&run, "$C run a -- sh -c 'echo rea\"\"dy; read x; echo \"read $x\"; exit 7' &\n");
	run_await(&run, "ready\r\n");
	type_keys(&run, "fg; echo en\"\"ded $?\n");
	type_keys(&run, "hello\n");
	run_await(&run, "read hello\r\n");
	run_await(&run, "ended 7\r\n");
	type_keys(&run, "exit 3\n");
	assert_int_equal(run_finish(&run), 3);
}

static void test_child__in_the_background_of_a_script_leaves_the_terminal_to_it(void **state)
{
	const struct world *world = *state;
	static const char script[] = "\"$0\" run a -- sh -c 'echo ready; sleep 1; exit 7' & read x; echo \"got $x\"; "
				     "wait $!; echo ended $?";
	struct run run;

	run_start_on_terminal(world, &run, WORDS("run", "a", "--", "sh", "-c", script, world->client));
	run_await(&run, "ready\r\n");
	type_keys(&run, "hello\n");
	run_await(&run, "got hello\r\n");
	run_await(&run, "ended 7\r\n");
	assert_int_equal(run_finish(&run), 0);
}

static void test_child__gets_term_when_we_are_killed(void **state)
{
	struct run run;

	run_start(*state, &run, WORDS("run", "a", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	kill(run.pid, SIGKILL);
	run_await(&run, "got TERM\n");
	assert_int_equal(run_finish(&run), -1);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child__signals_are_passed_on_once),
		cmocka_unit_test(test_child__its_group_gets_them_too),
		cmocka_unit_test(test_child__every_exit_code_is_handed_on),
		cmocka_unit_test(test_child__deaths_and_what_cannot_be_run),
		cmocka_unit_test(test_child__inherits_what_we_inherited_and_nothing_of_ours),
		cmocka_unit_test(test_child__closed_streams_are_nothing_of_ours),
		cmocka_unit_test(test_child__ctrl_c_reaches_it_once),
		cmocka_unit_test(test_child__ctrl_z_stops_us_with_it),
		cmocka_unit_test(test_child__put_into_the_background_leaves_the_terminal_to_the_shell),
		cmocka_unit_test(test_child__put_into_the_foreground_gets_the_terminal),
		cmocka_unit_test(test_child__in_the_background_of_a_script_leaves_the_terminal_to_it),
		cmocka_unit_test(test_child__gets_term_when_we_are_killed),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
