/* Commits that wait for a synchronous standby which is not there: nobody knows how they come out, nobody may end them, and they
 * must not use up the connections. */
#include "support/private.h"

#include <signal.h>
#include <stdio.h>

#define CLOSE(word) "timeout=3s&ttl=10m&token=" TOKEN(word)

static const char waiting[] = "select coalesce(min(pid), 0) from pg_stat_activity"
			      " where application_name = 'deploy-gated/locks' and wait_event = 'SyncRep'";
static const char begin_failed[] = "event=batch_failed";
static const char sessions[] = "select string_agg(pid::text, ' ' order by pid) from pg_stat_activity"
			       " where application_name like 'deploy-gated/%'";

/* From now on commits wait for this standby, or with "" for none. */
static void await_standby(struct stage *stage, const char *name)
{
	psql_run(&stage->admin, "alter system set synchronous_standby_names = '%s'", name);
	psql_run(&stage->admin, "select pg_reload_conf()");
}

/* Returns once a commit waits for a standby: PostgreSQL takes its time to heed the setting. */
static void lose_standby(struct stage *stage)
{
	bool waits = false;

	await_standby(stage, "nobody");
	while (!waits) {
		struct psql probe;

		psql_open(&probe, &stage->db, NULL);
		psql_send(&probe, "select pg_logical_emit_message(true, 'test', '')");
		while (!waits && psql_busy(&probe))
			waits = psql_true(&stage->admin,
				"select wait_event = 'SyncRep' from pg_stat_activity where pid = %d", probe.pid);
		psql_close(&probe);
	}
}

/* Begins a close whose commit comes to wait for a standby: in a batch of which nothing got through before. Gives the backend,
 * and notes when. */
static int close_without_standby(struct stage *stage, const char *body, struct ask **close)
{
	int64_t deadline_ns = clock_ns() + 60000000000;
	struct psql holder;
	unsigned before;

	psql_open(&holder, &stage->db, NULL);
	psql_run(&holder, "begin; select from deploy_gate.service for update");
	*close = http_begin(&stage->http, &stage->one, "POST /v1/gates/standby/close", "%s", body);
	before = server_logged(&stage->one, begin_failed);
	for (; server_logged(&stage->one, begin_failed) < before + 2; http_done(*close))
		assert_true(clock_ns() < deadline_ns);
	lose_standby(stage);
	psql_run(&holder, "rollback");
	psql_close(&holder);
	psql_until(&stage->admin, "select (%s) > 0", waiting);
	psql_run(&stage->admin, "select set_config('test.since', clock_timestamp()::text, false)");
	return (int)psql_number(&stage->admin, waiting);
}

/* For some seconds nothing comes of it: the same backend waits, and there are never more connections than these. */
static void assert_stays(struct stage *stage, int pid, int most)
{
	for (int64_t until_ns = clock_ns() + 5000000000; clock_ns() < until_ns;) {
		assert_int_equal(psql_number(&stage->admin, waiting), pid);
		assert_in_range(psql_number(&stage->admin,
					"select count(*) from pg_stat_activity where application_name like "
					"'deploy-gated/%%'"),
			1, most);
	}
}

/* The same token has the same lease, and there is one. 200, or 201 where it was noted in time that nobody had been told of it. */
static void assert_came_through(struct stage *stage, const struct server *server, const char *body)
{
	struct ask *again = http_ask(&stage->http, server, "POST /v1/gates/standby/close", "%s", body);

	assert_answer(again, again->status == 201 ? 201 : 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select count(*) = 1 and min(id) = '%s' and bool_and(created_at < "
		"current_setting('test.since')::timestamptz)"
		" from deploy_gate.lease where state = 'closed'",
		ask_text(again, "id")));
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.locks where gate = 'standby' and mode = 'exclusive' and "
		"granted)");
}

/* The simpler way: to close a session whose answer is late, and to connect again. Each one that was given up stays. */
static void test_syncrep__a_late_commit_is_waited_for(void **state)
{
	struct stage *stage = *state;
	char before[256];
	struct ask *close;
	int pid;

	snprintf(before, sizeof(before), "%s", psql_value(&stage->admin, "%s", sessions));
	pid = close_without_standby(stage, CLOSE("late"), &close);
	http_finish(close);
	assert_answer(close, 503, "unavailable");
	server_await(&stage->one, "event=commit_late");
	assert_answer(post(stage, "/v1/gates/other/close", NULL), 503, "unavailable");
	assert_answer(get(stage, "/readyz"), 503, "unavailable");
	assert_contains(ask_text(get(stage, "/readyz"), "detail"), "synchronous_standby_names");
	/* What is committed can be read all the while. */
	assert_answer(get(stage, "/v1/gates/other/check"), 200, NULL);
	assert_stays(stage, pid, 3);
	assert_string_equal(psql_value(&stage->admin, "%s", sessions), before);
	await_standby(stage, "");
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_string_equal(psql_value(&stage->admin, "%s", sessions), before);
	assert_came_through(stage, &stage->one, CLOSE("late"));
}

/* The simpler way: to announce in the transaction of the changes. Its commit then has the one lock of the whole cluster that
 * everybody needs who notifies anybody of anything, for as long as it waits. */
static void test_syncrep__a_commit_that_waits_hinders_nobody_who_notifies(void **state)
{
	struct stage *stage = *state;
	struct ask *close;
	struct psql ann;

	psql_open(&ann, &stage->db, "dbname=template1");
	close_without_standby(stage, "timeout=50s&ttl=10m&token=" TOKEN("notify"), &close);
	psql_run(&ann, "set synchronous_commit = local; set lock_timeout = '10s'");
	assert_string_equal(psql_state(&ann, "notify something_else"), "00000");
	await_standby(stage, "");
	http_finish(close);
	assert_answer(close, 201, NULL);
	psql_close(&ann);
}

/* A replica that comes meanwhile waits as well, and one that was killed leaves its backend waiting: nobody ends that, and its
 * successor writes nothing before it is gone. */
static void test_syncrep__a_successor_waits_for_its_predecessor(void **state)
{
	struct stage *stage = *state;
	struct ask *close;
	int pid = close_without_standby(stage, CLOSE("heir"), &close);

	server_kill(&stage->one);
	server_release(&stage->one);
	server_launch(&stage->one, stage->db.conninfo, "one", NULL);
	server_launch(&stage->two, stage->db.conninfo, "two", NULL);
	/* Neither can change anything, and both can look. */
	server_await(&stage->one, "event=session_up role=reads");
	server_await(&stage->two, "event=session_up role=reads");
	assert_answer(http_ask(&stage->http, &stage->two, "GET /v1/gates/other/check", NULL), 200, NULL);
	assert_stays(stage, pid, 1 + 3 + 3);
	assert_int_equal(
		psql_number(&stage->admin, "select count(*) from deploy_gate.session where role = 'locks'"), 1);
	await_standby(stage, "");
	server_await(&stage->one, "event=ready");
	server_await(&stage->two, "event=ready");
	assert_came_through(stage, &stage->two, CLOSE("heir"));
}

/* Where it cannot be found out what it waits for, the session is given up, and the process's next one waits for it. */
static void test_syncrep__a_session_that_was_given_up_is_waited_for(void **state)
{
	struct stage *stage = *state;
	struct ask *close;
	int pid;

	psql_run(&stage->admin, "alter function deploy_gate.clear_way(jsonb) rename to out_of_the_way");
	pid = close_without_standby(stage, CLOSE("given-up"), &close);
	server_await(&stage->one, "event=session_waits");
	assert_stays(stage, pid, 1 + 3);
	assert_int_equal(
		psql_number(&stage->admin, "select count(*) from deploy_gate.session where role = 'locks'"), 1);
	await_standby(stage, "");
	psql_until(&stage->admin, "select count(*) = 2 from deploy_gate.session where role = 'locks'");
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_came_through(stage, &stage->one, CLOSE("given-up"));
}

/* A commit that was cancelled while it waited has happened, but perhaps not on the standby: nobody says that it was done. */
static void test_syncrep__a_commit_that_may_not_be_replicated_is_unknown(void **state)
{
	struct stage *stage = *state;
	struct ask *close;
	int pid = close_without_standby(stage, CLOSE("cancelled"), &close);

	psql_run(&stage->admin, "select pg_cancel_backend(%d)", pid);
	server_await(&stage->one, "may not have been replicated");
	psql_until(&stage->admin, "select count(*) = 1 from deploy_gate.lease where state = 'closed'");
	http_finish(close);
	assert_answer(close, 503, "unavailable");
	await_standby(stage, "");
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_came_through(stage, &stage->one, CLOSE("cancelled"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PRIVATE_TEST(test_syncrep__a_late_commit_is_waited_for),
		PRIVATE_TEST(test_syncrep__a_commit_that_waits_hinders_nobody_who_notifies),
		PRIVATE_TEST(test_syncrep__a_successor_waits_for_its_predecessor),
		PRIVATE_TEST(test_syncrep__a_session_that_was_given_up_is_waited_for),
		PRIVATE_TEST(test_syncrep__a_commit_that_may_not_be_replicated_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
