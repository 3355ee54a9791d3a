#include "support/scene.h"

#include <stdio.h>
#include <stdlib.h>

int scene_group_setup(void **state)
{
	struct db *template = calloc(1, sizeof(*template));
	struct psql admin = { 0 };

	assert_non_null(template);
	db_create(template);
	db_load(template);
	replica_prepare(template);
	psql_open(&admin, template, NULL);
	psql_run(&admin,
		"do $$ begin create role " PLAIN_ROLE " login;"
		" exception when duplicate_object or unique_violation then null; end $$");
	psql_close(&admin);
	*state = template;
	return 0;
}

/* The role stays, for another program may be using it. */
int scene_group_teardown(void **state)
{
	db_drop(*state);
	free(*state);
	return 0;
}

int scene_setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	scene->template = *state;
	*state = scene;
	db_copy(&scene->db, scene->template);
	replica_open(&scene->one, &scene->db, "one");
	replica_open(&scene->two, &scene->db, "two");
	psql_open(&scene->admin, &scene->db, NULL);
	psql_open(&scene->ann, &scene->db, "user=" PLAIN_ROLE " application_name=ann");
	psql_open(&scene->bob, &scene->db, "user=" PLAIN_ROLE " application_name=bob");
	psql_open(&scene->eve, &scene->db, "user=" PLAIN_ROLE " application_name=eve");
	return 0;
}

int scene_teardown(void **state)
{
	struct scene *scene = *state;

	psql_close(&scene->one.psql);
	psql_close(&scene->two.psql);
	psql_close(&scene->admin);
	psql_close(&scene->ann);
	psql_close(&scene->bob);
	psql_close(&scene->eve);
	db_drop(&scene->db);
	free(scene);
	return 0;
}

void assert_locks(struct scene *scene, const struct replica *replica, const char *wanted)
{
	assert_value(&scene->admin, wanted,
		"select string_agg(gate || ' ' || mode, ', ' order by gate, mode) from deploy_gate.locks where granted "
		"and pid = %d",
		replica->psql.pid);
}

void assert_lease(struct scene *scene, const char *letter, const char *wanted)
{
	assert_value(&scene->admin, wanted,
		"select concat_ws(' ', state, ending, aftermath, case when overrun then 'overrun' end,"
		" case when contested then 'contested' end,"
		" case when not locked and state not in ('queued', 'ended') then 'unlocked' end)"
		" from deploy_gate.lease where id = repeat('%s', 32)",
		letter);
}

void make_due(struct scene *scene, const char *column)
{
	psql_run(&scene->admin, "update deploy_gate.lease set %s = %s - interval '1 hour' where %s is not null", column,
		column, column);
}

void start_waiting(struct scene *scene, struct psql *psql, const char *call, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, call);
	vsnprintf(text, sizeof(text), call, arguments);
	va_end(arguments);
	psql_send(psql, text);
	psql_until(&scene->admin, "select wait_event = 'PgSleep' from pg_stat_activity where pid = %d", psql->pid);
}

void assert_survives_cancels(struct scene *scene, const char *call, const char *locks)
{
	int cancelled = 0;

	for (int i = 0; i < 300; i++) {
		const char *came;
		bool failed;

		/* On one processor the call is done before a cancel comes, unless somebody is in its way till then. */
		if (i % 3 == 0)
			psql_run(&scene->bob, "select pg_advisory_lock(deploy_gate.key('a'))");
		psql_send(&scene->ann, call);
		psql_run(&scene->admin, "select count(*) from generate_series(1, %d)", i * 20);
		psql_run(&scene->bob, "select pg_advisory_unlock_all()");
		psql_cancel(&scene->ann);
		came = psql_finish(&scene->ann);
		failed = strcmp(came, "00000") != 0;
		cancelled += failed;
		assert_string_equal(came, failed ? "57014" : "00000");
		assert_value(&scene->admin, failed ? "0" : locks, LOCKS_OF(&scene->ann));
		psql_run(&scene->ann, "select pg_advisory_unlock_all()");
	}
	assert_in_range(cancelled, 1, 300);
}

void assert_looks_after_client(struct scene *scene, const char *call)
{
	struct psql over_tcp = { 0 };

	psql_open(&over_tcp, &scene->db, "host=127.0.0.1");
	psql_run(&over_tcp, "%s", call);
	assert_value(&over_tcp, "1s 3 1 3 6000",
		"select concat_ws(' ', current_setting('client_connection_check_interval'),"
		" current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),"
		" current_setting('tcp_keepalives_count'), current_setting('tcp_user_timeout'))");
	psql_close(&over_tcp);
}
