/* What each command answers, with which exit code and which last line: scenes of the real client and the real server. */
#include "unit/cases.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/proxy.h"
#include "support/run.h"

enum { WORDS_MAX = 10 };

struct step {
	const char *words[WORDS_MAX]; /* the first may be NAME=VALUE for the environment of this step */
	int code;
	const char *said; /* is in the output; NULL: there is no output */
};

/* Runs one step, whose first word may be a setting of the environment; that is then as it was. */
static int perform(const struct world *world, const struct step *step, struct run *run)
{
	const char *setting = strchr(step->words[0], '=') ? step->words[0] : NULL, *before;
	char name[64] = "", old[256] = "";
	int code;

	if (!setting)
		return run_words(world, run, step->words);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(setting, "="), setting);
	before = getenv(name);
	snprintf(old, sizeof(old), "%s", before ? before : "");
	setenv(name, setting + strlen(name) + 1, 1);
	code = run_words(world, run, step->words + 1);
	setenv(name, old, 1);
	return code;
}

static void play(const struct world *world, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct step *step = &steps[i];
		struct run run;
		int code = perform(world, step, &run);

		if (code != step->code)
			fail_msg("step %zu, %s: exit %d, not %d: %s", i, step->words[0], code, step->code, run.output);
		if (strstr(run.output, "wait=") || (strstr(run.output, "timeout=") && run.output[0] != '{'))
			fail_msg("what to do is said in the words of HTTP: %s", run.output);
		if (step->said)
			assert_contains(run.output, step->said);
		else
			assert_string_equal(run.output, "");
	}
}

#define PLAY(steps) play(*state, steps, COUNT(steps))

static void test_commands__from_close_to_open(void **state)
{
	static const struct step steps[] = {
		{ { "check", "a" }, 0, "open\n" },
		{ { "-q", "check", "a" }, 0, NULL },
		{ { "close", "a", "--reason", "new schema" }, 0, "" },
		{ { "check", "a" }, 1, "closed\ndeploy-gate: exit 1 (closed): " },
		{ { "check", "a.b" }, 1, "new schema" },
		{ { "check", "a.b" }, 1, ". `deploy-gate wait a` waits until it opens\n" },
		{ { "check", "-q", "a" }, 1, NULL },
		{ { "check", "-q", "-E", "9", "a" }, 9, NULL },
		{ { "check", "--json", "a" }, 1, "\"code\":\"closed\"" },
		{ { "wait", "a", "--wait", "100ms" }, 75, "deploy-gate: exit 75 (closed): " },
		{ { "run", "a", "--timeout", "100ms", "--", "echo", "ran" }, 75, "exit 75 (closed): " },
		{ { "-E3", "run", "a", "--wait", "0s", "--", "true" }, 3, "exit 3 (closed): " },
		{ { "close", "a" }, 75, "exit 75 (held): this session has closed a already" },
		{ { "DEPLOY_GATE_SESSION=another", "close", "a" }, 75, "new schema" },
		{ { "DEPLOY_GATE_SESSION=another", "close", "a.b" }, 75,
			"dead: `deploy-gate open a --force --reason WHY`\n" },
		{ { "deploy", "a.b", "--wait", "100ms", "--", "true" }, 75, "exit 75 (held): " },
		{ { "reason", "a", "newer schema" }, 0, NULL },
		{ { "status", "a" }, 0, "newer schema" },
		{ { "renew", "a", "--ttl", "20m" }, 0, "a stays shut for 20m" },
		{ { "CI_JOB_ID=77", "open", "a" }, 64, "exit 64 (usage): no close of a is remembered" },
		{ { "open", "a" }, 0, "a is open" },
		{ { "open", "a" }, 64, "exit 64 (usage): " },
		{ { "renew", "a" }, 64, "exit 64 (usage): " },
		{ { "check", "a" }, 0, "open\n" },
		{ { "history", "a", "--kind", "closed", "--limit", "1" }, 0, "new schema" },
	};

	PLAY(steps);
}

static void test_commands__what_ended_is_said_to_have_ended(void **state)
{
	static const struct step steps[] = {
		{ { "close", "ends", "--ttl", "300ms" }, 0, "" },
		{ { "-q", "wait", "ends" }, 0, NULL },
		{ { "renew", "ends" }, 76, "exit 76 (gone): " },
		{ { "open", "ends" }, 76, "exit 76 (gone): " },
		{ { "open", "ends" }, 64, "exit 64 (usage): " },
		{ { "close", "ends" }, 0, "" },
		{ { "open", "ends", "--force" }, 64, "--reason" },
		{ { "open", "ends", "--force", "--reason", "a test", "--failed" }, 64, "takes no --failed" },
		{ { "open", "ends", "--force", "--reason", "a test", "--token-file", "f" }, 64,
			"takes no --token-file" },
		{ { "open", "ends", "--force", "--reason", "a test" }, 0, "ends is open" },
		{ { "open", "ends", "--force", "--reason", "a test" }, 0, "ends is open" },
		{ { "open", "ends" }, 76, "a test" },
	};

	PLAY(steps);
}

static void test_commands__a_failed_deploy_may_leave_it_crashed(void **state)
{
	static const struct step steps[] = {
		{ { "-q", "deploy", "c", "--on-failure", "hold", "--", "false" }, 1, NULL },
		{ { "check", "c" }, 1, "crashed\n" },
		{ { "deploy", "c", "--on-failure", "hold", "--", "true" }, 0, NULL },
		{ { "check", "c" }, 0, "open\n" },
		{ { "-q", "deploy", "c", "--", "false" }, 1, NULL },
		{ { "check", "c" }, 0, "open\n" },
	};

	PLAY(steps);
}

static void test_commands__a_plain_sql_holder_is_named(void **state)
{
	static const struct step shut[] = {
		{ { "status", "a" }, 0, "SQL: somebody (pid " },
		{ { "check", "a" }, 1, "plain SQL" },
		{ { "deploy", "a", "--wait", "10ms", "--", "true" }, 75, "exit 75 (held): " },
	}, opened[] = {
		{ { "-q", "wait", "a" }, 0, NULL },
	};
	const struct world *world = *state;
	struct psql psql;

	psql_open(&psql, &world->db, "application_name=somebody");
	psql_run(&psql, "select pg_advisory_lock(deploy_gate.key('a'))");
	PLAY(shut);
	psql_close(&psql);
	PLAY(opened);
}

static void test_commands__token_files(void **state)
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
static void test_commands__a_refused_close_leaves_the_token_file(void **state)
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
static void test_commands__a_token_from_a_pipe(void **state)
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

static void test_commands__a_token_in_a_file_is_not_printed(void **state)
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

static void test_commands__what_is_not_known_warns(void **state)
{
	static const struct step steps[] = {
		{ { "check", "never.seen" }, 0, "nobody ever closed or declared never.seen" },
		{ { "wait", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "run", "never.seen", "--require-known", "--", "echo", "ran" }, 64, "exit 64 (not_found): " },
		{ { "close", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "status", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "explain", "never.seen" }, 0, "is the name right?\nnever.seen is open.\n" },
		{ { "explain", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "history", "never.seen" }, 0, "is the name right?\n" },
		{ { "history", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "open", "never.seen", "--force", "--reason", "a test" }, 0, "is the name right?\n" },
		{ { "open", "never.seen", "--force", "--reason", "a test", "--require-known" }, 64, "(not_found): " },
		{ { "gate", "never.seen" }, 0, "is the name right?\nSETTING" },
		{ { "gate", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "gate", "never.seen", "--limit", "1", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "gate", "never.seen", "--reset", "--require-known" }, 64, "exit 64 (not_found): " },
		{ { "-q", "check", "never.seen", "--require-known" }, 64, "exit 64 (not_found): " },
	};

	PLAY(steps);
}

#define NOBODY "unix:/nonexistent/gate"

static void test_commands__out_of_reach(void **state)
{
	char both[128];

	snprintf(both, sizeof(both), NOBODY ",%s", getenv("DEPLOY_GATE_URL"));
	const struct step steps[] = {
		{ { "--url", NOBODY, "check", "a", "--reach", "300ms" }, 69,
			"exit 69 (unavailable): could not reach " NOBODY },
		{ { "--url", NOBODY, "wait", "a", "--wait", "300ms" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "run", "a", "--wait", "0s", "--", "true" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "deploy", "a", "--reach", "0s", "--", "true" }, 69, "exit 69 (unavailable): " },
		{ { "--url", NOBODY, "run", "a", "--wait", "0s", "--on-unreachable=run", "--", "echo", "ran" }, 0,
			"ran\n" },
		{ { "--url", both, "check", "a" }, 0, "open\n" },
	};

	PLAY(steps);
}

/* Who takes connections and never answers is left for the next before long. */
static void test_commands__addresses_that_hang(void **state)
{
	const struct world *world = *state;
	struct proxy hung;
	struct run run;
	char urls[256];

	proxy_start(&hung, getenv("DEPLOY_GATE_URL"));
	proxy_stall(&hung);
	snprintf(urls, sizeof(urls), "%s,%s,%s,%s", hung.url, hung.url, hung.url, getenv("DEPLOY_GATE_URL"));
	assert_int_equal(run_words(world, &run, WORDS("--url", urls, "-q", "deploy", "a", "--", "echo", "through")), 0);
	assert_string_equal(run.output, "through\n");
	proxy_release(&hung);
}

static void test_commands__configuration(void **state)
{
	static const struct step steps[] = {
		{ { "DEPLOY_GATE_URL=gate", "check", "a" }, 78, "exit 78 (configuration): DEPLOY_GATE_URL: " },
		{ { "--url", "gate", "check", "a" }, 64, "exit 64 (usage): --url: " },
		{ { "DEPLOY_GATE_ACCESS_TOKEN=secret", "--url", "http://gate.example", "check", "a" }, 78,
			"--plain-http" },
		{ { "check", "a", "--access-token-file", "/nonexistent" }, 78, "cannot read /nonexistent" },
		{ { "DEPLOY_GATE_STATE_DIR=/dev/null", "close", "a" }, 78, "exit 78 (configuration): cannot remember" },
		{ { "check" }, 64, "exit 64 (usage): deploy-gate check wants: GATES" },
		{ { "check", "a..b" }, 64, "exit 64 (bad_request): " },
		{ { "chekc", "a" }, 64, "did you mean check?" },
		{ { "run", "a" }, 64, "behind --" },
		{ { "check", "a", "--", "true" }, 64, "runs no command" },
		{ { "check", "a", "--unknown" }, 64, "unknown option --unknown" },
		{ { "--version" }, 0, "deploy-gate " },
		{ { "--help" }, 0, "Commands:" },
		{ { "deploy", "--help" }, 0, "--on-silence" },
		{ { "help" }, 0, "Commands:" },
		{ { "help", "deploy" }, 0, "--on-silence" },
		{ { "help", "chekc" }, 64, "did you mean check?" },
	};

	PLAY(steps);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands__from_close_to_open),
		cmocka_unit_test(test_commands__what_ended_is_said_to_have_ended),
		cmocka_unit_test(test_commands__a_failed_deploy_may_leave_it_crashed),
		cmocka_unit_test(test_commands__a_plain_sql_holder_is_named),
		cmocka_unit_test(test_commands__token_files),
		cmocka_unit_test(test_commands__a_refused_close_leaves_the_token_file),
		cmocka_unit_test(test_commands__a_token_from_a_pipe),
		cmocka_unit_test(test_commands__a_token_in_a_file_is_not_printed),
		cmocka_unit_test(test_commands__what_is_not_known_warns),
		cmocka_unit_test(test_commands__out_of_reach),
		cmocka_unit_test(test_commands__addresses_that_hang),
		cmocka_unit_test(test_commands__configuration),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
