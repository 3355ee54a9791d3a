/* Simpler ways that experiments broke: each test here fails when one of them is put back. */
#include "support/stage.h"

#include <stdio.h>

/* Replaces a function of the service by one of the same name that runs something first; what it was is called plain_NAME. */
static void wrap(struct stage *stage, const char *name, const char *arguments, const char *names, const char *returns,
	const char *before)
{
	psql_run(&stage->admin, "alter function deploy_gate.%s(%s) rename to plain_%s", name, arguments, name);
	psql_run(&stage->admin,
		"create function deploy_gate.%s(%s) returns %s language plpgsql as $$"
		" begin %s; return deploy_gate.plain_%s(%s); end $$",
		name, arguments, returns, before, name, names);
}

/* Starts the second server again, so that it finds what was wrapped; the first is stopped. */
static void use_wrapped(struct stage *stage)
{
	server_stop(&stage->one);
	server_stop(&stage->two);
	server_release(&stage->one);
	server_release(&stage->two);
	server_start(&stage->one, stage->db.conninfo, "one", NULL);
	server_start(&stage->two, stage->db.conninfo, "two", NULL);
}

/* The simpler way: NOTIFY in the transaction that changes rows, which takes a cluster-wide lock through its commit. */
static void test_simple__announcements_are_not_made_in_the_transaction_of_the_change(void **state)
{
	struct stage *stage = *state;
	struct ask *wait, *queued;

	wrap(stage, "after", "", "", "bigint",
		"if txid_current_if_assigned() is not null then raise 'announced by the transaction that changed "
		"rows'; end if");
	use_wrapped(stage);
	assert_answer(post(stage, "/v1/gates/simple.notify/close", "token=" TOKEN("notify")), 201, NULL);
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/simple.notify/wait?timeout=50s", NULL);
	queued = http_begin(&stage->http, &stage->two, "POST /v1/gates/simple.notify/close", "wait=50s");
	await_jobs(stage, "simple.notify", 1);
	await_deploys(stage, "simple.notify", 1);
	assert_answer(post(stage, "/v1/gates/simple.notify/open", "token=" TOKEN("notify")), 200, NULL);
	http_finish(wait);
	http_finish(queued);
	assert_answer(wait, 200, NULL);
	assert_answer(queued, 201, NULL);
	assert_false(server_logged(&stage->one, "announced by") || server_logged(&stage->two, "announced by"));
}

/* The simpler way: to believe the account after a transaction that rolled back. Its locks were not rolled back, so they would
 * be taken once more, and PostgreSQL counts. */
static void test_simple__a_batch_that_failed_does_not_count_its_locks_twice(void **state)
{
	struct stage *stage = *state;
	struct psql ann;

	psql_run(&stage->admin, "create sequence public.failures; grant usage on sequence public.failures to public");
	psql_run(&stage->admin,
		"create function public.fail_once() returns trigger language plpgsql as $$"
		" begin if new.gate = 'simple.rolled.back' and new.kind = 'closed' and nextval('public.failures') <= 1 "
		"then"
		" raise 'fails once'; end if; return new; end $$;"
		" create trigger fail_once before insert on deploy_gate.event for each row execute function "
		"public.fail_once()");
	assert_answer(post(stage, "/v1/gates/simple.rolled.back/close", "token=" TOKEN("rolled-back")), 201, NULL);
	assert_int_equal(psql_number(&stage->admin, "select last_value from public.failures"), 2);
	assert_answer(post(stage, "/v1/gates/simple.rolled.back/open", "token=" TOKEN("rolled-back")), 200, NULL);
	psql_open(&ann, &stage->db, NULL);
	assert_true(psql_true(&ann,
		"select pg_try_advisory_lock(deploy_gate.key('simple.rolled.back'))"
		" and pg_try_advisory_lock(deploy_gate.key('simple.rolled')) and "
		"pg_try_advisory_lock(deploy_gate.key('simple'))"));
	psql_close(&ann);
}

/* One change of a batch that raises fails alone: the others of its batch are done. */
static void test_simple__a_change_that_raises_fails_alone(void **state)
{
	struct stage *stage = *state;
	struct ask *asks[20];

	psql_run(&stage->admin,
		"create function public.fail_always() returns trigger language plpgsql as $$"
		" begin if new.gates[1] = 'simple.poison' then raise 'poison'; end if; return new; end $$;"
		" create trigger fail_always before insert on deploy_gate.lease for each row execute function "
		"public.fail_always()");
	stage->http.together = true;
	for (int i = 0; i < 20; i++) {
		char request[64];

		snprintf(request, sizeof(request), "POST /v1/gates/simple.%s%d/close",
			i == 7 ? "poison,simple.p" : "good", i);
		asks[i] = http_begin(&stage->http, &stage->one, request, NULL);
	}
	for (int i = 0; i < 20; i++) {
		http_finish(asks[i]);
		assert_int_equal(asks[i]->status, i == 7 ? 500 : 201);
	}
	assert_answer(get(stage, "/readyz"), 200, NULL);
}

/* The simpler way: to count the time to live from the request, or from the grant. It counts from closed. */
static void test_simple__the_ttl_counts_from_closed(void **state)
{
	struct stage *stage = *state;
	struct psql job;
	struct ask *ask;

	psql_open(&job, &stage->db, NULL);
	psql_run(&job, "select pg_advisory_lock_shared(deploy_gate.key('simple.ttl'))");
	ask = http_begin(&stage->http, &stage->one, "POST /v1/gates/simple.ttl/close", "ttl=10s&token=" TOKEN("ttl"));
	psql_until(&stage->admin,
		"select created_at < clock_timestamp() - interval '1 s' and drain_until is not null"
		" from deploy_gate.lease where gates = '{simple.ttl}'");
	assert_true(psql_true(&stage->admin,
		"select expires_at is null and max_at is null and state = 'draining' from deploy_gate.lease"));
	psql_close(&job);
	http_finish(ask);
	assert_answer(ask, 201, NULL);
	assert_in_range(ask_number(ask, "expires_in_ms"), 1, 10000);
	assert_true(psql_true(&stage->admin,
		"select expires_at = closed_at + interval '10 s' and closed_at > created_at + interval '1 s' from "
		"deploy_gate.lease"));
}

/* The simpler way: to compare expires_at with a clock wherever it is read, or to decide what is due as soon as a batch gets
 * through. Only the tick decides, and behind the renewals that were held up with it, at whichever server. */
static void test_simple__a_renewal_before_the_expiry_was_decided_succeeds(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/simple.late/close", "ttl=4s&token=" TOKEN("late")), *renewal;
	char request[128];

	snprintf(request, sizeof(request), "POST /v1/leases/%s/renew", ask_text(window, "id"));
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	renewal = http_begin(&stage->http, &stage->two, request, "ttl=10m&token=" TOKEN("late"));
	psql_until(&stage->admin, "select expires_at < clock_timestamp() - interval '2 s' from deploy_gate.lease");
	assert_answer(get(stage, "/v1/gates/simple.late/check"), 423, "closed");
	assert_false(http_done(renewal));
	psql_run(&stage->admin, "commit");
	http_finish(renewal);
	assert_answer(renewal, 200, NULL);
	assert_answer(get(stage, "/v1/gates/simple.late/check"), 423, "closed");
}

/* A batch that was held up expires nothing: renewals that were held up with it at another server come first. */
static void test_simple__a_batch_that_was_held_up_expires_nothing_yet(void **state)
{
	struct stage *stage = *state;
	char released_at[64];

	assert_answer(post(stage, "/v1/gates/simple.behind/close", "ttl=4s"), 201, NULL);
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	psql_until(&stage->admin, "select expires_at < clock_timestamp() - interval '2 s' from deploy_gate.lease");
	snprintf(released_at, sizeof(released_at), "%s", psql_value(&stage->admin, "select clock_timestamp()"));
	psql_run(&stage->admin, "commit");
	psql_until(&stage->admin, "select ended_at is not null from deploy_gate.lease");
	assert_true(psql_true(&stage->admin,
		"select ended_at - '%s'::timestamptz > interval '200 ms' from deploy_gate.lease", released_at));
}

/* Whoever holds the service's row for long keeps changes waiting, not failing; and checks do not wait at all. */
static void test_simple__a_writer_that_is_held_up_keeps_its_changes(void **state)
{
	struct stage *stage = *state;
	struct ask *close;

	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	close = http_begin(&stage->http, &stage->one, "POST /v1/gates/simple.held/close", NULL);
	server_await(&stage->one, "event=batch_failed");
	assert_false(http_done(close));
	assert_answer(get(stage, "/v1/gates/simple.held/check"), 200, NULL);
	psql_run(&stage->admin, "commit");
	http_finish(close);
	assert_answer(close, 201, NULL);
}

/* The simpler way: to stamp with each batch. A row that each one updates bloats under any old snapshot. */
static void test_simple__stamps_are_rare(void **state)
{
	struct stage *stage = *state;
	int64_t began_ns = clock_ns();
	long long stamps, most;

	psql_run(&stage->admin,
		"create sequence public.stamps; grant usage on sequence public.stamps to public;"
		" create function public.stamp() returns trigger language plpgsql as $$"
		" begin perform nextval('public.stamps'); return new; end $$;"
		" create trigger stamp before update on deploy_gate.service for each row execute function "
		"public.stamp()");
	for (int i = 0; i < 100; i++) {
		struct ask *window = post(stage, "/v1/gates/simple.stamp/close", NULL);

		post(stage, "/v1/gates/simple.stamp/open", "token=%s", ask_text(window, "token"));
	}
	stamps = psql_number(&stage->admin, "select last_value from public.stamps");
	most = (clock_ns() - began_ns) / 500000000 + 2;
	assert_true(stamps <= most);
	psql_until(&stage->admin, "select last_value > %lld from public.stamps", stamps + 1);
}

/* The simpler way: whoever is back first takes the leases of all who are not. A judge must have served for 3 s. */
static void test_simple__the_first_replica_back_does_not_take_everything(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/simple.judge/close", "ttl=10m");

	assert_answer(window, 201, NULL);
	server_kill(&stage->one);
	server_kill(&stage->two);
	server_release(&stage->one);
	server_release(&stage->two);
	psql_until(&stage->admin, "select stamped_at < clock_timestamp() - interval '6 s' from deploy_gate.service");
	server_start(&stage->two, stage->db.conninfo, "two", NULL);
	/* However long the other takes to start, it comes within those 3 s. */
	psql_run(&stage->admin, "update deploy_gate.service set serving_since = clock_timestamp() + interval '1 min'");
	server_start(&stage->one, stage->db.conninfo, "one", NULL);
	psql_until(&stage->admin, "select locked from deploy_gate.lease where id = '%s'", ask_text(window, "id"));
	assert_string_equal(psql_value(&stage->admin,
				    "select s.name from deploy_gate.lease l join deploy_gate.session s on s.number = "
				    "l.session where l.id = '%s'",
				    ask_text(window, "id")),
		"one");
}

/* The simpler way: a wait that looks first and lines up second, or one that forgets a hint that comes while its question is under
 * way. The gate opens while the wait is being asked for, each time a little later. */
static void test_simple__a_hint_during_a_question_is_not_lost(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 60; i++) {
		const struct server *server = i % 2 ? &stage->one : &stage->two;
		struct ask *window = post(stage, "/v1/gates/simple.hint/close", NULL), *wait, *open;
		int64_t answered_ns;

		stage->http.together = true;
		for (int ballast = 0; ballast < i % 12; ballast++)
			begin_ballast(stage, server);
		wait = http_begin(&stage->http, server, "GET /v1/gates/simple.hint/wait?timeout=50s", NULL);
		open = http_begin(&stage->http, i % 4 < 2 ? &stage->one : &stage->two,
			"POST /v1/gates/simple.hint/open", "token=%s", ask_text(window, "token"));
		http_finish(open);
		stage->http.together = false;
		answered_ns = open->came_ns;
		http_finish(wait);
		assert_answer(wait, 200, NULL);
		assert_true(wait->came_ns - answered_ns < 10000000000);
		http_forget(&stage->http);
	}
}

/* Rows of leases that the locks session has fetched, or read past, so far. */
static long long rows_fetched(struct stage *stage)
{
	return psql_number(&stage->admin,
		"select coalesce(idx_tup_fetch, 0) + seq_tup_read from pg_stat_user_tables where relid = "
		"'deploy_gate.lease'::regclass");
}

/* The simpler way: to look for what is due among all leases there ever were. */
static void test_simple__a_tick_looks_at_none_of_what_ended(void **state)
{
	struct stage *stage = *state;
	long long before;

	psql_run(&stage->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, created_at, expires_at, "
		"ended_at, ending)"
		" select md5(i::text), md5(i::text), 'window', 'ended', '{old}', 1, now(), now(), now(), 'opened'"
		" from generate_series(1, 20000) i");
	assert_answer(post(stage, "/v1/gates/simple.tick/close", NULL), 201, NULL);
	before = rows_fetched(stage);
	psql_run(&stage->admin, "create table public.began as select clock_timestamp() + interval '3 s' as at");
	psql_until(&stage->admin, "select stamped_at > (select at from public.began) from deploy_gate.service");
	/* The session tells its counts within a second of a tick. */
	psql_until(&stage->admin,
		"select idx_tup_fetch + seq_tup_read > %lld from pg_stat_user_tables where relid = "
		"'deploy_gate.lease'::regclass",
		before);
	assert_true(rows_fetched(stage) - before < 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(test_simple__announcements_are_not_made_in_the_transaction_of_the_change),
		STAGE_TEST(test_simple__a_batch_that_failed_does_not_count_its_locks_twice),
		STAGE_TEST(test_simple__a_change_that_raises_fails_alone),
		STAGE_TEST(test_simple__the_ttl_counts_from_closed),
		STAGE_TEST(test_simple__a_renewal_before_the_expiry_was_decided_succeeds),
		STAGE_TEST(test_simple__a_batch_that_was_held_up_expires_nothing_yet),
		STAGE_TEST(test_simple__a_writer_that_is_held_up_keeps_its_changes),
		STAGE_TEST(test_simple__stamps_are_rare),
		STAGE_TEST(test_simple__the_first_replica_back_does_not_take_everything),
		STAGE_TEST(test_simple__a_hint_during_a_question_is_not_lost),
		STAGE_TEST(test_simple__a_tick_looks_at_none_of_what_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
