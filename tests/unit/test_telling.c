#include "pg/telling.h"

#include <stdlib.h>
#include <string.h>

#include "cases.h"

#define AT "2026-11-28 22:28:45.966623+00"

/* The fields of a row up to the one in question, from it on, and behind it. */
#define BEFORE_HOLDER "(closed,aa,window,{g},7,"
#define BEHIND_HOLDER ",,,,,1800000,14400000,open,0,7,"
#define BEHIND_TIMES ",f,abort,,,f,f,f,f,,,,,,)"
#define NO_TIMES "\"2026-11-28 22:28:45.966623+00\",,,"

static const struct {
	const char *row, *part;
} rows[] = {
	{ BEFORE_HOLDER BEHIND_HOLDER NO_TIMES BEHIND_TIMES,
		"{\"state\":\"closed\",\"id\":\"aa\",\"kind\":\"window\",\"gates\":[\"g\"],\"fence\":7,\"holder\":"
		"null," },
	{ "(queued,aa,window,\"{g,h.below,i}\",," BEHIND_HOLDER NO_TIMES BEHIND_TIMES,
		"\"gates\":[\"g\",\"h.below\",\"i\"],\"fence\":null," },
	{ "(queued,aa,window,\"{\"\"null\"\",b}\",," BEHIND_HOLDER NO_TIMES BEHIND_TIMES,
		"\"gates\":[\"null\",\"b\"]," },
	/* Texts as PostgreSQL quotes them in a row. */
	{ BEFORE_HOLDER "\"\"" BEHIND_HOLDER NO_TIMES BEHIND_TIMES, "\"holder\":\"\"," },
	{ BEFORE_HOLDER "\"a, (b) c\"" BEHIND_HOLDER NO_TIMES BEHIND_TIMES, "\"holder\":\"a, (b) c\"," },
	{ BEFORE_HOLDER "\"\"\"\"" BEHIND_HOLDER NO_TIMES BEHIND_TIMES, "\"holder\":\"\\u0022\"," },
	{ BEFORE_HOLDER "\"x\"\"y\\\\\\\\z\"\"\"" BEHIND_HOLDER NO_TIMES BEHIND_TIMES,
		"\"holder\":\"x\\u0022y\\u005c\\u005cz\\u0022\"," },
	{ BEFORE_HOLDER "\xc3\xa4rger" BEHIND_HOLDER NO_TIMES BEHIND_TIMES, "\"holder\":\"\xc3\xa4rger\"," },
	{ BEFORE_HOLDER BEHIND_HOLDER NO_TIMES
		",t,abort,,,f,t,t,f,\"[{\"\"pid\"\": 1, \"\"user\"\": \"\"a\\\\\"\"b\"\"}]\",,,,,)",
		"\"max_reached\":true,\"on_drain\":\"abort\",\"drain_until\":null,\"drain_in_ms\":null,\"stop_at\":"
		"null,"
		"\"stop_ago_ms\":null,\"attached\":false,\"was_attached\":true,\"contested\":true,\"overrun\":false,"
		"\"external\":[{\"pid\": 1, \"user\": \"a\\\"b\"}],\"ended_at\":null," },
	/* Times: to the millisecond, and their twins rounded. */
	{ BEFORE_HOLDER BEHIND_HOLDER NO_TIMES BEHIND_TIMES,
		"\"created_at\":\"2026-11-28T22:28:45.966Z\",\"created_ago_ms\":0,\"closed_at\":null,\"closed_ago_ms\":"
		"null," },
	{ BEFORE_HOLDER BEHIND_HOLDER "\"2026-11-28 22:28:45.4+00\",,," BEHIND_TIMES,
		"\"created_at\":\"2026-11-28T22:28:45.400Z\",\"created_ago_ms\":567," },
	{ BEFORE_HOLDER BEHIND_HOLDER "\"2026-11-28 22:28:45+00\",,," BEHIND_TIMES,
		"\"created_at\":\"2026-11-28T22:28:45.000Z\",\"created_ago_ms\":967," },
	{ BEFORE_HOLDER BEHIND_HOLDER "\"2026-11-28 22:28:46.000123+00\",,," BEHIND_TIMES,
		"\"created_at\":\"2026-11-28T22:28:46.000Z\",\"created_ago_ms\":-34," },
	{ BEFORE_HOLDER BEHIND_HOLDER "\"2026-11-28 22:28:45+00\",,\"2028-03-01 00:28:45.966623+00\"," BEHIND_TIMES,
		"\"expires_at\":\"2028-03-01T00:28:45.966Z\",\"expires_in_ms\":39578400000," },
	{ BEFORE_HOLDER BEHIND_HOLDER "\"2026-11-28 22:28:45+00\",,\"2026-11-28 22:28:45.965+00\"," BEHIND_TIMES,
		"\"expires_at\":\"2026-11-28T22:28:45.965Z\",\"expires_in_ms\":-2," },
};

static void test_telling__of_a_row(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char *told = telling_of_lease(rows[i].row, AT);

		if (!strstr(told, rows[i].part))
			fail_msg("%s is not in %s", rows[i].part, told);
		assert_string_equal(told + strlen(told) - strlen(",\"opens_in_ms\":null}"), ",\"opens_in_ms\":null}");
		free(told);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_telling__of_a_row),
	};

	return cmocka_run_group_tests_name("telling", tests, NULL, NULL);
}
