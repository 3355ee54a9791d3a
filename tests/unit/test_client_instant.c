/* Points in time as the service writes them. */
#include "cases.h"

#include <stdbool.h>

#include "instant.h"

static const struct row {
	const char *text;
	bool good;
	int64_t ms;
} rows[] = {
	{ "1970-01-01T00:00:00.000Z", true, 0 },
	{ "1970-01-01T00:00:01.234Z", true, 1234 },
	{ "2026-11-22T01:07:31.007Z", true, 1795309651007 },
	{ "2026-11-22T01:07:31Z", true, 1795309651000 },
	{ "2026-11-22T01:07:31.5Z", true, 1795309651500 },
	{ "2024-02-29T23:59:59.999999Z", true, 1709251199999 },
	{ "2026-11-22T01:07:31.007+01:00", false, 0 },
	{ "2026-11-22T01:07:31.007", false, 0 },
	{ "2026-11-22T01:07:31.007Z and more", false, 0 },
	{ "2026-11-22", false, 0 },
	{ "now", false, 0 },
	{ "", false, 0 },
	{ NULL, false, 0 },
};

static void test_instant__is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t ms = 0;

		assert_int_equal(instant_parse(rows[i].text, &ms), rows[i].good);
		assert_int_equal(ms, rows[i].ms);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instant__is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
