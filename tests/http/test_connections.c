/* A replica uses three sessions of PostgreSQL, whatever the number of gates, leases and waiters. */
#include "support/stage.h"

#include <stdio.h>

enum { LEASES = 1000, WAITERS = 100 };

/* Those of the test's own database, as one text that tells them apart. */
static const char sessions[] =
	"select string_agg(application_name || ' ' || pid, ', ' order by application_name, pid) from pg_stat_activity"
	" where datname = current_database() and pid <> pg_backend_pid()";

/* One of two is a window, each over a gate of its own; at both servers. */
static void take_lease(struct stage *stage, int number)
{
	char request[64];
	struct ask *ask;

	snprintf(request, sizeof(request), "POST /v1/gates/connections-%d/%s", number, number % 2 ? "close" : "pass");
	ask = http_ask(&stage->http, number % 4 < 2 ? &stage->one : &stage->two, request, "ttl=10m");
	assert_answer(ask, 201, NULL);
	http_forget(&stage->http);
}

static void test_connections__are_as_many_with_one_lease_as_with_a_thousand(void **state)
{
	struct stage *stage = *state;
	char before[512];

	take_lease(stage, 1);
	snprintf(before, sizeof(before), "%s", psql_value(&stage->admin, "%s", sessions));
	for (int i = 2; i <= LEASES; i++)
		take_lease(stage, i);
	for (int i = 0; i < WAITERS; i++)
		http_begin(&stage->http, i % 2 ? &stage->one : &stage->two,
			"GET /v1/gates/connections-1/wait?timeout=50s", NULL);
	await_jobs(stage, "connections-1", WAITERS);
	assert_int_equal(psql_number(&stage->admin,
				 "select count(*) from deploy_gate.lease where state in ('closed', 'inside')"),
		LEASES);
	assert_string_equal(psql_value(&stage->admin, "%s", sessions), before);
	assert_int_equal(psql_number(&stage->admin,
				 "select count(*) from pg_stat_activity where datname = current_database()"
				 " and application_name like 'deploy-gated/%%'"),
		2 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGE_TEST(test_connections__are_as_many_with_one_lease_as_with_a_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
