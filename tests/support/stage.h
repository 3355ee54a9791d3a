/* stage: what the tests over HTTP stand on: a database of their own, two servers on it, somebody in psql, and requests. */
#ifndef SUPPORT_STAGE_H
#define SUPPORT_STAGE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "support/db.h"
#include "support/http.h"
#include "support/server.h"

struct stage {
	struct db db;
	struct server one, two;
	struct psql admin;		/* superuser, who observes */
	struct http http;
};

/* For cmocka_run_group_tests, where all tests share a stage and each has gates of its own. */
int stage_setup(void **state);
int stage_teardown(void **state);

/* For tests that break what they stand on. */
#define STAGE_TEST(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)

/* A token that a word makes; each belongs to one lease of the whole stage. */
#define TOKEN(word) word "-0123456789abcdefghijkl"

/* Requests to the first server, answered: the target, and the body as in http_begin. stage is a struct stage *. */
struct ask *get(void *stage, const char *target);
struct ask *post(void *stage, const char *target, const char *body, ...) __attribute__((format(printf, 3, 4)));

/* Begins a pass, a close, or the release of a lease by its maker's answer; an even turn asks the first server, an odd one the
 * second. release: and it is done. */
struct ask *begin_pass(struct stage *, int turn, const char *gates, const char *body);
struct ask *begin_close(struct stage *, int turn, const char *gates, const char *body);
struct ask *begin_release(struct stage *, int turn, const struct ask *lease);
void release(struct stage *, int turn, const struct ask *lease);

#define assert_text(ask, path, wanted) assert_string_equal(ask_text(ask, path), wanted)
#define assert_number(ask, path, wanted) assert_int_equal(ask_number(ask, path), wanted)

/* Whether a text contains another; shows both where it does not. */
#define assert_contains(text, part)                                                                                    \
	do {                                                                                                           \
		if (!strstr(text, part))                                                                               \
			fail_msg("\"%s\" is not in \"%s\"", part, text);                                               \
	} while (0)

/* Begins a check of many deep gates, which nobody shuts: it makes whatever is looked at together with it take longer. */
struct ask *begin_ballast(struct stage *, const struct server *);

/* Waits until the gate has so many jobs, or deploys, waiting. */
void await_jobs(struct stage *, const char *gate, int count);
void await_deploys(struct stage *, const char *gate, int count);

#endif
