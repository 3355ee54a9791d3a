/* What dies, and what lives on: clients, servers, their sessions. Each test has a stage of its own, for it breaks it. */
#include "support/stage.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Promised are 2 s. The rest is for a busy machine. */
#define SOON_NS 10000000000LL

/* Whether a registered session of that server holds the gate's lock exclusively. */
static const char held_by[] =
	"select exists (select from pg_locks l join deploy_gate.session s on s.pid = l.pid and s.ended_at is null"
	" where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and s.name = '%s' and s.role = "
	"'locks'"
	" and (l.classid::bigint << 32) | l.objid::bigint = deploy_gate.key('crash'))";

static int pid_of(struct stage *stage, const char *role)
{
	return (int)psql_number(&stage->admin,
		"select pid from deploy_gate.session where name = 'one' and role = '%s' and ended_at is null", role);
}

/* A window at the first server, with one job waiting at each. */
struct live {
	struct ask *window, *here, *there;
};

static struct live begin_live(struct stage *stage, const char *ttl)
{
	struct live live;

	live.window = post(stage, "/v1/gates/crash/close", "ttl=%s&token=" TOKEN("crash"), ttl);
	assert_answer(live.window, 201, NULL);
	live.here = http_begin(&stage->http, &stage->one, "GET /v1/gates/crash/wait?timeout=55s", NULL);
	live.there = http_begin(&stage->http, &stage->two, "GET /v1/gates/crash.below/wait?timeout=55s", NULL);
	await_jobs(stage, "crash", 1);
	await_jobs(stage, "crash.below", 1);
	return live;
}

static void assert_still_closed(struct stage *stage, const struct server *server, struct live *live)
{
	struct ask *ask = http_ask(&stage->http, server, "GET /v1/gates/crash", NULL);

	assert_answer(ask, 200, NULL);
	assert_text(ask, "state", "closed");
	assert_text(ask, "window.id", ask_text(live->window, "id"));
	assert_number(ask, "fence", ask_number(live->window, "fence"));
	assert_false(http_done(live->here) && live->here->status == 200);
	assert_false(http_done(live->there));
}

static void end_live(struct stage *stage, const struct server *server, struct live *live)
{
	assert_answer(http_ask(&stage->http, server, "POST /v1/gates/crash/open", "token=" TOKEN("crash")), 200, NULL);
	http_finish(live->here);
	http_finish(live->there);
	assert_answer(live->there, 200, NULL);
}

/* Runs a request in a process of its own. */
static pid_t spawn_client(struct stage *stage, const char *request, const char *body)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct http http;

		http_init(&http);
		http_ask(&http, &stage->one, request, body ? "%s" : NULL, body);
		_exit(0);
	}
	return pid;
}

static void kill_client(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_crash__of_a_client_that_waits(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "10m");
	pid_t job, deploy;

	job = spawn_client(stage, "GET /v1/gates/crash/wait?timeout=55s", NULL);
	await_jobs(stage, "crash", 2);
	kill_client(job);
	await_jobs(stage, "crash", 1);
	deploy = spawn_client(stage, "POST /v1/gates/crash/close", "wait=55s");
	await_deploys(stage, "crash", 1);
	kill_client(deploy);
	psql_until(&stage->admin, "select unclaimed_at is not null from deploy_gate.lease where state = 'queued'");
	assert_still_closed(stage, &stage->two, &live);
	end_live(stage, &stage->two, &live);
	assert_answer(live.here, 200, NULL);
}

/* Ended by whoever may: it comes back, the window and its lock with it, and nobody who waits notices. */
static void end_session(struct stage *stage, const char *role)
{
	struct live live = begin_live(stage, "10m");
	int pid = pid_of(stage, role);
	int64_t began_ns = clock_ns();

	psql_run(&stage->admin, "select pg_terminate_backend(%d, 5000)", pid);
	psql_until(&stage->admin, held_by, "one");
	assert_true(clock_ns() - began_ns < SOON_NS);
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.session where name = 'one' and role = '%s' and ended_at is "
		"null and pid <> %d)",
		role, pid);
	assert_still_closed(stage, &stage->two, &live);
	assert_false(live.here->done);
	while (get(stage, "/readyz")->status != 200)
		assert_true(clock_ns() - began_ns < 5 * SOON_NS);
	/* The session that came back has a row of its own, and that says again who waits. */
	await_jobs(stage, "crash", 1);
	end_live(stage, &stage->one, &live);
	assert_answer(live.here, 200, NULL);
}

static void test_crash__of_the_locks_session(void **state)
{
	end_session(*state, "locks");
}

static void test_crash__of_the_reads_session(void **state)
{
	end_session(*state, "reads");
}

static void test_crash__of_the_listen_session(void **state)
{
	end_session(*state, "listen");
}

/* The server dies and comes back under its name: the window is its own again. */
static void test_crash__of_a_server_that_comes_back(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "10s");
	int64_t began_ns;

	server_kill(&stage->one);
	http_finish(live.here);
	assert_int_equal(live.here->status, 0);
	server_release(&stage->one);
	began_ns = clock_ns();
	server_start(&stage->one, stage->db.conninfo, "one", NULL);
	psql_until(&stage->admin, held_by, "one");
	assert_true(clock_ns() - began_ns < SOON_NS);
	assert_still_closed(stage, &stage->one, &live);
	/* Its time to live ends it, and not before. */
	http_finish(live.there);
	assert_answer(live.there, 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select ending = 'expired' and ended_at - closed_at >= interval '10 s'"
		" from deploy_gate.lease where id = '%s'",
		ask_text(live.window, "id")));
}

/* It does not come back: the other takes its window over, with the lock, and the time to live ends it. */
static void test_crash__of_a_server_that_stays_away(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "20s");

	server_kill(&stage->one);
	psql_until(&stage->admin, held_by, "two");
	assert_still_closed(stage, &stage->two, &live);
	http_finish(live.there);
	assert_answer(live.there, 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select ending = 'expired' and ended_at - closed_at >= interval '20 s' from deploy_gate.lease"));
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/crash/close", NULL), 201, NULL);
}

/* A replica that is stopped in the middle of draining does not keep the gate shut for ever: its claim is not heard of. */
static void test_crash__of_a_server_that_hangs_while_its_window_drains(void **state)
{
	struct stage *stage = *state;
	struct psql job;
	struct ask *wait;

	psql_open(&job, &stage->db, "application_name=a-job");
	psql_run(&job, "select pg_advisory_lock_shared(deploy_gate.key('crash'))");
	http_begin(&stage->http, &stage->one, "POST /v1/gates/crash/close", "drain=10m");
	psql_until(&stage->admin, "select drain_until is not null from deploy_gate.lease where state = 'draining'");
	server_signal(&stage->one, SIGSTOP);
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/crash/wait?timeout=55s", NULL);
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	assert_true(psql_true(&stage->admin, "select ending = 'abandoned' from deploy_gate.lease"));
	server_signal(&stage->one, SIGCONT);
	psql_close(&job);
}

/* Nor does one that stands still beyond the time to live of its window: its lock goes where its lease went. */
static void test_crash__of_a_server_that_hangs_beyond_its_ttl(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "10s");
	int64_t deadline_ns;
	struct psql ann;

	server_signal(&stage->one, SIGSTOP);
	http_finish(live.there);
	assert_answer(live.there, 200, NULL);
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/crash/close", "ttl=10m&token=" TOKEN("next")),
		201, NULL);
	assert_answer(
		http_ask(&stage->http, &stage->two, "POST /v1/gates/crash/open", "token=" TOKEN("next")), 200, NULL);
	psql_open(&ann, &stage->db, NULL);
	assert_true(psql_true(&ann, "select pg_try_advisory_lock(deploy_gate.key('crash'))"));
	psql_close(&ann);
	server_signal(&stage->one, SIGCONT);
	http_finish(live.here);
	assert_answer(live.here, 200, NULL);
	deadline_ns = clock_ns() + 60000000000;
	while (post(stage, "/v1/gates/crash/close", "timeout=1s&token=" TOKEN("again"))->status / 100 != 2)
		assert_true(clock_ns() < deadline_ns);
}

/* TERM: it says 503 to who waits, hands its leases over, and exits 0. */
static void test_crash__none_but_a_clean_stop(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "10m");
	struct ask *queued =
		http_begin(&stage->http, &stage->one, "POST /v1/gates/crash/close", "wait=55s&token=" TOKEN("queued"));

	await_deploys(stage, "crash", 1);
	server_stop(&stage->one);
	http_finish(live.here);
	assert_answer(live.here, 503, "unavailable");
	assert_string_equal(ask_field(live.here, "Retry-After"), "1");
	http_finish(queued);
	assert_answer(queued, 503, "unavailable");
	psql_until(&stage->admin, held_by, "two");
	assert_still_closed(stage, &stage->two, &live);
	queued = http_begin(&stage->http, &stage->two, "POST /v1/gates/crash/close", "wait=55s&token=" TOKEN("queued"));
	end_live(stage, &stage->two, &live);
	http_finish(queued);
	assert_answer(queued, 201, NULL);
	assert_number(queued, "number", ask_number(live.window, "number") + 1);
}

/* A retried close after a crash has the effect of one. */
static void test_crash__and_a_close_again_elsewhere_is_the_same_window(void **state)
{
	struct stage *stage = *state;
	struct live live = begin_live(stage, "10m");
	struct ask *again;

	server_kill(&stage->one);
	again = http_ask(&stage->http, &stage->two, "POST /v1/gates/crash/close", "token=" TOKEN("crash"));
	assert_answer(again, 200, NULL);
	assert_number(again, "fence", ask_number(live.window, "fence"));
	end_live(stage, &stage->two, &live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(test_crash__of_a_client_that_waits),
		STAGE_TEST(test_crash__of_the_locks_session),
		STAGE_TEST(test_crash__of_the_reads_session),
		STAGE_TEST(test_crash__of_the_listen_session),
		STAGE_TEST(test_crash__of_a_server_that_comes_back),
		STAGE_TEST(test_crash__of_a_server_that_stays_away),
		STAGE_TEST(test_crash__of_a_server_that_hangs_while_its_window_drains),
		STAGE_TEST(test_crash__of_a_server_that_hangs_beyond_its_ttl),
		STAGE_TEST(test_crash__none_but_a_clean_stop),
		STAGE_TEST(test_crash__and_a_close_again_elsewhere_is_the_same_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
