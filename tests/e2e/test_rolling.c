/* A rolling restart: two servers are replaced in turn while clients that know both go about their business. None of them fails, and
 * none that waits or holds something notices. */
#include "unit/cases.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/run.h"
#include "support/server.h"

enum {
	SERVERS = 2,
	ROUNDS = 2,
	WAITERS = 3,
	WORDS_MAX = 10,
	COMMANDS_MAX = 2,
	PATIENCE_MS = 120000,
	UNGUARDED_MS = 5000
};

/* What each user does over and over: commands that all end with 0. */
static const struct user {
	const char *commands[COMMANDS_MAX][WORDS_MAX];
} users[] = {
	{ { { "check", "free" } } },
	{ { { "wait", "free", "--wait", "1m" }, { "status" } } },
	{ { { "run", "busy.job", "--wait", "1m", "--", "true" } } },
	{ { { "run", "free.job", "--wait", "1m", "--", "true" } } },
	{ { { "deploy", "busy", "--wait", "1m", "--", "true" } } },
	{ { { "deploy", "busy", "--wait", "1m", "--", "true" } } },
	{ { { "close", "hand", "--wait", "1m" }, { "open", "hand" } } },
};
enum { USERS = COUNT(users) };

/* What those who watch and use tell the test, in memory that they share. */
struct told {
	unsigned done[USERS];	/* rounds of their commands */
	int64_t unguarded_ms;	/* the longest that nobody held the lock of the window */
};

struct rolling {
	struct world world;		/* without a server of its own */
	struct server servers[SERVERS];
	char listen[SERVERS][96];
	struct psql admin;
	struct told *told;
	int stop[2];			/* whoever reads here is to end once it is closed */
	pid_t users[USERS], watcher;
};

static void start(struct rolling *r, int i)
{
	static const char *const names[SERVERS] = { "one", "two" };

	server_start(&r->servers[i], r->world.db.conninfo, names[i],
		(const char *const[]){ "--listen", r->listen[i], "--leave-delay", "200ms", NULL });
}

static int setup(void **state)
{
	struct rolling *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	*state = r;
	r->world.client = getenv("DEPLOY_GATE_BIN");
	snprintf(r->world.place, sizeof(r->world.place), "/tmp/test-rolling-XXXXXX");
	assert_true(r->world.client && mkdtemp(r->world.place));
	assert_true(readlink("/proc/self/exe", r->world.self, sizeof(r->world.self) - 1) > 0);
	setenv("DEPLOY_GATE_STATE_DIR", r->world.place, 1);
	db_create(&r->world.db);
	psql_open(&r->admin, &r->world.db, NULL);
	r->told = mmap(NULL, sizeof(*r->told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(r->told != MAP_FAILED);
	assert_int_equal(pipe2(r->stop, O_CLOEXEC), 0);
	for (int i = 0; i < SERVERS; i++) {
		snprintf(r->listen[i], sizeof(r->listen[i]), "unix:%s/%d.sock", r->world.place, i);
		start(r, i);
	}
	return 0;
}

/* With the tokens that clients left there. */
static void remove_place(const char *place)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("rm", "rm", "-rf", place, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int teardown(void **state)
{
	struct rolling *r = *state;
	for (int i = 0; i < SERVERS; i++)
		server_release(&r->servers[i]);
	psql_close(&r->admin);
	db_drop(&r->world.db);
	munmap(r->told, sizeof(*r->told));
	remove_place(r->world.place);
	free(r);
	return 0;
}

/* Which server is tried first differs. */
static void know_both(const struct rolling *r, bool other_way)
{
	char urls[256];

	snprintf(urls, sizeof(urls), "%s,%s", r->listen[other_way], r->listen[!other_way]);
	setenv("DEPLOY_GATE_URL", urls, 1);
}

static bool is_stopped(const struct rolling *r)
{
	return poll(&(struct pollfd){ .fd = r->stop[0], .events = POLLIN }, 1, 0) != 0;
}

/* In a process of its own; gives its exit code, having shown what a command that failed has said. */
static int use(const struct rolling *r, const struct user *user, unsigned *done)
{
	for (; !is_stopped(r); ++*done) {
		for (int i = 0; i < COMMANDS_MAX && user->commands[i][0]; i++) {
			struct run run;
			int code = run_words(&r->world, &run, user->commands[i]);

			if (code == 0)
				continue;
			fprintf(stderr, "%s %s: exit %d: %s\n", user->commands[i][0],
				user->commands[i][1] ? user->commands[i][1] : "", code, run.output);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

static const char lock_is_held[] =
	"select exists (select from deploy_gate.locks where gate = 'held' and mode = 'exclusive' and granted)";

/* In a process of its own: looks whether the lock of the window is held, for as long as the servers roll. */
static int watch(const struct rolling *r)
{
	struct psql psql = { 0 };
	int64_t held_ms = now_ms();

	psql_open(&psql, &r->world.db, NULL);
	while (!is_stopped(r)) {
		if (!psql_true(&psql, lock_is_held))
			continue;
		if (now_ms() - held_ms > r->told->unguarded_ms)
			r->told->unguarded_ms = now_ms() - held_ms;
		held_ms = now_ms();
	}
	return EXIT_SUCCESS;
}

/* number: of the user; -1: it watches. */
static pid_t spawn(const struct rolling *r, int number)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(r->stop[1]);
		know_both(r, number % 2);
		_exit(number < 0 ? watch(r) : use(r, &users[number], &r->told->done[number]));
	}
	return pid;
}

/* Each user has done all its commands once more. */
static void await_users(const struct rolling *r)
{
	int64_t end_ms = now_ms() + PATIENCE_MS;

	for (int i = 0; i < USERS; i++) {
		/* Twice: the first round may have begun before. */
		unsigned wanted = *(volatile unsigned *)&r->told->done[i] + 2;

		while (*(volatile unsigned *)&r->told->done[i] < wanted && waitpid(r->users[i], NULL, WNOHANG) == 0)
			if (now_ms() > end_ms)
				fail_msg("user %d, who begins with %s, does not get on", i, users[i].commands[0][0]);
	}
}

static void roll(struct rolling *r)
{
	for (int i = 0; i < ROUNDS * SERVERS; i++) {
		server_stop(&r->servers[i % SERVERS]);
		await_users(r);
		server_release(&r->servers[i % SERVERS]);
		start(r, i % SERVERS);
	}
}

static void test_rolling_restart__fails_nobody(void **state)
{
	struct rolling *r = *state;
	struct run deploy, job, queued, waiters[WAITERS];

	know_both(r, false);
	run_start(&r->world, &deploy, WORDS("deploy", "held", "--", SELF, "record", "TERM"));
	run_await(&deploy, "ready");
	know_both(r, true);
	run_start(&r->world, &job, WORDS("run", "kept", "--", SELF, "record", "TERM"));
	run_await(&job, "ready");
	run_start(&r->world, &queued, WORDS("deploy", "held.below", "--wait", "10m", "--", "true"));
	for (int i = 0; i < WAITERS; i++) {
		know_both(r, i % 2);
		run_start(&r->world, &waiters[i], WORDS("wait", "held", "--wait", "10m"));
		run_await(&waiters[i], "waiting: ");
	}
	for (int i = 0; i < USERS; i++)
		r->users[i] = spawn(r, i);
	r->watcher = spawn(r, -1);
	roll(r);
	close(r->stop[1]);
	for (int i = 0; i < USERS; i++) {
		int status;

		assert_int_equal(waitpid(r->users[i], &status, 0), r->users[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(waitpid(r->watcher, NULL, 0), r->watcher);
	print_message("the lock of a live window was free for %lld ms at most\n", (long long)r->told->unguarded_ms);
	assert_true(r->told->unguarded_ms < UNGUARDED_MS);
	/* Each handed over what it guarded, and none was found dead. */
	assert_int_equal(
		psql_number(&r->admin,
			"select count(*) from deploy_gate.session where role = 'locks' and end_reason = 'left'"),
		ROUNDS * SERVERS);
	assert_false(
		psql_true(&r->admin, "select exists (select from deploy_gate.session where end_reason like 'died%%')"));
	kill(deploy.pid, SIGTERM);
	assert_int_equal(run_finish(&deploy), RECORDER_EXIT);
	for (int i = 0; i < WAITERS; i++)
		assert_int_equal(run_finish(&waiters[i]), 0);
	assert_int_equal(run_finish(&queued), 0);
	kill(job.pid, SIGTERM);
	assert_int_equal(run_finish(&job), RECORDER_EXIT);
	assert_int_equal(run_times(&deploy, "lost") + run_times(&job, "lost"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rolling_restart__fails_nobody),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, setup, teardown);
}
