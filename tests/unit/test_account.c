#include "pg/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_held(const struct account *account, char mode, const char *expected)
{
	char *literal = account_literal(account, mode);

	assert_string_equal(literal, expected);
	free(literal);
}

static void test_account__shows_each_mode_as_an_array(void **state)
{
	struct account account;

	(void)state;
	account_init(&account);
	assert_held(&account, 'x', "{}");
	account_add(&account, INT64_MIN, 'x');
	account_add(&account, 7, 's');
	account_add(&account, INT64_MAX, 'x');
	assert_held(&account, 'x', "{-9223372036854775808,9223372036854775807}");
	assert_held(&account, 's', "{7}");
	account_release(&account);
}

/* PostgreSQL counts a lock taken twice; we never take one twice, so once added it is there once. */
static void test_account__holds_a_lock_once(void **state)
{
	struct account account;

	(void)state;
	account_init(&account);
	account_add(&account, 1, 's');
	account_add(&account, 1, 's');
	account_add(&account, 1, 'x');
	account_remove(&account, 1, 's');
	assert_held(&account, 's', "{}");
	assert_held(&account, 'x', "{1}");
	account_remove(&account, 2, 'x');
	assert_held(&account, 'x', "{1}");
	account_clear(&account);
	assert_held(&account, 'x', "{}");
	account_release(&account);
}

static void test_account__grows(void **state)
{
	struct account account;

	(void)state;
	account_init(&account);
	for (int64_t key = 0; key < 1000; key++)
		account_add(&account, key, 's');
	for (int64_t key = 0; key < 999; key++)
		account_remove(&account, key, 's');
	assert_held(&account, 's', "{999}");
	account_release(&account);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_account__shows_each_mode_as_an_array),
		cmocka_unit_test(test_account__holds_a_lock_once),
		cmocka_unit_test(test_account__grows),
	};

	return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
