/* What a session is refused for before it is used. */
#include "pg/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char pinned[] =
	"DateStyle=ISO, MDY TimeZone=UTC client_connection_check_interval=1000 default_transaction_isolation=read "
	"committed "
	"default_transaction_read_only=off idle_in_transaction_session_timeout=0 idle_session_timeout=0 "
	"lock_timeout=500 search_path=pg_catalog,pg_temp statement_timeout=0 synchronous_commit=on";

enum { COLUMNS = 6 };

/* Without a connection the backend's number is 0. */
static const char *const good[COLUMNS] = { "150004", "0", "f", pinned, "7000000000000000001", "3" };

static PGresult *answer(const char *const values[COLUMNS])
{
	static const char *const names[COLUMNS] = { "version", "pid", "standby", "settings", "system_identifier",
		"timeline" };
	PGresult *row = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc columns[COLUMNS] = { 0 };

	for (int i = 0; i < COLUMNS; i++)
		columns[i].name = (char *)(uintptr_t)names[i];
	assert_true(PQsetResultAttrs(row, COLUMNS, columns));
	for (int i = 0; i < COLUMNS; i++)
		assert_true(PQsetvalue(row, 0, i, (char *)(uintptr_t)values[i], (int)strlen(values[i])));
	return row;
}

static enum outcome judge(
	const char *const values[COLUMNS], char cluster[static VERIFY_CLUSTER_MAX], struct fault *fault)
{
	PGresult *row = answer(values);
	enum outcome outcome = verify_judge(NULL, row, cluster, fault);

	PQclear(row);
	return outcome;
}

static void test_verify__says_which_cluster_it_found(void **state)
{
	char cluster[VERIFY_CLUSTER_MAX];
	struct fault fault;

	(void)state;
	assert_int_equal(judge(good, cluster, &fault), OUTCOME_OK);
	assert_string_equal(cluster, "7000000000000000001/3");
}

/* What roles, databases and proxies change behind our back: one column of what was found, and what is said of it. */
static const struct bad {
	int column;
	const char *value, *says;
} bads[] = {
	{ 0, "130014", "use version 14" },
	{ 1, "4711", "pooler" },
	{ 2, "t", "standby" },
	{ 3, "", "overrides the settings" },
	{ 3, "TimeZone=UTC", "found TimeZone=UTC" },
	{ 3, "synchronous_commit=off", "found synchronous_commit=off" },
};

static void test_verify__refuses_what_a_person_has_to_change(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const char *values[COLUMNS];
		char cluster[VERIFY_CLUSTER_MAX] = "untouched";
		struct fault fault;

		memcpy(values, good, sizeof(values));
		values[bads[i].column] = bads[i].value;
		assert_int_equal(judge(values, cluster, &fault), OUTCOME_FORBIDDEN);
		if (!strstr(fault.detail, bads[i].says))
			fail_msg("%s: wanted \"%s\"", fault.detail, bads[i].says);
		assert_string_equal(cluster, "untouched");
	}
}

static void test_verify__an_answer_that_is_none_may_pass(void **state)
{
	PGresult *none = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
	char cluster[VERIFY_CLUSTER_MAX];
	struct fault fault;

	(void)state;
	assert_int_equal(verify_judge(NULL, none, cluster, &fault), OUTCOME_UNAVAILABLE);
	PQclear(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verify__says_which_cluster_it_found),
		cmocka_unit_test(test_verify__refuses_what_a_person_has_to_change),
		cmocka_unit_test(test_verify__an_answer_that_is_none_may_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
