/* Leases of run and deploy while something breaks: the wrapper, the network, the service. By the real client against the
 * real server. */
#include "unit/cases.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "support/proxy.h"
#include "support/run.h"
#include "support/server.h"

/* Lets time pass where that is what the test is about. */
static void pass_time(int64_t ms)
{
	const struct timespec length = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

static int check(const struct world *world, const char *gate)
{
	struct run run;

	return run_words(world, &run, WORDS("check", "-q", gate));
}

static void test_attached__a_lease_lives_as_long_as_its_wrapper_and_little_longer(void **state)
{
	struct run run, waiter;
	int status;

	run_start(*state, &run, WORDS("deploy", "killed", "--ttl", "5s", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	pass_time(6000);
	assert_int_equal(check(*state, "killed"), 1);
	kill(run.pid, SIGKILL);
	assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
	assert_int_equal(check(*state, "killed"), 1);
	assert_int_equal(run_words(*state, &waiter, WORDS("-q", "wait", "killed", "--wait", "50s")), 0);
	run_await(&run, "got TERM\n");
}

static void test_attached__the_pass_of_a_killed_wrapper_keeps_nobody_waiting_for_long(void **state)
{
	struct run run, deploy;
	int status;

	run_start(*state, &run, WORDS("run", "killed.job", "--ttl", "6s", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	kill(run.pid, SIGKILL);
	assert_int_equal(waitpid(run.pid, &status, 0), run.pid);
	assert_int_equal(run_words(*state, &deploy, WORDS("-q", "deploy", "killed", "--", "echo", "through")), 0);
	assert_contains(deploy.output, "through\n");
	run_await(&run, "got TERM\n");
}

static void test_attached__a_deploy_ends_before_the_max_of_its_lease(void **state)
{
	struct run run;

	assert_int_equal(run_words(*state, &run,
				 WORDS("deploy", "long", "--max", "8s", "--ttl", "6s", "--", SELF, "record", "TERM")),
		76);
	assert_contains(run.output, "got TERM\n");
	assert_contains(run.output, "exit 76 (lost): the lease has reached its max");
}

/* Stopped for longer than its lease may live in silence, a wrapper knows nothing when it goes on. */
static void test_attached__a_wrapper_that_stood_still_ends_its_command(void **state)
{
	struct run run;

	run_start(*state, &run, WORDS("deploy", "stood", "--ttl", "6s", "--", SELF, "record", "TERM"));
	run_await(&run, "ready\n");
	kill(run.pid, SIGSTOP);
	pass_time(7500);
	kill(run.pid, SIGCONT);
	assert_int_equal(run_finish(&run), 76);
	assert_contains(run.output, "exit 76 (lost): ");
}

static const struct broken {
	const char *command, *gate;
	bool cut;
} broken[] = {
	{ "deploy", "stalled", false },
	{ "deploy", "cut", true },
	{ "run", "job.stalled", false },
	{ "run", "job.cut", true },
};

static void test_attached__a_network_break_of_5_s_costs_nothing(void **state)
{
	const struct world *world = *state;
	struct proxy stalled, cut;
	struct run runs[COUNT(broken)];
	char url[128];

	snprintf(url, sizeof(url), "unix:%s", world->socket);
	proxy_start(&stalled, url);
	proxy_start(&cut, url);
	for (size_t i = 0; i < COUNT(broken); i++) {
		run_start(world, &runs[i],
			WORDS(broken[i].command, broken[i].gate, "--url", broken[i].cut ? cut.url : stalled.url, "--",
				SELF, "record", "QUIT"));
		run_await(&runs[i], "ready\n");
	}
	proxy_stall(&stalled);
	proxy_cut(&cut);
	pass_time(5000);
	proxy_go_on(&stalled);
	proxy_mend(&cut);
	pass_time(6500);
	assert_int_equal(check(world, "stalled"), 1);
	assert_int_equal(check(world, "cut"), 1);
	for (size_t i = 0; i < COUNT(broken); i++) {
		kill(runs[i].pid, SIGQUIT);
		assert_int_equal(run_finish(&runs[i]), RECORDER_EXIT);
		assert_int_equal(run_times(&runs[i], "got "), 1);
	}
	proxy_release(&stalled);
	proxy_release(&cut);
}

/* One way in which a server goes. */
struct way {
	int signal;
	const char *gate, *job;
	struct server server;
	struct run runs[2];
};

static void begin_at(const struct world *world, struct way *way)
{
	char urls[160];

	server_start(&way->server, world->db.conninfo, way->gate, NULL);
	snprintf(urls, sizeof(urls), "%s,unix:%s", way->server.url, world->socket);
	run_start(world, &way->runs[0],
		WORDS("deploy", way->gate, "--ttl", "15s", "--url", urls, "--", SELF, "record", "QUIT"));
	run_start(world, &way->runs[1],
		WORDS("run", way->job, "--ttl", "15s", "--url", urls, "--", SELF, "record", "QUIT"));
	for (size_t i = 0; i < COUNT(way->runs); i++)
		run_await(&way->runs[i], "ready\n");
}

static void test_attached__another_server_takes_over(void **state)
{
	struct way ways[] = {
		{ .signal = SIGKILL, .gate = "moved.kill", .job = "job.kill" },
		{ .signal = SIGSTOP, .gate = "moved.stop", .job = "job.stop" },
		{ .signal = SIGTERM, .gate = "moved.term", .job = "job.term" },
	};

	for (size_t i = 0; i < COUNT(ways); i++)
		begin_at(*state, &ways[i]);
	for (size_t i = 0; i < COUNT(ways); i++)
		server_signal(&ways[i].server, ways[i].signal);
	pass_time(16500);
	for (size_t i = 0; i < COUNT(ways); i++) {
		assert_int_equal(check(*state, ways[i].gate), 1);
		for (size_t j = 0; j < COUNT(ways[i].runs); j++) {
			kill(ways[i].runs[j].pid, SIGQUIT);
			assert_int_equal(run_finish(&ways[i].runs[j]), RECORDER_EXIT);
			assert_int_equal(run_times(&ways[i].runs[j], "got "), 1);
		}
		server_release(&ways[i].server);
	}
}

static const struct outage {
	const char *command, *gate, *on_silence;
	int code;
	const char *said;
} outages[] = {
	{ "deploy", "out.stop", "stop", 76, "got TERM\n" },
	{ "deploy", "out.finish", "finish", RECORDER_EXIT, "the lease has not run out\n" },
	{ "run", "job.out", "finish", RECORDER_EXIT, "the lease has not run out\n" },
	{ "run", "job.out.stop", "stop", 76, "got TERM\n" },
};

/* Of an outage in which nobody could renew nothing counts, so what went on in it still has its lease. */
static void test_attached__an_outage_longer_than_the_ttl(void **state)
{
	const struct world *world = *state;
	struct run runs[COUNT(outages)];

	for (size_t i = 0; i < COUNT(outages); i++) {
		run_start(world, &runs[i],
			WORDS(outages[i].command, outages[i].gate, "--ttl", "8s", "--on-silence", outages[i].on_silence,
				"--", SELF, "record", outages[i].code == 76 ? "TERM" : "QUIT"));
		run_await(&runs[i], "ready\n");
	}
	kill(world->server, SIGSTOP);
	pass_time(11500);
	kill(world->server, SIGCONT);
	for (size_t i = 0; i < COUNT(outages); i++) {
		run_await(&runs[i], outages[i].said);
		assert_int_equal(run_times(&runs[i], "the command goes on\n"), outages[i].code != 76);
		if (outages[i].code != 76)
			kill(runs[i].pid, SIGQUIT);
		assert_int_equal(run_finish(&runs[i]), outages[i].code);
	}
}

static const struct departed {
	const char *command, *gate;
	int64_t most_ms;
} departed[] = {
	{ "run", "job.departed", 30000 },
	{ "deploy", "departed", 30000 },
};

/* What lapses by itself is not worth the whole reach, which for run is all of --wait. */
static void test_attached__who_is_done_does_not_wait_for_a_server_that_is_gone(void **state)
{
	const struct world *world = *state;
	struct proxy proxy;
	struct run runs[COUNT(departed)];
	int64_t done_ms;
	char url[128];

	snprintf(url, sizeof(url), "unix:%s", world->socket);
	proxy_start(&proxy, url);
	for (size_t i = 0; i < COUNT(departed); i++) {
		run_start(world, &runs[i],
			WORDS(departed[i].command, departed[i].gate, "--ttl", "8s", "--url", proxy.url, "--", SELF,
				"record", "QUIT"));
		run_await(&runs[i], "ready\n");
	}
	proxy_cut(&proxy);
	done_ms = now_ms();
	for (size_t i = 0; i < COUNT(departed); i++)
		kill(runs[i].pid, SIGQUIT);
	for (size_t i = 0; i < COUNT(departed); i++) {
		assert_int_equal(run_finish(&runs[i]), RECORDER_EXIT);
		assert_in_range(now_ms() - done_ms, 0, departed[i].most_ms);
		assert_int_equal(run_times(&runs[i], "could not be "), 1);
	}
	proxy_release(&proxy);
}

/* The pass is granted, and its holder never learns of it. One that is listed for so long is in its second request, which
 * waits for longer. */
static void lose_the_answer(const struct world *world, struct proxy *proxy)
{
	struct psql admin;
	struct run run;

	psql_open(&admin, &world->db, NULL);
	psql_until(&admin,
		"select (deploy_gate.waiting_jobs_json('job.unseen', clock_timestamp(), false)"
		" #>> '{oldest,0,since_ago_ms}')::bigint > 4000");
	proxy_stall(proxy);
	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "job.unseen")), 0);
	psql_until(&admin,
		"select exists (select from deploy_gate.lease where gates = '{job.unseen}' and state = 'inside')");
	psql_close(&admin);
	proxy_cut(proxy);
}

static void test_attached__a_pass_of_which_nobody_learnt_ends_with_the_job(void **state)
{
	const struct world *world = *state;
	struct proxy proxy;
	struct psql admin;
	struct run run;
	char url[128];

	snprintf(url, sizeof(url), "unix:%s", world->socket);
	proxy_start(&proxy, url);
	assert_int_equal(run_words(world, &run, WORDS("-q", "close", "job.unseen")), 0);
	run_start(world, &run,
		WORDS("run", "job.unseen", "--ttl", "10m", "--reach", "1s", "--on-unreachable", "run", "--url",
			proxy.url, "--", SELF, "record", "QUIT"));
	run_await(&run, "waiting: ");
	lose_the_answer(world, &proxy);
	run_await(&run, "ready\n");
	proxy_mend(&proxy);
	kill(run.pid, SIGQUIT);
	assert_int_equal(run_finish(&run), RECORDER_EXIT);
	psql_open(&admin, &world->db, NULL);
	psql_until(&admin,
		"select ending = 'released' from deploy_gate.lease where gates = '{job.unseen}' and kind = 'pass'");
	psql_close(&admin);
	proxy_release(&proxy);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attached__a_lease_lives_as_long_as_its_wrapper_and_little_longer),
		cmocka_unit_test(test_attached__the_pass_of_a_killed_wrapper_keeps_nobody_waiting_for_long),
		cmocka_unit_test(test_attached__a_deploy_ends_before_the_max_of_its_lease),
		cmocka_unit_test(test_attached__a_wrapper_that_stood_still_ends_its_command),
		cmocka_unit_test(test_attached__a_network_break_of_5_s_costs_nothing),
		cmocka_unit_test(test_attached__another_server_takes_over),
		cmocka_unit_test(test_attached__an_outage_longer_than_the_ttl),
		cmocka_unit_test(test_attached__who_is_done_does_not_wait_for_a_server_that_is_gone),
		cmocka_unit_test(test_attached__a_pass_of_which_nobody_learnt_ends_with_the_job),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
