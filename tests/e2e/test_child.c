/* Commands under `run` and `deploy`, by the real client against the real server: signals, exit codes, terminal, descriptors,
 * and what becomes of a command whose lease is lost. The command is mostly this program itself, as a recorder. */
#include "unit/cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/db.h"

enum { OUTPUT_MAX = 8192, PATIENCE_MS = 20000, RECORDER_EXIT = 42, INHERITED = 7 };

/* What all tests share. */
struct world {
	struct db db;
	pid_t server;
	char place[64], socket[80], self[256];
	const char *client;
};

/* A client under way, and what it and its command have written. */
struct run {
	pid_t pid;
	int fd;
	char output[OUTPUT_MAX];
	size_t size;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the recorder: writes down each signal that it gets; ends with 42 at the one it was told ---- */

static const struct passed {
	const char *name;
	int number;
} passed[] = {
	{ "TERM", SIGTERM },
	{ "INT", SIGINT },
	{ "HUP", SIGHUP },
	{ "QUIT", SIGQUIT },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "WINCH", SIGWINCH },
	{ "CONT", SIGCONT },
	{ "TSTP", SIGTSTP },
};

static int record(const char *last)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(passed); i++)
		sigaddset(&set, passed[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int number = sigwaitinfo(&set, NULL);

		printf("got %s\n", sigabbrev_np(number));
		fflush(stdout);
		if (strcmp(sigabbrev_np(number), last) == 0)
			return RECORDER_EXIT;
	}
}

static int list_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while ((entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(directory))
			printf("open %s\n", entry->d_name);
	closedir(directory);
	return 0;
}

/* ---- running the client ---- */

static _Noreturn void become(const struct world *world, const char *const *words)
{
	const char *argv[24] = { world->client };

	for (size_t i = 0; words[i] && i < COUNT(argv) - 2; i++)
		argv[i + 1] = strcmp(words[i], "SELF") == 0 ? world->self : words[i];
	execv(argv[0], (char **)argv);
	_exit(99);
}

/* Starts the client with these words; SELF stands for this program. Descriptor 7 is open in it, and nothing else beyond 2. */
static void start(const struct world *world, struct run *run, const char *const *words)
{
	int ends[2];

	*run = (struct run){ .size = 0 };
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	run->pid = fork();
	if (run->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		dup2(STDOUT_FILENO, INHERITED);
		close_range(STDERR_FILENO + 1, INHERITED - 1, CLOSE_RANGE_CLOEXEC);
		close_range(INHERITED + 1, ~0U, CLOSE_RANGE_CLOEXEC);
		become(world, words);
	}
	close(ends[1]);
	run->fd = ends[0];
}

/* Reads what there is, waiting for it; false at the end of the output. */
static bool read_more(struct run *run, int64_t end_ms)
{
	struct pollfd ready = { .fd = run->fd, .events = POLLIN };
	ssize_t got;

	if (end_ms <= now_ms() || poll(&ready, 1, (int)(end_ms - now_ms())) <= 0)
		fail_msg("nothing came in time behind: %s", run->output);
	got = read(run->fd, run->output + run->size, sizeof(run->output) - 1 - run->size);
	if (got <= 0)
		return false;
	run->size += (size_t)got;
	run->output[run->size] = '\0';
	return true;
}

static void await_text(struct run *run, const char *text)
{
	int64_t end_ms = now_ms() + PATIENCE_MS;

	while (!strstr(run->output, text))
		if (!read_more(run, end_ms))
			fail_msg("\"%s\" never came: %s", text, run->output);
}

static unsigned times(const struct run *run, const char *text)
{
	unsigned count = 0;

	for (const char *at = strstr(run->output, text); at; at = strstr(at + 1, text))
		count++;
	return count;
}

/* Reads all that is left and gives the exit code; -1 if a signal ended the client. */
static int finish(struct run *run)
{
	int64_t end_ms = now_ms() + PATIENCE_MS;
	int status;

	while (read_more(run, end_ms))
		;
	close(run->fd);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int run_words(const struct world *world, struct run *run, const char *const *words)
{
	start(world, run, words);
	return finish(run);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- the tests ---- */

static void test_child__signals_are_passed_on_once(void **state)
{
	for (size_t i = 0; i < COUNT(passed); i++) {
		struct run run;
		char line[32];

		start(*state, &run,
			WORDS("run", "a", "--", "SELF", "record", strcmp(passed[i].name, "QUIT") ? "QUIT" : "INT"));
		await_text(&run, "ready\n");
		kill(run.pid, passed[i].number);
		snprintf(line, sizeof(line), "got %s\n", passed[i].name);
		await_text(&run, line);
		kill(run.pid, strcmp(passed[i].name, "QUIT") ? SIGQUIT : SIGINT);
		assert_int_equal(finish(&run), RECORDER_EXIT);
		assert_int_equal(times(&run, "got "), 2);
	}
}

static void test_child__its_group_gets_them_too(void **state)
{
	struct run run;

	start(*state, &run,
		WORDS("deploy", "a", "--", "sh", "-c", "trap '' INT; \"$0\" record INT & wait; wait", "SELF"));
	await_text(&run, "ready\n");
	kill(run.pid, SIGINT);
	await_text(&run, "got INT\n");
	assert_int_equal(finish(&run), 0);
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
	{ { "run", "-E9", "a", "--", "/etc/passwd" }, "deploy-gate: exit 9 (cannot run): /etc/passwd:", 9 },
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

		assert_int_equal(
			run_words(*state, &run, WORDS("-q", commands[i], "a", "--", "SELF", "descriptors")), 0);
		assert_int_equal(times(&run, "open "), 4);
		assert_contains(run.output, "open 7\n");
	}
}

/* As start, on a terminal of its own. */
static void start_on_terminal(const struct world *world, struct run *run, const char *const *words)
{
	*run = (struct run){ .size = 0 };
	run->pid = forkpty(&run->fd, NULL, NULL, NULL);
	if (run->pid == 0)
		become(world, words);
}

static void type_keys(const struct run *run, const char *keys)
{
	assert_int_equal(write(run->fd, keys, strlen(keys)), strlen(keys));
}

static void test_child__ctrl_c_reaches_it_once(void **state)
{
	struct run run;

	start_on_terminal(*state, &run, WORDS("run", "a", "--", "SELF", "record", "QUIT"));
	await_text(&run, "ready\r\n");
	type_keys(&run, "\003");
	await_text(&run, "got INT\r\n");
	type_keys(&run, "\034");
	assert_int_equal(finish(&run), RECORDER_EXIT);
	assert_int_equal(times(&run, "got "), 2);
}

static void test_child__ctrl_z_stops_us_with_it(void **state)
{
	struct run run;
	int status;

	start_on_terminal(
		*state, &run, WORDS("run", "a", "--", "sh", "-c", "echo ready; read line; echo \"read $line\""));
	await_text(&run, "ready\r\n");
	type_keys(&run, "\032");
	assert_int_equal(waitpid(run.pid, &status, WUNTRACED), run.pid);
	assert_true(WIFSTOPPED(status));
	kill(run.pid, SIGCONT);
	type_keys(&run, "hello\n");
	await_text(&run, "read hello\r\n");
	assert_int_equal(finish(&run), 0);
}

static void test_child__gets_term_when_we_are_killed(void **state)
{
	struct run run;

	start(*state, &run, WORDS("run", "a", "--", "SELF", "record", "TERM"));
	await_text(&run, "ready\n");
	kill(run.pid, SIGKILL);
	await_text(&run, "got TERM\n");
	assert_int_equal(finish(&run), -1);
}

static void force_open(const struct world *world)
{
	struct run run;

	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "a", "--force", "--reason", "a test")), 0);
}

static void test_child__is_told_to_end_when_the_lease_is_lost(void **state)
{
	struct run run;

	start(*state, &run, WORDS("deploy", "a", "--ttl", "3s", "--", "SELF", "record", "TERM"));
	await_text(&run, "ready\n");
	force_open(*state);
	await_text(&run, "got TERM\n");
	assert_int_equal(finish(&run), 76);
	assert_contains(run.output, "deploy-gate: exit 76 (lost): ");
}

static void test_child__is_killed_when_it_does_not_end(void **state)
{
	struct run run;
	int64_t told_ms;

	start(*state, &run,
		WORDS("deploy", "a", "--ttl", "3s", "--kill-after", "700ms", "--", "SELF", "record", "QUIT"));
	await_text(&run, "ready\n");
	force_open(*state);
	await_text(&run, "got TERM\n");
	told_ms = now_ms();
	assert_int_equal(finish(&run), 76);
	assert_in_range(now_ms() - told_ms, 500, 5000);
}

/* A server that stands still acknowledges nothing. */
static void test_child__is_stopped_in_silence_before_the_lease_runs_out(void **state)
{
	const struct world *world = *state;
	struct run run;
	int64_t silent_ms;

	start(world, &run, WORDS("deploy", "a", "--ttl", "6s", "--", "SELF", "record", "TERM"));
	await_text(&run, "ready\n");
	kill(world->server, SIGSTOP);
	silent_ms = now_ms();
	await_text(&run, "got TERM\n");
	assert_in_range(now_ms() - silent_ms, 1000, 5900);
	kill(world->server, SIGCONT);
	assert_int_equal(finish(&run), 76);
}

static void test_child__goes_on_in_silence_if_asked_to(void **state)
{
	const struct world *world = *state;
	struct run run;

	start(world, &run,
		WORDS("deploy", "a", "--ttl", "1s", "--on-silence", "finish", "--", "SELF", "record", "TERM"));
	await_text(&run, "ready\n");
	kill(world->server, SIGSTOP);
	await_text(&run, "the command goes on\n");
	assert_int_equal(times(&run, "got "), 0);
	kill(world->server, SIGCONT);
	kill(run.pid, SIGTERM);
	await_text(&run, "got TERM\n");
	finish(&run);
}

static void test_waiting__an_interruption_gives_the_place_up(void **state)
{
	struct run holder, waiter, look;

	start(*state, &holder, WORDS("deploy", "a", "--", "SELF", "record", "QUIT"));
	await_text(&holder, "ready\n");
	start(*state, &waiter, WORDS("deploy", "a", "--wait", "1m", "--", "echo", "ran"));
	await_text(&waiter, "waiting: ");
	kill(waiter.pid, SIGINT);
	assert_int_equal(finish(&waiter), 128 + SIGINT);
	assert_contains(waiter.output, "deploy-gate: exit 130 (interrupted)");
	assert_int_equal(run_words(*state, &look, WORDS("status", "a", "--json")), 0);
	assert_contains(look.output, "\"deploys\":[]");
	kill(holder.pid, SIGQUIT);
	assert_int_equal(finish(&holder), RECORDER_EXIT);
	assert_int_equal(run_words(*state, &look, WORDS("check", "a")), 0);
}

static void test_nested__the_outer_lease_is_enough(void **state)
{
	struct run run;

	assert_int_equal(run_words(*state, &run,
				 WORDS("deploy", "a,b", "--", "sh", "-ec",
					 "\"$0\" check a; \"$0\" wait b; \"$0\" run a.c -- true; \"$0\" deploy b -- "
					 "true; \"$0\" close a; \"$0\" open a;"
					 "\"$0\" run b -- \"$0\" check a; echo through",
					 ((const struct world *)*state)->client)),
		0);
	assert_contains(run.output, "through\n");
	assert_int_equal(run_words(*state, &run, WORDS("check", "a,b")), 0);
}

/* ---- the world ---- */

static void start_server(struct world *world)
{
	char listen[96];

	snprintf(world->socket, sizeof(world->socket), "%s/gate.sock", world->place);
	snprintf(listen, sizeof(listen), "unix:%s", world->socket);
	setenv("DEPLOY_GATE_URL", listen, 1);
	world->server = fork();
	if (world->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(getenv("DEPLOY_GATED_BIN"), "deploy-gated", "--listen", listen, "--database", world->db.conninfo,
			NULL);
		_exit(127);
	}
}

static int begin(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct run run;

	world->client = getenv("DEPLOY_GATE_BIN");
	if (!world->client || !getenv("DEPLOY_GATED_BIN"))
		return -1;
	snprintf(world->place, sizeof(world->place), "/tmp/test-child-XXXXXX");
	if (!mkdtemp(world->place) || readlink("/proc/self/exe", world->self, sizeof(world->self) - 1) < 0)
		return -1;
	setenv("DEPLOY_GATE_STATE_DIR", world->place, 1);
	unsetenv("DEPLOY_GATE_TOKEN");
	db_create(&world->db);
	start_server(world);
	*state = world;
	return run_words(world, &run, WORDS("-q", "wait", "a", "--reach", "30s"));
}

static int end(void **state)
{
	struct world *world = *state;

	kill(world->server, SIGCONT);
	kill(world->server, SIGTERM);
	waitpid(world->server, NULL, 0);
	db_drop(&world->db);
	unlink(world->socket);
	rmdir(world->place);
	free(world);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_child__signals_are_passed_on_once),
		cmocka_unit_test(test_child__its_group_gets_them_too),
		cmocka_unit_test(test_child__every_exit_code_is_handed_on),
		cmocka_unit_test(test_child__deaths_and_what_cannot_be_run),
		cmocka_unit_test(test_child__inherits_what_we_inherited_and_nothing_of_ours),
		cmocka_unit_test(test_child__ctrl_c_reaches_it_once),
		cmocka_unit_test(test_child__ctrl_z_stops_us_with_it),
		cmocka_unit_test(test_child__gets_term_when_we_are_killed),
		cmocka_unit_test(test_child__is_told_to_end_when_the_lease_is_lost),
		cmocka_unit_test(test_child__is_killed_when_it_does_not_end),
		cmocka_unit_test(test_child__is_stopped_in_silence_before_the_lease_runs_out),
		cmocka_unit_test(test_child__goes_on_in_silence_if_asked_to),
		cmocka_unit_test(test_waiting__an_interruption_gives_the_place_up),
		cmocka_unit_test(test_nested__the_outer_lease_is_enough),
	};

	if (argc > 2 && strcmp(argv[1], "record") == 0)
		return record(argv[2]);
	if (argc > 1 && strcmp(argv[1], "descriptors") == 0)
		return list_descriptors();
	return cmocka_run_group_tests(tests, begin, end);
}
