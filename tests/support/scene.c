#include "support/scene.h"

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
