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

/* How changes of a replica come out, their arguments as in replica.h. */
#define assert_pass(wanted, replica, letter, gates, more)                                                              \
	assert_string_equal(replica_pass(replica, letter, gates, more), wanted)
#define assert_close(wanted, replica, letter, gates, more)                                                             \
	assert_string_equal(replica_close(replica, letter, gates, more), wanted)
#define assert_release(wanted, replica, letter) assert_string_equal(replica_release(replica, letter), wanted)

/* The locks of a replica on known gates: "g shared, g.x exclusive"; and how a lease stands: "draining unlocked". */
void assert_locks(struct scene *, const struct replica *, const char *wanted);
void assert_lease(struct scene *, const char *letter, const char *wanted);

/* As if a drain, or what else is due at that column of the leases, had come to its end. */
void make_due(struct scene *, const char *column);

/* How many advisory locks a session has. */
#define LOCKS_OF(psql) "select count(*) from pg_locks where locktype = 'advisory' and pid = %d", (psql)->pid

/* Sends a call of a procedure that waits, and returns once it has tried in vain. */
void start_waiting(struct scene *, struct psql *, const char *call, ...) __attribute__((format(printf, 3, 4)));

/* Whenever a cancel comes, a failure of the call, for a gate below a, means that nothing is held, and success that all is: so
 * many locks. */
void assert_survives_cancels(struct scene *, const char *call, const char *locks);

/* The session of the call is set up so that the server notices when its client is gone. */
void assert_looks_after_client(struct scene *, const char *call);

#endif
