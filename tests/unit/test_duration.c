/* Durations: what is read, what is refused and with which words, what is written. */
#include "cases.h"

#include "base/duration.h"

static const struct good {
	const char *text;
	int64_t ms;
} good[] = {
	{ "1ms", 1 },
	{ "500ms", 500 },
	{ "90s", 90000 },
	{ "30m", 1800000 },
	{ "1h30m", 5400000 },
	{ "2d", 172800000 },
	{ "1d2h3m4s5ms", 93784005 },
	{ "007s", 7000 },
	{ "0d1s", 1000 },
	{ "366d", DURATION_MAX_MS },
	{ "31622400000ms", DURATION_MAX_MS },
};

static void test_duration__reads_what_people_write(void **state)
{
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		int64_t ms = -1;

		assert_int_equal(duration_parse("ttl", good[i].text, false, &ms, &fault), OUTCOME_OK);
		assert_int_equal(ms, good[i].ms);
	}
}

static const struct bad {
	const char *text, *why;
} bad[] = {
	{ "", "is not a duration" },
	{ "s", "is not a duration" },
	{ "-5s", "is not a duration" },
	{ "+5s", "is not a duration" },
	{ " 5s", "is not a duration" },
	{ "5s ", "is not a duration" },
	{ "5 s", "is not a duration" },
	{ "1.5h", "is not a duration" },
	{ "5S", "is not a duration" },
	{ "5w", "is not a duration" },
	{ "5mss", "is not a duration" },
	{ "1s1s", "is not a duration" },
	{ "1m1h", "is not a duration" },
	{ "1ms1s", "is not a duration" },
	{ "1h30", "is not a duration" },
	{ "1h-30m", "is not a duration" },
	{ "0x5s", "is not a duration" },
	{ "0s", "out of bounds: from 1ms to 366d" },
	{ "0d0ms", "out of bounds" },
	{ "366d1ms", "out of bounds" },
	{ "367d", "out of bounds" },
	{ "99999999999999999999d", "out of bounds" },
	{ "9223372036854775808ms", "out of bounds" },
	{ "366d99999999999999999999ms", "out of bounds" },
};

static void test_duration__refuses_the_rest_with_a_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct fault fault = { 0 };
		int64_t ms = -1;

		assert_int_equal(duration_parse("ttl", bad[i].text, false, &ms, &fault), OUTCOME_BAD_REQUEST);
		assert_int_equal(fault.outcome, OUTCOME_BAD_REQUEST);
		assert_int_equal(ms, -1);
		assert_contains(fault.detail, "ttl: ");
		assert_contains(fault.detail, bad[i].why);
	}
}

static void test_duration__bare_number_is_refused(void **state)
{
	struct fault fault;
	int64_t ms;

	(void)state;
	assert_int_equal(duration_parse("wait", "90", true, &ms, &fault), OUTCOME_BAD_REQUEST);
	assert_string_equal(
		fault.detail, "wait: \"90\" has no unit: write 90s, 90m or 90h (the units are ms, s, m, h and d)");
	assert_int_equal(duration_parse("wait", "0", true, &ms, &fault), OUTCOME_BAD_REQUEST);
}

static void test_duration__zero_is_allowed_where_asked_for(void **state)
{
	struct fault fault;
	int64_t ms = -1;

	(void)state;
	assert_int_equal(duration_parse("wait", "0s", true, &ms, &fault), OUTCOME_OK);
	assert_int_equal(ms, 0);
}

static void test_duration__hostile_length_is_cut_in_the_sentence(void **state)
{
	char text[5000];
	struct fault fault;
	int64_t ms;

	(void)state;
	memset(text, '9', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(duration_parse("ttl", text, false, &ms, &fault), OUTCOME_BAD_REQUEST);
	assert_true(strlen(fault.detail) < 250);
}

static void test_duration__format_is_read_back(void **state)
{
	static const int64_t values[] = { 0, 1, 999, 1000, 61001, 5400000, 93784005, DURATION_MAX_MS };
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		char text[DURATION_TEXT_MAX];
		int64_t ms = -1;

		duration_format(values[i], text);
		assert_int_equal(duration_parse("x", text, true, &ms, &fault), OUTCOME_OK);
		assert_int_equal(ms, values[i]);
	}
}

static const struct said {
	int64_t ms;
	const char *text;
} said[] = {
	{ -5, "0ms" },
	{ 0, "0ms" },
	{ 800, "800ms" },
	{ 999, "999ms" },
	{ 1000, "1s" },
	{ 1499, "1s" },
	{ 1500, "2s" },
	{ 59499, "59s" },
	{ 59500, "1m" },
	{ 250000, "4m 10s" },
	{ 3599500, "1h" },
	{ 3600000, "1h" },
	{ 5400000, "1h 30m" },
	{ 5429999, "1h 30m" },
	{ 86399999, "1d" },
	{ 183600000, "2d 3h" },
	{ DURATION_MAX_MS, "366d" },
};

static void test_duration__said_in_two_units(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(said); i++) {
		char text[DURATION_TEXT_MAX];

		duration_say(said[i].ms, text);
		assert_string_equal(text, said[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duration__reads_what_people_write),
		cmocka_unit_test(test_duration__refuses_the_rest_with_a_sentence),
		cmocka_unit_test(test_duration__bare_number_is_refused),
		cmocka_unit_test(test_duration__zero_is_allowed_where_asked_for),
		cmocka_unit_test(test_duration__hostile_length_is_cut_in_the_sentence),
		cmocka_unit_test(test_duration__format_is_read_back),
		cmocka_unit_test(test_duration__said_in_two_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
