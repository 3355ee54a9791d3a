/* --token-file: where close leaves a token, and where open, renew and reason find it. By the real client against the real
 * server. */
#include "e2e/steps.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void test_token_files__hold_what_close_hands_out(void **state)
{
	const struct world *world = *state;
	char mine[96], foreign[96];
	FILE *file;

	snprintf(mine, sizeof(mine), "%s/mine", world->place);
	snprintf(foreign, sizeof(foreign), "%s/foreign", world->place);
	file = fopen(foreign, "w");
	assert_non_null(file);
	fputs("0123456789abcdef0123456789abcdef\n", file);
	fclose(file);
	const struct step steps[] = {
		{ { "-q", "close", "a,b", "--token-file", mine }, 0, NULL },
		{ { "open", "a", "--token-file", foreign }, 77, "exit 77 (not_holder): " },
		{ { "renew", "b", "--token-file", foreign }, 76, "exit 76 (gone): " },
		{ { "open", "b", "--token-file", "/dev/null" }, 78,
			"exit 78 (configuration): /dev/null holds no lease token" },
		{ { "renew", "b", "--token-file", mine }, 0, "b stays shut for 30m" },
		{ { "open", "b", "--token-file", mine }, 0, "b is open" },
		{ { "check", "a" }, 0, "open\n" },
		{ { "open", "a" }, 64, "no close of a is remembered" },
	};

	PLAY(steps);
	unlink(mine);
	unlink(foreign);
}

/* Who opens is told that the gate is open only if it is: another deploy may have it by then, or one above it. */
static void test_token_files__open_does_not_say_of_a_gate_that_is_shut_that_it_is_open(void **state)
{
	const struct world *world = *state;
	char mine[96];

	snprintf(mine, sizeof(mine), "%s/mine", world->place);
	const struct step steps[] = {
		{ { "-q", "close", "a.b", "--token-file", mine }, 0, NULL },
		{ { "open", "a.b", "--token-file", mine }, 0, "deploy-gate: a.b is open\n" },
		{ { "-q", "close", "a", "--reason", "the next" }, 0, "" },
		{ { "open", "a.b", "--token-file", mine }, 0,
			"the window over a.b has ended, but the gate is shut: a.b is shut because a is closed by " },
		{ { "open", "a.b", "--token-file", mine }, 0, " (the next) for " },
		{ { "-q", "open", "a.b", "--token-file", mine }, 0, NULL },
		{ { "open", "a" }, 0, "deploy-gate: a is open\n" },
	};

	PLAY(steps);
	unlink(mine);
}

/* How many files there are whose names begin like that; the text of the last is in text. */
static size_t files_like(const char *path, char text[static 64])
{
	char pattern[128];
	glob_t found;
	size_t count;

	snprintf(pattern, sizeof(pattern), "%s*", path);
	if (glob(pattern, 0, NULL, &found) != 0)
		return 0;
	count = found.gl_pathc;
	FILE *file = fopen(found.gl_pathv[count - 1], "r");
	assert_non_null(file);
	if (!fgets(text, 64, file))
		text[0] = '\0';
	fclose(file);
	globfree(&found);
	return count;
}

/* The token of a window that lives on must not be lost to a close that is refused. */
static void test_token_files__stay_as_they_are_where_a_close_is_refused(void **state)
{
	const struct world *world = *state;
	char file[96], missing[96], pipe[96], before[64] = "", after[64] = "";

	snprintf(file, sizeof(file), "%s/token", world->place);
	snprintf(missing, sizeof(missing), "%s/missing/token", world->place);
	snprintf(pipe, sizeof(pipe), "%s/pipe", world->place);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	const struct step closing[] = {
		{ { "-q", "close", "a", "--token-file", file }, 0, NULL },
	}, refused[] = {
		{ { "-q", "close", "a", "--token-file", file }, 75, "exit 75 (held): " },
		{ { "DEPLOY_GATE_SESSION=another", "-q", "close", "a", "--token-file", file }, 75, "exit 75 (held): " },
		{ { "-q", "close", "b", "--token-file", missing }, 78, "exit 78 (configuration): cannot write " },
		{ { "-q", "close", "b", "--token-file", pipe }, 78, "it is no regular file" },
		{ { "-q", "close", "b", "--token-file", "/dev/stdout" }, 78,
			"it is no regular file; without --token-file the token is printed\n" },
		{ { "-q", "check", "b" }, 0, NULL },
		{ { "-q", "open", "b" }, 64, "no close of b is remembered" },
	}, opening[] = {
		{ { "-q", "open", "a", "--token-file", file }, 0, NULL },
	};

	PLAY(closing);
	assert_int_equal(files_like(file, before), 1);
	PLAY(refused);
	assert_int_equal(files_like(file, after), 1);
	assert_string_equal(after, before);
	PLAY(opening);
	unlink(file);
	unlink(pipe);
}

/* Writes into a pipe, once it is read from, in two pieces. */
static pid_t begin_writer(const char *pipe, const char *text)
{
	const struct timespec between = { .tv_nsec = 200000000 };
	size_t half = strlen(text) / 2;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(pipe, O_WRONLY);

		if (write(fd, text, half) < 0)
			_exit(1);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &between, NULL);
		_exit(write(fd, text + half, strlen(text + half)) < 0);
	}
	return pid;
}

/* As of a shell: --token-file <(…), or /dev/stdin. */
static void test_token_files__may_be_pipes(void **state)
{
	const struct world *world = *state;
	struct run closed, run;
	char pipe[96];
	int status, end;
	pid_t writer;

	snprintf(pipe, sizeof(pipe), "%s/pipe", world->place);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(run_words(world, &closed, WORDS("-q", "close", "a")), 0);
	writer = begin_writer(pipe, closed.output);
	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "a", "--token-file", pipe)), 0);
	assert_int_equal(waitpid(writer, &status, 0), writer);
	run_start(world, &run, WORDS("-q", "open", "a", "--token-file", pipe));
	end = open(pipe, O_WRONLY); /* once it reads */
	assert_true(end >= 0);
	kill(run.pid, SIGINT);
	assert_int_equal(run_finish(&run), -1);
	close(end);
	unlink(pipe);
}

static void test_token_files__keep_their_token_to_themselves(void **state)
{
	const struct world *world = *state;
	char file[96], token[64] = "";
	struct stat status;
	struct run run;

	snprintf(file, sizeof(file), "%s/token", world->place);
	assert_int_equal(run_words(world, &run, WORDS("close", "a", "--json", "--token-file", file)), 0);
	assert_contains(run.output, "\"state\":\"closed\"");
	assert_int_equal(files_like(file, token), 1);
	assert_int_equal(strcspn(token, "\n"), 32);
	token[32] = '\0';
	assert_null(strstr(run.output, token));
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "a", "--token-file", file)), 0);
	unlink(file);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_files__hold_what_close_hands_out),
		cmocka_unit_test(test_token_files__open_does_not_say_of_a_gate_that_is_shut_that_it_is_open),
		cmocka_unit_test(test_token_files__stay_as_they_are_where_a_close_is_refused),
		cmocka_unit_test(test_token_files__may_be_pipes),
		cmocka_unit_test(test_token_files__keep_their_token_to_themselves),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
