/* Names of gates, sets of them, texts, addresses and tokens: what may come in. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/names.h"

#define TEN "abcdefghij"
#define LONG_120 TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static void test_names__gates_are_read_in_order_without_doubles(void **state)
{
	struct gates *gates;
	struct fault fault;

	(void)state;
	assert_int_equal(gates_parse("b.c,a,b.c,A_-9", &gates, &fault), OUTCOME_OK);
	assert_int_equal(gates->count, 3);
	assert_string_equal(gates_name(gates, 0), "b.c");
	assert_string_equal(gates_name(gates, 1), "a");
	assert_string_equal(gates_name(gates, 2), "A_-9");
	free(gates);
}

static void test_names__longest_names_and_largest_sets_fit(void **state)
{
	char text[16 * 130];
	size_t length = 0;
	struct gates *gates;
	struct fault fault;

	(void)state;
	for (int i = 0; i < 16; i++)
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "%s" LONG_120 "12345%03d", i ? "," : "", i);
	assert_int_equal(gates_parse(text, &gates, &fault), OUTCOME_OK);
	assert_int_equal(gates->count, 16);
	assert_int_equal(strlen(gates_name(gates, 15)), 128);
	free(gates);
	assert_int_equal(gate_name_check("1.2.3.4.5.6.7.8", &fault), OUTCOME_OK);
}

static void test_names__bad_sets_say_which_name_and_why(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "must not be empty" },
		{ ",", "must not be empty" },
		{ "a,", "must not be empty" },
		{ ",a", "must not be empty" },
		{ "a,,b", "must not be empty" },
		{ "a,b c", "\"b c\" is not a name" },
		{ ".", "is not a name" },
		{ "a.", "is not a name" },
		{ ".a", "is not a name" },
		{ "a..b", "is not a name" },
		{ "a/b", "is not a name" },
		{ "a%b", "is not a name" },
		{ "ä", "is not a name" },
		{ "a\n", "is not a name" },
		{ "1.2.3.4.5.6.7.8.9", "has 9 segments" },
		{ LONG_120 "123456789", "too long" },
		{ "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "at most 16" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct gates *gates = NULL;
		struct fault fault = { 0 };

		assert_int_equal(gates_parse(cases[i].text, &gates, &fault), OUTCOME_BAD_REQUEST);
		assert_null(gates);
		assert_contains(fault.detail, cases[i].why);
	}
}

static void test_names__a_single_name_has_no_comma(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(gate_name_check("a.b", &fault), OUTCOME_OK);
	assert_int_equal(gate_name_check("a,b", &fault), OUTCOME_BAD_REQUEST);
}

static void test_names__ancestors_cover(void **state)
{
	(void)state;
	assert_true(gate_covers("a", "a"));
	assert_true(gate_covers("a", "a.b"));
	assert_true(gate_covers("a.b", "a.b.c"));
	assert_false(gate_covers("a.b", "a"));
	assert_false(gate_covers("a", "ab"));
	assert_false(gate_covers("a.b", "a.bc"));
	assert_int_equal(gate_depth("a.b.c"), 3);
	assert_int_equal(gate_depth("a"), 1);
	assert_int_equal(gate_parent_len("a.b.c", 5), 3);
	assert_int_equal(gate_parent_len("a.b.c", 1), 0);
}

static void test_names__texts(void **state)
{
	char longest[TEXT_MAX_BYTES + 2];
	struct fault fault;

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[TEXT_MAX_BYTES] = '\0';
	assert_int_equal(text_check("reason", longest, &fault), OUTCOME_OK);
	longest[TEXT_MAX_BYTES] = 'x';
	longest[TEXT_MAX_BYTES + 1] = '\0';
	assert_int_equal(text_check("reason", longest, &fault), OUTCOME_BAD_REQUEST);
	assert_string_equal(fault.detail, "reason: 1025 bytes are too many: at most 1024");
	assert_int_equal(text_check("reason", "Grüße 🚀 \"q\" <b>", &fault), OUTCOME_OK);
	assert_int_equal(text_check("reason", "", &fault), OUTCOME_OK);
}

static void test_names__bad_texts_say_where(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "a\nb", "control character at byte 2" },
		{ "\t", "control character at byte 1" },
		{ "ab\x7F", "control character at byte 3" },
		{ "\xC2\x85", "control character" },
		{ "\xC3", "not valid UTF-8 at byte 1" },
		{ "x\x80", "not valid UTF-8 at byte 2" },
		{ "\xC0\xAF", "not valid UTF-8" },
		{ "\xE0\x80\xAF", "not valid UTF-8" },
		{ "\xED\xA0\x80", "not valid UTF-8" },
		{ "\xF4\x90\x80\x80", "not valid UTF-8" },
		{ "\xF0\x9F\x9A", "not valid UTF-8" },
		{ "\xFF", "not valid UTF-8" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fault fault = { 0 };

		assert_int_equal(text_check("holder", cases[i].text, &fault), OUTCOME_BAD_REQUEST);
		assert_contains(fault.detail, cases[i].why);
	}
}

static void test_names__urls(void **state)
{
	static const char *const good[] = { "http://x", "https://ci.example/run/1?a=b#c", "http://[::1]:80/",
		"https://u:p@h/" };
	static const char *const bad[] = { "",		"x",	     "ftp://x",	  "javascript:alert(1)", "HTTP://x", "http://",
		"https:///x", "http://?x", "http://:80", "http://a b", "http://a\"b" };
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++)
		assert_int_equal(url_check("url", good[i], &fault), OUTCOME_OK);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(url_check("url", bad[i], &fault), OUTCOME_BAD_REQUEST);
}

static void test_names__tokens_are_checked_and_never_repeated(void **state)
{
	static const char *const bad[] = { "", "secretsecretsecretsec", "secretsecretsecretsecre ",
		"secretsecretsecretsecr/", "secretsecretsecretsecr.t", LONG_120 "123456789" };
	struct fault fault;

	(void)state;
	assert_int_equal(token_check("secretsecretsecretsecr", &fault), OUTCOME_OK);
	assert_int_equal(token_check(LONG_120 "1234_-78", &fault), OUTCOME_OK);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(token_check(bad[i], &fault), OUTCOME_BAD_REQUEST);
		assert_null(strstr(fault.detail, "secret"));
	}
}

static void test_names__made_tokens_are_good_and_differ(void **state)
{
	char one[TOKEN_MADE_LEN + 1], other[TOKEN_MADE_LEN + 1];
	struct fault fault;

	(void)state;
	token_make(one);
	token_make(other);
	assert_int_equal(strlen(one), TOKEN_MADE_LEN);
	assert_int_equal(token_check(one, &fault), OUTCOME_OK);
	assert_string_not_equal(one, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names__gates_are_read_in_order_without_doubles),
		cmocka_unit_test(test_names__longest_names_and_largest_sets_fit),
		cmocka_unit_test(test_names__bad_sets_say_which_name_and_why),
		cmocka_unit_test(test_names__a_single_name_has_no_comma),
		cmocka_unit_test(test_names__ancestors_cover),
		cmocka_unit_test(test_names__texts),
		cmocka_unit_test(test_names__bad_texts_say_where),
		cmocka_unit_test(test_names__urls),
		cmocka_unit_test(test_names__tokens_are_checked_and_never_repeated),
		cmocka_unit_test(test_names__made_tokens_are_good_and_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
