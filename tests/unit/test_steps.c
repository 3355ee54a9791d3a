/* Since when somebody waits who asks in steps. */
#include "gate/steps.h"

#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

enum { BEGUN = 1000000, SINCE = 77, LATER = 88 };

static void test_steps__the_next_goes_on_from_the_one_before(void **state)
{
	static const struct {
		uint64_t gap_ms;
		int64_t since_ms;
	} cases[] = {
		{ 0, SINCE },
		{ STEPS_KEPT_MS, SINCE },
		{ 2 * STEPS_KEPT_MS, LATER },
		{ 100 * STEPS_KEPT_MS, LATER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct steps *s = steps_new();

		steps_end(s, "ann", SINCE, BEGUN);
		assert_int_equal(steps_since(s, "ann", LATER, BEGUN + cases[i].gap_ms), cases[i].since_ms);
		assert_int_equal(steps_since(s, "bob", LATER, BEGUN + cases[i].gap_ms), LATER);
		steps_free(s);
	}
}

/* What ended just before the older ones are forgotten is not. */
static void test_steps__each_is_kept_for_the_moment(void **state)
{
	struct steps *s = steps_new();
	uint64_t now_ms = BEGUN;

	(void)state;
	steps_end(s, "early", SINCE, now_ms);
	now_ms += STEPS_KEPT_MS - 1;
	steps_end(s, "late", SINCE, now_ms);
	for (uint64_t end_ms = now_ms + STEPS_KEPT_MS; now_ms < end_ms; now_ms += STEPS_KEPT_MS / 4)
		assert_int_equal(steps_since(s, "late", LATER, now_ms), SINCE);
	steps_free(s);
}

static void test_steps__many_tell_of_the_first(void **state)
{
	struct steps *s = steps_new();
	uint64_t now_ms = BEGUN;
	int64_t since_ms = SINCE;

	(void)state;
	for (int i = 0; i < 100; i++, now_ms += 30 * 1000) {
		steps_end(s, "ann", since_ms, now_ms);
		since_ms = steps_since(s, "ann", LATER, now_ms);
	}
	assert_int_equal(since_ms, SINCE);
	steps_free(s);
}

/* A crowd costs no more than a bound. */
static void test_steps__beyond_the_bound_is_a_first_again(void **state)
{
	enum { CROWD = 20000 };
	struct steps *s = steps_new();
	char name[32];

	(void)state;
	for (int i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "%d", i);
		steps_end(s, name, SINCE, BEGUN);
	}
	steps_end(s, "one more", SINCE, BEGUN);
	assert_int_equal(steps_since(s, name, LATER, BEGUN), SINCE);
	assert_int_equal(steps_since(s, "one more", LATER, BEGUN), LATER);
	steps_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps__the_next_goes_on_from_the_one_before),
		cmocka_unit_test(test_steps__each_is_kept_for_the_moment),
		cmocka_unit_test(test_steps__many_tell_of_the_first),
		cmocka_unit_test(test_steps__beyond_the_bound_is_a_first_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
