/* Replicas that stop in the middle of something, and what is theirs and in everybody's way. */
#include "support/private.h"
#include "support/replica.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <libpq-fe.h>

static const char is_there[] = "select exists (select from pg_stat_activity where pid = %d)";

/* A replica that is stopped in the middle of sending a batch: begin has the service's row, and no sync follows. */
static void freeze_sending(struct psql *frozen, const struct db *db, struct psql *admin)
{
	char number[24];
	const char *const values[] = { number, "0", "{}", "{}" };

	psql_open(frozen, db, "application_name=deploy-gated/locks");
	snprintf(number, sizeof(number), "%lld",
		psql_number(
			frozen, "select number from deploy_gate.register_locks('a process', 'frozen', '0', 'here')"));
	assert_true(PQenterPipelineMode(frozen->pg));
	assert_true(PQsendQueryParams(frozen->pg, replica_query("begin"), 4, NULL, values, NULL, NULL, 0));
	assert_int_equal(PQflush(frozen->pg), 0);
	psql_until(admin,
		"select state = 'active' and wait_event = 'ClientRead' and backend_xid is not null"
		" from pg_stat_activity where pid = %d",
		frozen->pid);
}

static void test_faults__a_replica_that_stops_while_it_sends_is_ended(void **state)
{
	struct stage *stage = *state;
	struct psql frozen;
	struct ask *close;

	freeze_sending(&frozen, &stage->db, &stage->admin);
	close = http_begin(&stage->http, &stage->one, "POST /v1/gates/faults.sending/close", "timeout=50s");
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_false(psql_true(&stage->admin, is_there, frozen.pid));
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/faults.elsewhere/close", NULL), 201, NULL);
	psql_close(&frozen);
}

/* One that comes alone to a database where that happened cannot even register. */
static void test_faults__a_replica_that_starts_meets_one_that_stopped(void **state)
{
	struct stage *stage = *state;
	struct psql frozen;

	server_stop(&stage->one);
	server_stop(&stage->two);
	server_release(&stage->one);
	freeze_sending(&frozen, &stage->db, &stage->admin);
	server_start(&stage->one, stage->db.conninfo, "one", NULL);
	assert_false(psql_true(&stage->admin, is_there, frozen.pid));
	psql_close(&frozen);
}

/* Whoever is none of ours is not ours to end, however long. */
static void test_faults__somebody_outside_in_the_way_is_left_alone(void **state)
{
	struct stage *stage = *state;
	struct psql ann;
	struct ask *close;

	psql_open(&ann, &stage->db, NULL);
	psql_run(&ann, "begin; select from deploy_gate.service for update");
	close = http_begin(&stage->http, &stage->one, "POST /v1/gates/faults.outside/close", "timeout=50s");
	psql_until(&stage->admin,
		"select state_change < clock_timestamp() - interval '5 s' from pg_stat_activity where pid = %d",
		ann.pid);
	assert_false(http_done(close));
	psql_run(&ann, "commit");
	http_finish(close);
	assert_answer(close, 201, NULL);
	psql_close(&ann);
}

/* Stops the backends that hear what is announced, or lets them go on: what is said meanwhile is lost, and nobody notices. */
static void signal_listeners(struct stage *stage, const char *signal)
{
	psql_run(&stage->admin,
		"do $$ declare pid int; begin"
		" for pid in select a.pid from pg_stat_activity a where application_name = 'deploy-gated/listen' loop"
		" execute format('copy (select 1 where false) to program %%L', 'kill -%s ' || pid); end loop; end $$",
		signal);
}

static void test_faults__a_hint_that_is_lost_leaves_nobody_asleep(void **state)
{
	struct stage *stage = *state;
	struct ask *wait, *queued, *open;

	server_start(&stage->two, stage->db.conninfo, "two", NULL);
	assert_answer(post(stage, "/v1/gates/faults.hint/close", "token=" TOKEN("hint")), 201, NULL);
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/faults.hint/wait?timeout=50s", NULL);
	queued = http_begin(
		&stage->http, &stage->two, "POST /v1/gates/faults.hint/close", "wait=50s&token=" TOKEN("queued"));
	await_jobs(stage, "faults.hint", 1);
	await_deploys(stage, "faults.hint", 1);
	signal_listeners(stage, "STOP");
	open = post(stage, "/v1/gates/faults.hint/open", "token=" TOKEN("hint"));
	assert_answer(open, 200, NULL);
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	assert_true(wait->came_ns - open->came_ns < 10000000000);
	http_finish(queued);
	assert_answer(queued, 201, NULL);
	/* Its lock is held by the second server, which does not hear that the first has ended it. */
	assert_answer(post(stage, "/v1/gates/faults.hint/open", "token=" TOKEN("queued")), 200, NULL);
	psql_until(&stage->admin, "select pg_try_advisory_lock(deploy_gate.key('faults.hint'))");
	signal_listeners(stage, "CONT");
}

/* Bounds the address space of a server to what it has and this much more; 0: no bound any more. */
static void bound_memory(const struct server *server, unsigned more_mib)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	unsigned long pages;
	char path[64];
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)server->pid);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_int_equal(fscanf(in, "%lu", &pages), 1); // NOLINT(cert-err34-c): of the kernel
	fclose(in);
	if (more_mib)
		limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ((rlim_t)more_mib << 20);
	assert_int_equal(prlimit(server->pid, RLIMIT_AS, &limit, NULL), 0);
}

/* What is under way is brought to its end; what comes is 503 and may be asked of another. */
static void test_faults__without_memory_nothing_new_is_begun(void **state)
{
	struct stage *stage = *state;
	struct ask *wait;

	assert_answer(post(stage, "/v1/gates/faults.memory/close", "token=" TOKEN("memory")), 201, NULL);
	wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/faults.memory/wait?timeout=50s", NULL);
	await_jobs(stage, "faults.memory", 1);
	bound_memory(&stage->one, 16);
	server_await(&stage->one, "event=memory_short");
	assert_answer(get(stage, "/v1/gates/faults.memory/check"), 503, "unavailable");
	assert_answer(post(stage, "/v1/gates/faults.other/close", NULL), 503, "unavailable");
	assert_contains(ask_text(get(stage, "/v1/gates"), "detail"), "memory");
	assert_answer(get(stage, "/readyz"), 503, "unavailable");
	assert_answer(get(stage, "/healthz"), 200, NULL);
	assert_answer(
		http_ask(&stage->http, &stage->two, "POST /v1/gates/faults.memory/open", "token=" TOKEN("memory")), 200,
		NULL);
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	bound_memory(&stage->one, 0);
	server_await(&stage->one, "event=memory_enough");
	assert_answer(get(stage, "/v1/gates/faults.memory/check"), 200, NULL);
	assert_answer(get(stage, "/readyz"), 200, NULL);
}

/* PostgreSQL has one table of locks for all, and anybody can fill it. Nothing is done meanwhile, and nothing is lost. */
static void test_faults__a_full_table_of_locks_passes(void **state)
{
	static const char held[] =
		"select pid from deploy_gate.locks where gate = 'faults.kept' and mode = 'exclusive'";
	struct private_stage *own = *state;
	struct stage *stage = &own->stage;
	int64_t deadline_ns = clock_ns() + 50000000000;
	struct psql hog;
	struct ask *close;
	int pid;

	psql_run(&stage->admin, "alter system set max_locks_per_transaction = 10");
	psql_close(&stage->admin);
	cluster_restart(&own->cluster, "fast");
	psql_open(&stage->admin, &stage->db, NULL);
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_answer(post(stage, "/v1/gates/faults.kept/close", "ttl=10m"), 201, NULL);
	pid = (int)psql_number(&stage->admin, held);
	psql_open(&hog, &stage->db, NULL);
	assert_string_equal(
		psql_state(&hog, "select pg_advisory_lock(key) from generate_series(1, 100000) key"), "53200");
	close = post(stage, "/v1/gates/faults.full/close", "timeout=1s&token=" TOKEN("full"));
	if (close->status != 429)
		assert_answer(close, 503, "unavailable");
	assert_answer(get(stage, "/v1/gates/faults.kept/check"), 503, "unavailable");
	assert_answer(get(stage, "/v1/gates/faults.kept"), 503, "unavailable");
	psql_close(&hog);
	do
		close = post(stage, "/v1/gates/faults.full/close", "timeout=1s&token=" TOKEN("full"));
	while (clock_ns() < deadline_ns && (close->status == 429 || close->status == 503));
	if (close->status != 200)
		assert_answer(close, 201, NULL);
	assert_answer(get(stage, "/v1/gates/faults.kept/check"), 423, "closed");
	assert_int_equal(psql_number(&stage->admin, held), pid);
}

/* Whatever makes or changes a lease with that reason fails from now on; or does not any more. */
static void fail_leases(struct stage *stage, const char *when, const char *sqlstate)
{
	psql_run(&stage->admin,
		"create sequence deploy_gate.refused;"
		"create function deploy_gate.refuse() returns trigger language plpgsql as $$ begin"
		" perform nextval('deploy_gate.refused');"
		" raise exception 'there is too little' using errcode = '%s'; end $$;"
		" create trigger refuse before insert or update on deploy_gate.lease for each row when (%s)"
		" execute function deploy_gate.refuse()",
		sqlstate, when);
}

static void mend_leases(struct stage *stage)
{
	psql_run(&stage->admin,
		"drop trigger refuse on deploy_gate.lease; drop function deploy_gate.refuse();"
		" drop sequence deploy_gate.refused");
}

/* The simpler way: to call whatever a statement fails with an error of our own. A disk is full for a while, and then is not. */
static void test_faults__a_full_disk_passes(void **state)
{
	struct stage *stage = *state;
	static const char close[] = "reason=full&timeout=1s&token=" TOKEN("disk");
	const struct ask *full;

	fail_leases(stage, "new.reason = 'full'", "53100");
	full = post(stage, "/v1/gates/faults.disk/close", close);
	mend_leases(stage);
	assert_answer(full, 503, "unavailable");
	assert_answer(post(stage, "/v1/gates/faults.disk/close", close), 201, NULL);
}

/* The simpler way: to answer, and leave the place in the queue claimed for a request that is over, or to say once that it is. As long
 * as the server lived nothing would end it; and a window that was on its way would keep its gate shut. */
static void test_faults__who_waited_and_cannot_be_served_leaves_no_claim(void **state)
{
	struct stage *stage = *state;
	static const char close[] = "reason=unlucky&wait=10m&token=" TOKEN("unlucky");
	struct ask *queued;
	long long refused;

	assert_answer(post(stage, "/v1/gates/faults.claim/close", "token=" TOKEN("lucky")), 201, NULL);
	queued = http_begin(&stage->http, &stage->one, "POST /v1/gates/faults.claim/close", close);
	await_deploys(stage, "faults.claim", 1);
	fail_leases(stage, "new.reason = 'unlucky' and (new.state <> 'queued' or new.claim_session is null)", "53200");
	assert_answer(post(stage, "/v1/gates/faults.claim/open", "token=" TOKEN("lucky")), 200, NULL);
	http_finish(queued);
	refused = psql_number(&stage->admin, "select last_value from deploy_gate.refused");
	psql_until(&stage->admin, "select last_value > %lld from deploy_gate.refused", refused + 2);
	mend_leases(stage);
	assert_answer(queued, 429, "too_many");
	psql_until(&stage->admin,
		"select claim_session is null and unclaimed_at is not null from deploy_gate.lease"
		" where reason = 'unlucky'");
	assert_answer(post(stage, "/v1/gates/faults.claim/close", close), 201, NULL);
}

static void signal_backend(struct stage *stage, int pid, const char *signal)
{
	psql_run(&stage->admin, "copy (select 1 where false) to program 'kill -%s %d'", signal, pid);
}

static int backend_of(struct stage *stage, const char *role)
{
	return (int)psql_number(&stage->admin,
		"select pid from deploy_gate.session where name = 'one' and role = '%s' and ended_at is null", role);
}

/* A backend that stands still looks alive to TCP: only a deadline of our own ends the wait for it. */
static void test_faults__a_backend_that_stands_still_is_given_up(void **state)
{
	struct stage *stage = *state;
	int reads = backend_of(stage, "reads"), locks = backend_of(stage, "locks");

	server_start(&stage->two, stage->db.conninfo, "two", NULL);
	signal_backend(stage, reads, "STOP");
	assert_answer(get(stage, "/v1/gates/faults.still/check"), 503, "unavailable");
	psql_until(&stage->admin,
		"select count(*) = 1 from deploy_gate.session where name = 'one' and role = 'reads' and ended_at is "
		"null"
		" and pid <> %d",
		reads);
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_answer(get(stage, "/v1/gates/faults.still/check"), 200, NULL);
	signal_backend(stage, locks, "STOP");
	assert_answer(
		post(stage, "/v1/gates/faults.still/close", "timeout=1s&token=" TOKEN("still")), 503, "unavailable");
	/* What it holds it goes on holding, and that is not in the way of others. */
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/faults.still/close", NULL), 201, NULL);
	signal_backend(stage, locks, "CONT");
	signal_backend(stage, reads, "CONT");
	while (get(stage, "/readyz")->status != 200)
		http_forget(&stage->http);
	assert_answer(post(stage, "/v1/gates/faults.moves/close", NULL), 201, NULL);
}

/* The simpler way: functions for SQL users that lock rows which the service needs. Their transactions last as long as they like. */
static void test_faults__users_in_long_transactions_hinder_nobody(void **state)
{
	static const char *const calls[] = { "select deploy_gate.is_open('faults.users')",
		"select deploy_gate.open_here('faults.users')",
		"select deploy_gate.force_open('faults.users', 'because')", "select * from deploy_gate.status",
		"select * from deploy_gate.locks" };
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/faults.users/close", "token=" TOKEN("users"));
	struct psql ann;

	assert_answer(window, 201, NULL);
	psql_open(&ann, &stage->db, NULL);
	psql_run(&ann, "begin");
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		psql_run(&ann, "%s", calls[i]);
	psql_run(&ann, "select deploy_gate.assert_fence('faults.users', %lld)", ask_number(window, "fence"));
	assert_answer(post(stage, "/v1/gates/faults.users/open", "token=" TOKEN("users")), 200, NULL);
	assert_answer(get(stage, "/v1/gates/faults.users/check"), 200, NULL);
	assert_answer(post(stage, "/v1/gates/faults.users/close", NULL), 201, NULL);
	psql_run(&ann, "rollback");
	psql_close(&ann);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(test_faults__a_replica_that_stops_while_it_sends_is_ended),
		STAGE_TEST(test_faults__a_replica_that_starts_meets_one_that_stopped),
		STAGE_TEST(test_faults__somebody_outside_in_the_way_is_left_alone),
		STAGE_TEST(test_faults__without_memory_nothing_new_is_begun),
		PRIVATE_TEST(test_faults__a_full_table_of_locks_passes),
		STAGE_TEST(test_faults__a_full_disk_passes),
		STAGE_TEST(test_faults__who_waited_and_cannot_be_served_leaves_no_claim),
		PRIVATE_TEST(test_faults__a_backend_that_stands_still_is_given_up),
		STAGE_TEST(test_faults__users_in_long_transactions_hinder_nobody),
		PRIVATE_TEST(test_faults__a_hint_that_is_lost_leaves_nobody_asleep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
