/* How long one address of several is waited for. */
#include "cases.h"

#include "patience.h"

static const struct scene {
	struct patience patience;
	int64_t connect_ms, answer_ms;
} scenes[] = {
	/* the only one there is */
	{ { 1, 0, 10000 }, 3000, 10000 },
	{ { 1, 7, 10000 }, 3000, 10000 },
	{ { 1, 0, 2000 }, 2000, 2000 },
	/* of several little at first, and more with each round */
	{ { 2, 0, 10000 }, 1000, 3000 },
	{ { 2, 1, 10000 }, 1000, 3000 },
	{ { 2, 2, 10000 }, 2000, 6000 },
	{ { 2, 4, 10000 }, 3000, 10000 },
	{ { 8, 7, 10000 }, 1000, 3000 },
	{ { 8, 8, 10000 }, 2000, 6000 },
	{ { 2, 4000000000U, 10000 }, 3000, 10000 },
	/* never more than was asked for */
	{ { 2, 0, 500 }, 500, 500 },
	{ { 2, 2, 2500 }, 2000, 2500 },
};

static void test_patience__is_short_where_there_is_somewhere_else_to_go(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(scenes); i++) {
		assert_int_equal(patience_to_connect(&scenes[i].patience), scenes[i].connect_ms);
		assert_int_equal(patience_to_answer(&scenes[i].patience), scenes[i].answer_ms);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patience__is_short_where_there_is_somewhere_else_to_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
