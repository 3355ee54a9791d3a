/* attached leases in great number: what they cost, and where their streams end. */
#include "support/stage.h"

#include <stdio.h>

#include "support/stream.h"

enum { MANY = 1000 };

/* Windows in great number, with tokens by number. */
static void make_windows(struct stage *stage, int count)
{
	psql_run(&stage->admin,
		"insert into deploy_gate.lease (id, digest, kind, state, gates, ttl_ms, max_ms, created_at, closed_at,"
		" expires_at, max_at, locked)"
		" select left(d, 32), d, 'window', 'closed', array['many' || i], 60000, 3600000, clock_timestamp(),"
		" clock_timestamp(), clock_timestamp() + interval '1 m', clock_timestamp() + interval '1 h', true"
		" from generate_series(1, %d) i, encode(sha256((format('" TOKEN("%%s") "', i))::bytea), 'hex') d",
		count);
}

static struct ask *begin_numbered(struct stage *stage, const struct server *server, int number)
{
	char token[64], id[40];

	snprintf(token, sizeof(token), TOKEN("%d"), number);
	snprintf(id, sizeof(id), "%s",
		psql_value(&stage->admin, "select left(encode(sha256('%s'::bytea), 'hex'), 32)", token));
	return stream_begin(&stage->http, server, id, token);
}

static const char our_sessions[] = "select count(*) from pg_stat_activity where application_name like 'deploy-gated/%%'"
				   " and datname = current_database()";

/* All are renewed at one instant, that of one change; and they need no sessions of their own. */
static void test_attach__a_thousand_streams_are_one_change_a_round(void **state)
{
	static struct ask *streams[MANY];
	struct stage *stage = *state;
	long long sessions = psql_number(&stage->admin, our_sessions);

	make_windows(stage, MANY);
	for (int i = 0; i < MANY; i++)
		streams[i] = begin_numbered(stage, &stage->one, i + 1);
	for (int i = 0; i < MANY; i++)
		stream_await(streams[i], "renewed", 2);
	psql_until(&stage->admin,
		"select count(*) = %d and count(distinct expires_at) = 1 and count(distinct xmin::text) = 1"
		" from deploy_gate.lease where attached and ended_at is null",
		MANY);
	assert_int_equal(psql_number(&stage->admin, our_sessions), sessions);
	for (int i = 0; i < MANY; i++)
		http_hang_up(streams[i]);
	psql_until(
		&stage->admin, "select not exists (select from deploy_gate.lease where attached and ended_at is null)");
}

/* Streams are connections that stay, like waits: some are left for those who do not. */
static void test_attach__too_many_are_429(void **state)
{
	struct stage *stage = *state;
	struct server small = { 0 };
	struct ask *streams[12], *one_more;

	psql_run(&stage->admin, "delete from deploy_gate.lease where gates[1] like 'many%%'");
	make_windows(stage, 13);
	server_start(&small, stage->db.conninfo, "small", (const char *const[]){ "--connections", "16", NULL });
	for (int i = 0; i < 12; i++)
		stream_await(streams[i] = begin_numbered(stage, &small, i + 1), "attached", 1);
	one_more = begin_numbered(stage, &small, 13);
	http_finish(one_more);
	assert_answer(one_more, 429, "too_many");
	http_hang_up(streams[0]);
	psql_until(&stage->admin, "select count(*) = 11 from deploy_gate.lease where attached and ended_at is null");
	stream_await(begin_numbered(stage, &small, 13), "attached", 1);
	assert_answer(http_ask(&stage->http, &small, "GET /healthz", NULL), 200, NULL);
	server_release(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach__a_thousand_streams_are_one_change_a_round),
		cmocka_unit_test(test_attach__too_many_are_429),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
