/* The table of outcomes: complete, and as the contract says. */
#include "cases.h"

#include "base/outcome.h"

static void test_outcome__every_row_is_filled_and_found_by_its_word(void **state)
{
	(void)state;
	for (int i = 0; i < OUTCOME_COUNT; i++) {
		const struct outcome_row *row = outcome_row((enum outcome)i);

		assert_non_null(row->word);
		assert_non_null(row->title);
		assert_int_equal(outcome_of_word(row->word), i);
		assert_in_range(row->retry_after_s, 0, 5);
	}
}

static void test_outcome__unknown_is_internal(void **state)
{
	(void)state;
	assert_int_equal(outcome_of_word("nonsense"), OUTCOME_INTERNAL);
	assert_int_equal(outcome_row((enum outcome)12345)->status, 500);
}

static void test_outcome__statuses_and_exits_of_the_contract(void **state)
{
	static const struct {
		const char *word;
		int status, exit;
	} contract[] = {
		{ "bad_request", 400, 64 },
		{ "unauthorized", 401, 77 },
		{ "forbidden", 403, 77 },
		{ "not_found", 404, 64 },
		{ "held", 409, 75 },
		{ "draining", 409, 75 },
		{ "drain_timeout", 409, 79 },
		{ "frozen", 409, 75 },
		{ "not_holder", 409, 77 },
		{ "token_used", 409, 77 },
		{ "gone", 410, 76 },
		{ "closed", 423, 75 },
		{ "full", 423, 75 },
		{ "too_many", 429, 75 },
		{ "internal", 500, 70 },
		{ "unavailable", 503, 69 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(contract); i++) {
		const struct outcome_row *row = outcome_row(outcome_of_word(contract[i].word));

		assert_int_equal(row->status, contract[i].status);
		assert_int_equal(row->exit, contract[i].exit);
	}
}

static void test_outcome__what_may_pass_says_when_to_ask_again(void **state)
{
	static const enum outcome passing[] = { OUTCOME_HELD, OUTCOME_DRAINING, OUTCOME_FROZEN,	 OUTCOME_CLOSED,
		OUTCOME_FULL, OUTCOME_TOO_MANY, OUTCOME_UNAVAILABLE };

	(void)state;
	for (size_t i = 0; i < COUNT(passing); i++)
		assert_in_range(outcome_row(passing[i])->retry_after_s, 1, 5);
	assert_int_equal(outcome_row(OUTCOME_GONE)->retry_after_s, 0);
}

static void test_outcome__fault_is_filled_and_returned(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(fault_set(&fault, OUTCOME_GONE, "lease %d ended", 7), OUTCOME_GONE);
	assert_int_equal(fault.outcome, OUTCOME_GONE);
	assert_string_equal(fault.detail, "lease 7 ended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome__every_row_is_filled_and_found_by_its_word),
		cmocka_unit_test(test_outcome__unknown_is_internal),
		cmocka_unit_test(test_outcome__statuses_and_exits_of_the_contract),
		cmocka_unit_test(test_outcome__what_may_pass_says_when_to_ask_again),
		cmocka_unit_test(test_outcome__fault_is_filled_and_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
