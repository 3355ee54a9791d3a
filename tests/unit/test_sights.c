#include "cases.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/sights.h"
#include "pg/snapshot.h"

/* A row of the query "snapshot": of the gate at that place. */
struct row {
	const char *place, *lease, *free, *known, *facts;
};

static void set_cell(PGresult *rows, int row, int column, const char *text)
{
	assert_true(PQsetvalue(rows, row, column, (char *)(uintptr_t)text, text ? (int)strlen(text) : -1));
}

static void note(struct sights *sights, const struct row *found, size_t count)
{
	PGresAttDesc columns[] = { { .name = "place" }, { .name = "lease" }, { .name = "live" }, { .name = "free" },
		{ .name = "known" }, { .name = "facts" } };
	PGresult *rows = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

	assert_true(PQsetResultAttrs(rows, COUNT(columns), columns));
	for (int i = 0; i < (int)count; i++) {
		set_cell(rows, i, 0, found[i].place);
		set_cell(rows, i, 1, found[i].lease);
		set_cell(rows, i, 2, found[i].lease ? "t" : NULL);
		set_cell(rows, i, 3, found[i].free);
		set_cell(rows, i, 4, found[i].known);
		set_cell(rows, i, 5, found[i].facts);
	}
	sights_note(sights, rows);
	PQclear(rows);
}

static void test_sights__each_gate_is_asked_once_and_behind_its_ancestors(void **state)
{
	struct sights sights = { 0 };
	const char *asked[3];

	(void)state;
	sights_want(&sights, "a.b.c", false);
	sights_want(&sights, "d", true);
	sights_want(&sights, "a.b.e", false);
	sights_want(&sights, "a.b.c", true);
	sights_want(&sights, "a", false);
	sights_ask(&sights, asked);
	assert_string_equal(asked[0], "{\"a\",\"a.b\",\"a.b.c\",\"d\",\"a.b.e\"}");
	assert_string_equal(asked[1], "{\"a\",\"a,a.b\",\"a,a.b,a.b.c\",\"d\",\"a,a.b,a.b.e\"}");
	assert_string_equal(asked[2], "{f,f,t,t,f}");
	sights_forget(&sights);
	sights_want(&sights, "e", false);
	sights_ask(&sights, asked);
	assert_string_equal(asked[0], "{\"e\"}");
	sights_release(&sights);
}

static void test_sights__a_lock_that_is_not_to_be_had_blocks_what_is_below(void **state)
{
	static const struct row found[] = {
		/* In whatever order they come. */
		{ "4", NULL, "t", "f", NULL },
		{ "2", NULL, "f", "t", NULL },
		{ "3", NULL, "t", "f", NULL },
		{ "1", NULL, "t", "t", NULL },
	};
	struct sights sights = { 0 };

	(void)state;
	sights_want(&sights, "a.b.c", true);
	sights_want(&sights, "a.d", true);
	note(&sights, found, COUNT(found));
	assert_int_equal(sights_find(&sights, "a")->state, SIGHT_OPEN);
	assert_true(sights_find(&sights, "a")->known);
	assert_int_equal(sights_find(&sights, "a.b")->state, SIGHT_BLOCKED);
	assert_int_equal(sights_find(&sights, "a.b.c")->state, SIGHT_BLOCKED);
	assert_int_equal(sights_find(&sights, "a.d")->state, SIGHT_OPEN);
	assert_false(sights_find(&sights, "a.d")->known);
	assert_string_equal(sights_ask_blocked(&sights), "{\"a.b\",\"a.b.c\"}");
	sights_release(&sights);
}

static void test_sights__a_window_shuts_whatever_its_locks_are(void **state)
{
	static const struct row found[] = {
		{ "1", "0123456789abcdef0123456789abcdef", NULL, "t", NULL },
		{ "2", "0123456789abcdef0123456789abcdef", NULL, "t", "{\"name\":\"a.b\"}" },
	};
	struct sights sights = { 0 };
	const struct sight *sight;

	(void)state;
	sights_want(&sights, "a.b", true);
	note(&sights, found, COUNT(found));
	sight = sights_find(&sights, "a.b");
	assert_int_equal(sight->state, SIGHT_SHUT);
	assert_string_equal(sight->lease, "0123456789abcdef0123456789abcdef");
	assert_string_equal(sight->facts, "{\"name\":\"a.b\"}");
	assert_null(sights_ask_blocked(&sights));
	sights_release(&sights);
}

static void test_sights__there_is_room_for_so_many_and_no_more(void **state)
{
	struct sights sights = { 0 };
	char name[32];

	(void)state;
	for (int i = 0; sights_fit(&sights, 1); i++) {
		snprintf(name, sizeof(name), "a%d.b.c.d.e.f.g.h", i);
		sights_want(&sights, name, false);
	}
	assert_true(sights.count <= SIGHTS_MAX);
	assert_true(sights.count > SIGHTS_MAX - 8);
	sights_release(&sights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sights__each_gate_is_asked_once_and_behind_its_ancestors),
		cmocka_unit_test(test_sights__a_lock_that_is_not_to_be_had_blocks_what_is_below),
		cmocka_unit_test(test_sights__a_window_shuts_whatever_its_locks_are),
		cmocka_unit_test(test_sights__there_is_room_for_so_many_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
