/* scene: what each test of the SQL begins with: a database of its own, two replicas, and people in psql. */
#ifndef SUPPORT_SCENE_H
#define SUPPORT_SCENE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "support/replica.h"

struct scene {
	struct db db;
	struct replica one, two;
	struct psql admin;		/* superuser, who observes */
	struct psql ann, bob, eve;	/* sessions of a role that has no rights: user PLAIN_ROLE */
	const struct db *template;
};

#define PLAIN_ROLE "deploy_gate_test_plain"

/* For cmocka_run_group_tests: scene_group_setup, scene_group_teardown. */
int scene_group_setup(void **state);
int scene_group_teardown(void **state);

/* A test with a scene: its state is a struct scene *. */
#define SCENE_TEST(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
int scene_setup(void **state);
int scene_teardown(void **state);

/* Whether a text contains another; shows both where it does not. */
#define assert_contains(text, part)                                                                                    \
	do {                                                                                                           \
		if (!strstr(text, part))                                                                               \
			fail_msg("\"%s\" is not in \"%s\"", part, text);                                               \
	} while (0)

/* What a query says, and with which SQLSTATE a statement comes out. */
#define assert_value(psql, wanted, ...) assert_string_equal(psql_value(psql, __VA_ARGS__), wanted)
#define assert_state(psql, wanted, ...) assert_string_equal(psql_state(psql, __VA_ARGS__), wanted)

#endif
