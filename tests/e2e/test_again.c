/* Jobs that a deploy wants to end, ends, or breaks: what becomes of them, and whether they are run again. By the real client
 * against the real server. */
#include "unit/cases.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/proxy.h"
#include "support/run.h"

enum { WORDS_MAX = 5, FILE_MAX = 96 };

/* The first time a job makes its file $0, says that it is ready and goes on; the second time it is done. */
#define ONCE_DONE "echo start; test ! -e $0 || exit 0; touch $0; echo ready; "
#define UNTIL_DEPLOYED "until grep -q deployed $0; do sleep 0.05; done; "

/* A job and a deploy that comes while it runs. */
static const struct scene {
	const char *options[WORDS_MAX], *on_drain, *script;
	int code;	 /* of the job */
	unsigned starts; /* of its script */
	const char *said;
} scenes[] = {
	/* a deploy waits for it */
	{ { "--on-close", "stop" }, "abort", ONCE_DONE "sleep 30", 76, 1, "exit 76 (stopped): a deploy by " },
	{ { "--on-close", "stop", "--tries", "3" }, "abort", ONCE_DONE "sleep 30", 76, 1, "exit 76 (stopped)" },
	{ { "--on-close", "rerun" }, "abort", ONCE_DONE "sleep 30", 0, 2, "running it again" },
	{ { "--on-close", "rerun", "--tries", "1" }, "abort", ONCE_DONE "sleep 30", 76, 1, "exit 76 (stopped)" },
	{ { "--on-close", "stop", "--kill-after", "300ms" }, "abort",
		"trap '' TERM; echo start; echo ready; while :; do sleep 30 & wait; done", 76, 1, "exit 76 (stopped)" },
	/* and then has it stopped */
	{ { "--tries", "1" }, "stop", ONCE_DONE "sleep 30", 76, 1, "exit 76 (stopped): a deploy by " },
	{ { "--tries", "2" }, "stop", ONCE_DONE "sleep 30", 0, 2, "running it again" },
	/* or goes ahead over it */
	{ { "--tries", "2" }, "proceed", ONCE_DONE UNTIL_DEPLOYED "exit 3", 0, 2, "running it again" },
	{ { "--tries", "1" }, "proceed", ONCE_DONE UNTIL_DEPLOYED "exit 3", 3, 1, "the command goes on" },
	{ { "--tries", "2" }, "proceed", ONCE_DONE UNTIL_DEPLOYED "exit 0", 0, 1, "the command goes on" },
	{ { "--tries", "2" }, "proceed", ONCE_DONE UNTIL_DEPLOYED "kill -INT $$", 130, 1, "the command goes on" },
};

/* Runs the job, then the deploy, which writes into the job's file. */
static void play(const struct world *world, const struct scene *scene, const char *file)
{
	const char *words[24] = { "run", "a", "--kill-after", "5s" };
	bool waits = strcmp(scene->on_drain, "abort") == 0;
	struct run job, deploy;
	size_t count = 4;
	int code;

	for (size_t i = 0; i < WORDS_MAX && scene->options[i]; i++)
		words[count++] = scene->options[i];
	memcpy(words + count, WORDS("--", "sh", "-c", scene->script, file), 5 * sizeof(*words));
	run_start(world, &job, words);
	run_await(&job, "ready\n");
	run_start(world, &deploy,
		WORDS("deploy", "a", "--drain", waits ? "50s" : "400ms", "--on-drain", scene->on_drain, "--", "sh",
			"-c", "echo deployed >>$0", file));
	assert_int_equal(run_finish(&deploy), 0);
	code = run_finish(&job);
	if (code != scene->code || run_times(&job, "start\n") != scene->starts || !strstr(job.output, scene->said))
		fail_msg("%s, exit %d: %s", scene->script, code, job.output);
	unlink(file);
}

static void test_again__scenes(void **state)
{
	const struct world *world = *state;
	char file[FILE_MAX];

	snprintf(file, sizeof(file), "%s/file", world->place);
	for (size_t i = 0; i < COUNT(scenes); i++)
		play(world, &scenes[i], file);
}

static void test_again__what_fails_by_itself_is_not(void **state)
{
	static const char *const scripts[] = { "echo start; exit 3", "echo start; kill -KILL $$" };
	struct run run;

	for (size_t i = 0; i < COUNT(scripts); i++) {
		assert_int_not_equal(
			run_words(*state, &run, WORDS("run", "a", "--tries", "3", "--", "sh", "-c", scripts[i])), 0);
		assert_int_equal(run_times(&run, "start\n"), 1);
	}
}

/* A deploy that only waits for the job has broken nothing yet. */
static void test_again__nor_what_fails_while_a_deploy_waits(void **state)
{
	static const char script[] = "trap 'exit 3' USR1; echo start; echo ready; while :; do sleep 30 & wait $!; done";
	struct run job, deploy;

	run_start(*state, &job, WORDS("run", "a", "--tries", "3", "--", "sh", "-c", script));
	run_await(&job, "ready\n");
	run_start(*state, &deploy, WORDS("deploy", "a", "--", "true"));
	run_await(&job, "the command goes on\n");
	kill(job.pid, SIGUSR1);
	assert_int_equal(run_finish(&job), 3);
	assert_int_equal(run_times(&job, "start\n"), 1);
	assert_int_equal(run_finish(&deploy), 0);
}

/* Whoever ends a job that a deploy went over does not want it back. */
static void test_again__nor_what_somebody_ends(void **state)
{
	struct run job, deploy;

	run_start(*state, &job, WORDS("run", "a", "--tries", "3", "--", "sh", "-c", "echo start; exec sleep 30"));
	run_await(&job, "start\n");
	run_start(*state, &deploy, WORDS("deploy", "a", "--drain", "100ms", "--on-drain", "proceed", "--", "true"));
	assert_int_equal(run_finish(&deploy), 0);
	kill(job.pid, SIGTERM);
	assert_int_equal(run_finish(&job), 128 + SIGTERM);
	assert_int_equal(run_times(&job, "start\n"), 1);
}

static void await_status(const struct world *world, const char *text)
{
	struct run look;

	do
		assert_int_equal(run_words(world, &look, WORDS("status", "a", "--json")), 0);
	while (!strstr(look.output, text));
}

/* A pass that runs out while its wrapper is cut off, so that a deploy may have been there meanwhile. */
static void test_again__what_lost_its_pass_is(void **state)
{
	static const char script[] = ONCE_DONE "sleep 30";
	const struct world *world = *state;
	struct proxy proxy;
	struct run job;
	char url[FILE_MAX], file[FILE_MAX];

	snprintf(url, sizeof(url), "unix:%s", world->socket);
	snprintf(file, sizeof(file), "%s/file", world->place);
	proxy_start(&proxy, url);
	run_start(world, &job,
		WORDS("run", "a", "--url", proxy.url, "--ttl", "4s", "--tries", "2", "--", "sh", "-c", script, file));
	run_await(&job, "ready\n");
	proxy_cut(&proxy);
	await_status(world, "\"passes\":{\"count\":0");
	proxy_mend(&proxy);
	assert_int_equal(run_finish(&job), 0);
	assert_int_equal(run_times(&job, "start\n"), 2);
	assert_contains(job.output, "ending the command: ");
	unlink(file);
	proxy_release(&proxy);
}

/* The deploy stands still from before its first answer until the drain is over, and hears of that by asking again. */
static void test_again__a_drain_in_vain_is_told_late_too(void **state)
{
	const struct world *world = *state;
	struct run job, deploy;
	struct psql admin;

	run_start(*state, &job, WORDS("run", "a", "--", SELF, "record", "QUIT"));
	run_await(&job, "ready\n");
	run_start(*state, &deploy, WORDS("deploy", "a", "--drain", "1m", "--", "true"));
	await_status(*state, "\"state\":\"draining\"");
	kill(deploy.pid, SIGSTOP);
	psql_open(&admin, &world->db, NULL);
	psql_run(&admin, "update deploy_gate.lease set drain_until = clock_timestamp() where state = 'draining'");
	psql_until(&admin, "select not exists (select from deploy_gate.lease where state = 'draining')");
	psql_close(&admin);
	kill(deploy.pid, SIGCONT);
	assert_int_equal(run_finish(&deploy), 79);
	assert_contains(deploy.output, "exit 79 (drain_timeout): ");
	kill(job.pid, SIGQUIT);
	assert_int_equal(run_finish(&job), RECORDER_EXIT);
}

/* A job that was interrupted while it waited is soon listed no more; a place that is kept is for 15 s. */
static void test_again__an_interruption_gives_the_place_up(void **state)
{
	struct run holder, waiter;
	int64_t left_ms;

	run_start(*state, &holder, WORDS("deploy", "a", "--", SELF, "record", "QUIT"));
	run_await(&holder, "ready\n");
	run_start(*state, &waiter, WORDS("run", "a", "--", "echo", "ran"));
	run_await(&waiter, "waiting: ");
	await_status(*state, "\"jobs\":{\"count\":1");
	kill(waiter.pid, SIGINT);
	assert_int_equal(run_finish(&waiter), 128 + SIGINT);
	left_ms = now_ms();
	await_status(*state, "\"jobs\":{\"count\":0");
	assert_in_range(now_ms() - left_ms, 0, 12000);
	kill(holder.pid, SIGQUIT);
	assert_int_equal(run_finish(&holder), RECORDER_EXIT);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_again__scenes),
		cmocka_unit_test(test_again__what_fails_by_itself_is_not),
		cmocka_unit_test(test_again__nor_what_fails_while_a_deploy_waits),
		cmocka_unit_test(test_again__nor_what_somebody_ends),
		cmocka_unit_test(test_again__what_lost_its_pass_is),
		cmocka_unit_test(test_again__a_drain_in_vain_is_told_late_too),
		cmocka_unit_test(test_again__an_interruption_gives_the_place_up),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
