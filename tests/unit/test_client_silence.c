/* The clock of a holder that hears nothing: early enough that nobody else can have the gate yet. */
#include "cases.h"

#include "silence.h"

static const struct row {
	int64_t ttl_ms, life_ms, grace_ms, renew_ms, term_ms, kill_ms;
} rows[] = {
	{ 15000, 15000, 0, 5000, 10000, 14000 },
	{ 15000, 15000, 5000, 5000, 10000, 19000 },
	{ 60000, 60000, 0, 20000, 55000, 59000 },
	{ 3000, 3000, 0, 1000, 2000, 2800 },
	{ 300, 300, 0, 100, 200, 280 },
	{ 0, 0, 0, 0, 0, 0 },
	/* near its max a lease lives shorter, and its command wants as long to end as ever */
	{ 15000, 9000, 5000, 3000, 4000, 13000 },
	{ 15000, 3000, 0, 1000, -2000, 2000 },
};

static void test_silence__counts_from_the_sending_of_what_was_acknowledged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct silence silence = { 1000, rows[i].life_ms, rows[i].grace_ms, rows[i].ttl_ms };

		assert_int_equal(silence_over_at(&silence), 1000 + rows[i].life_ms);
		assert_int_equal(silence_renew_at(&silence), 1000 + rows[i].renew_ms);
		assert_int_equal(silence_term_at(&silence), 1000 + rows[i].term_ms);
		assert_int_equal(silence_kill_at(&silence), 1000 + rows[i].kill_ms);
	}
}

static void test_silence__ends_before_somebody_else_can_have_the_gate(void **state)
{
	(void)state;
	for (int64_t life_ms = 100; life_ms < 120000; life_ms += 37) {
		struct silence silence = { 0, life_ms, 0, life_ms };

		assert_true(silence_renew_at(&silence) < silence_term_at(&silence));
		assert_true(silence_term_at(&silence) < silence_kill_at(&silence));
		assert_true(silence_kill_at(&silence) < silence_over_at(&silence));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence__counts_from_the_sending_of_what_was_acknowledged),
		cmocka_unit_test(test_silence__ends_before_somebody_else_can_have_the_gate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
