/* PostgreSQL itself goes away, on a private cluster: what waits goes on waiting, what comes is refused at once, and nothing is
 * lost. */
#include "support/stage.h"

#include <stdlib.h>

#include "support/cluster.h"

struct outage {
	struct cluster cluster;
	struct stage stage;
};

static int setup(void **state)
{
	struct outage *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	*state = o;
	cluster_start(&o->cluster);
	o->stage.db = o->cluster.db;
	server_start(&o->stage.one, o->cluster.db.conninfo, "one", NULL);
	server_start(&o->stage.two, o->cluster.db.conninfo, "two", NULL);
	psql_open(&o->stage.admin, &o->cluster.db, NULL);
	http_init(&o->stage.http);
	return 0;
}

static int teardown(void **state)
{
	struct outage *o = *state;

	http_release(&o->stage.http);
	psql_close(&o->stage.admin);
	server_release(&o->stage.one);
	server_release(&o->stage.two);
	cluster_release(&o->cluster);
	free(o);
	return 0;
}

static void await_ready(struct stage *stage, const struct server *server)
{
	int64_t deadline_ns = clock_ns() + 60000000000;

	while (http_ask(&stage->http, server, "GET /readyz", NULL)->status != 200)
		if (clock_ns() > deadline_ns)
			fail_msg("%s does not become ready again", server->url);
}

static void await_not_ready(struct stage *stage, const struct server *server)
{
	int64_t deadline_ns = clock_ns() + 60000000000;

	while (http_ask(&stage->http, server, "GET /readyz", NULL)->status != 503)
		if (clock_ns() > deadline_ns)
			fail_msg("%s does not notice the outage", server->url);
}

static void meet_again(struct outage *o)
{
	psql_close(&o->stage.admin);
	psql_open(&o->stage.admin, &o->cluster.db, NULL);
}

static const char lock_is_held[] =
	"select exists (select from pg_locks l join deploy_gate.session s on s.pid = l.pid and s.ended_at is null"
	" where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and s.role = 'locks'"
	" and (l.classid::bigint << 32) | l.objid::bigint = deploy_gate.key('outage'))";

/* The window is still there after a restart of that kind, its lock is held again soon, and the waiters live through it. Promised
 * are 2 s; the rest is for a busy machine. */
static void restart(struct outage *o, const char *how)
{
	struct stage *stage = &o->stage;
	struct ask *window = post(stage, "/v1/gates/outage/close", "ttl=10m&token=outage-%s-" TOKEN("restart"), how);
	struct ask *here = http_begin(&stage->http, &stage->one, "GET /v1/gates/outage/wait?timeout=55s", NULL);
	struct ask *there = http_begin(&stage->http, &stage->two, "GET /v1/gates/outage.below/wait?timeout=55s", NULL);
	struct ask *queued = http_begin(&stage->http, &stage->two, "POST /v1/gates/outage/close", "wait=55s"), *ask;
	int64_t back_ns;

	assert_answer(window, 201, NULL);
	await_jobs(stage, "outage", 1);
	await_jobs(stage, "outage.below", 1);
	await_deploys(stage, "outage", 1);
	cluster_restart(&o->cluster, how);
	back_ns = clock_ns();
	meet_again(o);
	psql_until(&stage->admin, lock_is_held);
	assert_true(clock_ns() - back_ns < 10000000000);
	await_ready(stage, &stage->one);
	await_ready(stage, &stage->two);
	ask = http_ask(&stage->http, &stage->two, "GET /v1/gates/outage/check", NULL);
	assert_answer(ask, 423, "closed");
	assert_text(ask, "gate.window.id", ask_text(window, "id"));
	assert_false(http_done(here) || http_done(there) || http_done(queued));
	assert_answer(http_ask(&stage->http, &stage->two, "POST /v1/gates/outage/open", "token=%s",
			      ask_text(window, "token")),
		200, NULL);
	http_finish(here);
	http_finish(there);
	http_finish(queued);
	assert_answer(here, 200, NULL);
	assert_answer(there, 200, NULL);
	assert_answer(queued, 201, NULL);
	assert_true(ask_number(queued, "fence") > ask_number(window, "fence"));
	assert_answer(post(stage, "/v1/gates/outage/open", "token=%s", ask_text(queued, "token")), 200, NULL);
}

static void test_outage__a_restart_of_postgresql_loses_nothing(void **state)
{
	restart(*state, "fast");
	restart(*state, "immediate");
}

static void test_outage__what_comes_during_it_is_503_at_once_and_what_waits_goes_on(void **state)
{
	struct outage *o = *state;
	struct stage *stage = &o->stage;
	struct ask *window = post(stage, "/v1/gates/away/close", "ttl=10m&token=" TOKEN("away")), *wait, *brief, *ask;

	assert_answer(window, 201, NULL);
	wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/away/wait?timeout=55s", NULL);
	await_jobs(stage, "away", 1);
	brief = http_begin(&stage->http, &stage->one, "GET /v1/gates/away/wait?timeout=10s", NULL);
	await_jobs(stage, "away", 2);
	cluster_stop(&o->cluster, "immediate");
	await_not_ready(stage, &stage->one);
	ask = get(stage, "/v1/gates/away/check");
	assert_answer(ask, 503, "unavailable");
	assert_string_equal(ask_field(ask, "Retry-After"), "1");
	assert_answer(get(stage, "/v1/gates/away/wait?timeout=30s"), 503, "unavailable");
	assert_answer(post(stage, "/v1/gates/away2/close", NULL), 503, "unavailable");
	assert_answer(post(stage, "/v1/gates/away/open", "token=" TOKEN("away")), 503, "unavailable");
	assert_answer(get(stage, "/v1/gates/away"), 503, "unavailable");
	assert_answer(get(stage, "/v1/events"), 503, "unavailable");
	assert_answer(get(stage, "/healthz"), 200, NULL);
	assert_contains(ask_text(get(stage, "/readyz"), "detail"), "locks");
	/* A wait whose time is over during it does not know. */
	http_finish(brief);
	assert_answer(brief, 503, "unavailable");
	assert_true(brief->came_ns - brief->sent_ns >= 10000000000);
	cluster_start_again(&o->cluster);
	meet_again(o);
	await_ready(stage, &stage->one);
	await_ready(stage, &stage->two);
	assert_answer(get(stage, "/v1/gates/away/check"), 423, "closed");
	assert_false(http_done(wait));
	assert_answer(post(stage, "/v1/gates/away/open", "token=" TOKEN("away")), 200, NULL);
	http_finish(wait);
	assert_answer(wait, 200, NULL);
}

/* A close whose time was over during it leaves a place in the queue that somebody may come back for, but not for ever. */
static void test_outage__a_close_that_gave_up_during_it_keeps_its_place_for_a_while_only(void **state)
{
	struct outage *o = *state;
	struct stage *stage = &o->stage;
	struct ask *queued;

	assert_answer(post(stage, "/v1/gates/place/close", "ttl=10m"), 201, NULL);
	queued = http_begin(&stage->http, &stage->one, "POST /v1/gates/place/close", "wait=1h&timeout=10s");
	await_deploys(stage, "place", 1);
	cluster_stop(&o->cluster, "immediate");
	http_finish(queued);
	assert_answer(queued, 503, "unavailable");
	cluster_start_again(&o->cluster);
	meet_again(o);
	await_ready(stage, &stage->one);
	await_ready(stage, &stage->two);
	psql_until(&stage->admin,
		"select unclaimed_at is not null from deploy_gate.lease where gates = '{place}' and state = 'queued'");
}

/* Nobody could renew while it was away: an outage of over 5 s does not count against a time to live. */
static void test_outage__does_not_count_against_a_ttl(void **state)
{
	struct outage *o = *state;
	struct stage *stage = &o->stage;
	struct ask *window = post(stage, "/v1/gates/ttl/close", "ttl=10s&token=" TOKEN("ttl")), *wait;
	int64_t until_ns;

	assert_answer(window, 201, NULL);
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/ttl/wait?timeout=55s", NULL);
	await_jobs(stage, "ttl", 1);
	cluster_stop(&o->cluster, "immediate");
	for (until_ns = clock_ns() + 11000000000; clock_ns() < until_ns;)
		assert_false(http_done(wait));
	cluster_start_again(&o->cluster);
	meet_again(o);
	await_ready(stage, &stage->one);
	assert_answer(get(stage, "/v1/gates/ttl/check"), 423, "closed");
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select ending = 'expired' and ended_at - closed_at > interval '20 s' from deploy_gate.lease"
		" where id = '%s'",
		ask_text(window, "id")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outage__a_restart_of_postgresql_loses_nothing),
		cmocka_unit_test(test_outage__what_comes_during_it_is_503_at_once_and_what_waits_goes_on),
		cmocka_unit_test(test_outage__a_close_that_gave_up_during_it_keeps_its_place_for_a_while_only),
		cmocka_unit_test(test_outage__does_not_count_against_a_ttl),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
