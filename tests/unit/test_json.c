/* Strict JSON in, exact JSON and text lines out. */
#include "cases.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "base/json.h"

static enum outcome parse(const char *text, cJSON **value, struct fault *fault)
{
	return json_parse(text, strlen(text), value, fault);
}

static void test_json__reads_what_is_json(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		" {\"a\" : 1 , \"b\" : [ true , false , null ] } \n",
		"\"x\"",
		"0",
		"-0.5e+10",
		"1E3",
		"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude80\"",
		"\"ä🚀\"",
		"{\"a\":{\"a\":1},\"A\":2}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct fault fault = { 0 };
		cJSON *value;

		if (parse(good[i], &value, &fault) != OUTCOME_OK)
			fail_msg("%s: %s", good[i], fault.detail);
		cJSON_Delete(value);
	}
}

static const struct {
	const char *text, *why;
} forgiven[] = {
	{ "", "a value is missing (at byte 1)" },
	{ "{} x", "something stands behind the value (at byte 4)" },
	{ "{}{}", "behind the value" },
	{ "\xEF\xBB\xBF{}", "not a value" },
	{ "{\"a\":1,\"a\":2}", "the name \"a\" twice" },
	{ "{\"a\":1,\"\\u0061\":2}", "the name \"a\" twice" },
	{ "{\"x\":{\"a\":1,\"b\":1,\"a\":2}}", "twice" },
	{ "{\"a\":\"\\u0000\"}", "\\u0000 is not allowed" },
	{ "[01]", "not a number" },
	{ "[1.]", "after the point" },
	{ "[.5]", "not a value" },
	{ "[+1]", "not a value" },
	{ "[-]", "not a value" },
	{ "[1e]", "exponent" },
	{ "[1x]", "not a number" },
	{ "[0x10]", "not a number" },
	{ "[truex]", "not a value" },
	{ "[tru]", "not a value" },
	{ "[NaN]", "not a value" },
	{ "[1,]", "not a value" },
	{ "{\"a\":1,}", "a name in double quotes" },
	{ "{a:1}", "a name in double quotes" },
	{ "{'a':1}", "a name in double quotes" },
	{ "{\"a\" 1}", "a colon is missing" },
	{ "{\"a\":1 \"b\":2}", "a comma or } is missing" },
	{ "[1 2]", "a comma or ] is missing" },
	{ "[", "a value is missing" },
	{ "{\"a\":", "a value is missing" },
	{ "\"a", "has no end" },
	{ "\"\n\"", "control character" },
	{ "\"\\x\"", "unknown escape" },
	{ "\"\\u12g4\"", "four hex digits" },
	{ "\"\\ud800\"", "half a surrogate" },
	{ "\"\\ud800\\u0041\"", "half a surrogate" },
	{ "\"\\udc00\"", "half a surrogate" },
	{ "\"\xC3\"", "UTF-8" },
	{ "\v{}", "not a value" },
	{ "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "nested too deeply" },
};

static void test_json__refuses_what_cjson_would_forgive(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(forgiven); i++) {
		struct fault fault = { 0 };
		cJSON *value = NULL;

		if (parse(forgiven[i].text, &value, &fault) != OUTCOME_BAD_REQUEST)
			fail_msg("%s was taken", forgiven[i].text);
		assert_null(value);
		assert_contains(fault.detail, forgiven[i].why);
	}
}

static void test_json__nul_byte_is_refused(void **state)
{
	struct fault fault;
	cJSON *value;

	(void)state;
	assert_int_equal(json_parse("{}\0", 3, &value, &fault), OUTCOME_BAD_REQUEST);
	assert_int_equal(json_parse("\"a\0b\"", 5, &value, &fault), OUTCOME_BAD_REQUEST);
}

static void test_json__numbers_are_exact(void **state)
{
	cJSON *object = cJSON_CreateObject();
	char *text;

	(void)state;
	json_add_number(object, "large", 9007199254740993);
	json_add_number(object, "round", 1000000000000000);
	json_add_number(object, "below", -1);
	assert_int_equal(json_number(object, "large", 0), 9007199254740993);
	text = json_print(object);
	assert_string_equal(text, "{\"large\":9007199254740993,\"round\":1000000000000000,\"below\":-1}");
	free(text);
	cJSON_Delete(object);
}

static void test_json__members_by_path(void **state)
{
	struct fault fault;
	cJSON *object;

	(void)state;
	assert_int_equal(parse("{\"a\":{\"b\":\"x\",\"n\":7,\"B\":\"y\"},\"z\":null,\"big\":1e300}", &object, &fault),
		OUTCOME_OK);
	assert_string_equal(json_text(object, "a.b"), "x");
	assert_string_equal(json_text(object, "a.B"), "y");
	assert_null(json_text(object, "a"));
	assert_null(json_text(object, "a.c"));
	assert_null(json_text(object, "a.b.c"));
	assert_null(json_text(object, "z"));
	assert_null(json_text(NULL, "a"));
	assert_int_equal(json_number(object, "a.n", -1), 7);
	assert_int_equal(json_number(object, "a.b", -1), -1);
	assert_int_equal(json_number(object, "big", -1), -1);
	cJSON_Delete(object);
}

static void test_json__null_text_adds_nothing(void **state)
{
	cJSON *object = cJSON_CreateObject();
	char *text;

	(void)state;
	json_add_text(object, "none", NULL);
	json_add_text(object, "some", "a\"b");
	json_add_bool(object, "yes", 1);
	json_add_raw(object, "raw", "[1]");
	text = json_print(object);
	assert_string_equal(text, "{\"some\":\"a\\\"b\",\"yes\":true,\"raw\":[1]}");
	free(text);
	cJSON_Delete(object);
}

static void test_json__text_lines(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "{\"name\":\"p\",\"state\":\"open\"}", "state: open\nname: p\n" },
		{ "{\"window\":{\"holder\":\"ann\",\"state\":\"closed\"},\"n\":null}",
			"window.holder: ann\nwindow.state: closed\n" },
		{ "{\"l\":[1,{\"a\":2},[]],\"t\":true,\"f\":false}", "l.0: 1\nl.1.a: 2\nt: true\nf: false\n" },
		{ "{\"r\":\"a\\nb\\r\"}", "r: a\\nb\\r\n" },
		{ "{\"i\":1700000000123,\"d\":0.5,\"m\":-3}", "i: 1700000000123\nd: 0.5\nm: -3\n" },
		{ "{}", "" },
		{ "\"x\"", "value: x\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fault fault;
		cJSON *value;
		char *text;

		assert_int_equal(parse(cases[i].json, &value, &fault), OUTCOME_OK);
		text = json_print_text(value);
		assert_string_equal(text, cases[i].text);
		free(text);
		cJSON_Delete(value);
	}
}

static void test_json__later_moves_the_times_that_pass_and_nothing_else(void **state)
{
	static const struct {
		const char *json, *later;
	} cases[] = {
		{ "{\"expires_in_ms\" : 3000, \"ttl_ms\" : 3000}", "{\"expires_in_ms\" : 1750, \"ttl_ms\" : 3000}" },
		{ "{\"created_ago_ms\":5,\"opens_in_ms\":null}", "{\"created_ago_ms\":1255,\"opens_in_ms\":null}" },
		{ "{\"a\":{\"b_in_ms\":\n -7}}", "{\"a\":{\"b_in_ms\":\n -1257}}" },
		{ "{\"x\":\"y_in_ms\",\"z\":\"in_ms\\\":9\"}", "{\"x\":\"y_in_ms\",\"z\":\"in_ms\\\":9\"}" },
		{ "{\"x\":\"y_in_ms\\\":9\"}", "{\"x\":\"y_in_ms\\\":9\"}" },
		{ "\"_in_ms\"", "\"_in_ms\"" },
		{ "{}", "{}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *later = json_later(cases[i].json, 1250);

		assert_string_equal(later, cases[i].later);
		free(later);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json__reads_what_is_json),
		cmocka_unit_test(test_json__refuses_what_cjson_would_forgive),
		cmocka_unit_test(test_json__nul_byte_is_refused),
		cmocka_unit_test(test_json__numbers_are_exact),
		cmocka_unit_test(test_json__members_by_path),
		cmocka_unit_test(test_json__null_text_adds_nothing),
		cmocka_unit_test(test_json__text_lines),
		cmocka_unit_test(test_json__later_moves_the_times_that_pass_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
