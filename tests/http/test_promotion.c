/* The primary is lost and its standby promoted: servers that name both find it, and every window with it. */
#include "support/private.h"

#include <stdio.h>

static void await_ready(struct stage *stage)
{
	int64_t deadline_ns = clock_ns() + 40000000000;

	while (get(stage, "/readyz")->status != 200) {
		assert_true(clock_ns() < deadline_ns);
		http_forget(&stage->http);
	}
}

/* Starts the first server anew, with both hosts in its database setting. */
static void name_both(struct private_stage *own, const struct cluster *standby)
{
	struct stage *stage = &own->stage;
	char both[600];

	server_stop(&stage->one);
	server_release(&stage->one);
	snprintf(both, sizeof(both), "host=%s,%s port=%u,%u user=postgres dbname=postgres", own->cluster.dir,
		standby->dir, own->cluster.port, standby->port);
	server_start(&stage->one, both, "one", NULL);
}

/* The simpler way: to read the timeline where it is still the old one right after a promotion. Fences that were handed out and
 * lost with the primary would be handed out again. */
static void test_promotion__loses_no_window_and_leaves_room_for_fences_that_were_lost(void **state)
{
	struct private_stage *own = *state;
	struct stage *stage = &own->stage;
	struct cluster standby = { 0 };
	struct ask *ask;
	long long fence;

	cluster_follow(&standby, &own->cluster);
	name_both(own, &standby);
	ask = post(stage, "/v1/gates/promoted/close", "ttl=10m&token=" TOKEN("promoted"));
	assert_answer(ask, 201, NULL);
	fence = ask_number(ask, "fence");
	psql_close(&stage->admin);
	psql_open(&stage->admin, &standby.db, NULL);
	psql_until(&stage->admin, "select count(*) = 1 from deploy_gate.lease where state = 'closed'");
	cluster_stop(&own->cluster, "immediate");
	psql_run(&stage->admin, "select pg_promote()");
	await_ready(stage);
	assert_answer(get(stage, "/v1/gates/promoted/check"), 423, "closed");
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.locks where gate = 'promoted' and mode = 'exclusive')");
	ask = post(stage, "/v1/gates/later/close", NULL);
	assert_answer(ask, 201, NULL);
	assert_true(ask_number(ask, "fence") > fence + 1000000);
	assert_answer(post(stage, "/v1/gates/promoted/open", "token=" TOKEN("promoted")), 200, NULL);
	server_stop(&stage->one);
	cluster_release(&standby);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PRIVATE_TEST(test_promotion__loses_no_window_and_leaves_room_for_fences_that_were_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
