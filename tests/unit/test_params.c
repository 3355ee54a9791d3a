/* Parameters: from query, form and JSON into one request object; what is refused, and with which words. */
#include "cases.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "http/params.h"

static const struct param table[] = {
	{ "token", PARAM_TOKEN, "digest", 0, 0, 0, NULL },
	{ "reason", PARAM_TEXT, "reason", 0, 0, 0, NULL },
	{ "url", PARAM_URL, "url", 0, 0, 0, NULL },
	{ "ttl", PARAM_DURATION, "ttl_ms", 0, 0, 0, NULL },
	{ "wait", PARAM_DURATION, "wait_ms", PARAM_ZERO_OK, 0, 0, NULL },
	{ "gate", PARAM_GATE, "gate", 0, 0, 0, NULL },
	{ "takeover", PARAM_BOOL, "takeover", 0, 0, 0, NULL },
	{ "limit", PARAM_NUMBER, "limit", 0, 1, 1000, NULL },
	{ "since", PARAM_TIME, "since", 0, 0, 0, NULL },
	{ "on_drain", PARAM_WORD, "on_drain", 0, 0, 0, "abort|proceed|stop" },
	{ "lease", PARAM_ID, "lease", 0, 0, 0, NULL },
	{ NULL, PARAM_TEXT, NULL, 0, 0, 0, NULL },
};

static const struct param needy[] = {
	{ "token", PARAM_TOKEN, "digest", PARAM_REQUIRED, 0, 0, NULL },
	{ "reason", PARAM_TEXT, "reason", PARAM_REQUIRED, 0, 0, NULL },
	{ NULL, PARAM_TEXT, NULL, 0, 0, 0, NULL },
};

/* What is sent: any of them may be NULL. */
struct sent {
	const char *query, *form, *json;
};

/* Reads what was sent; the object as text, which is the caller's, or NULL with the fault. */
static char *object_of(const struct param *rows, const struct sent *sent, struct fault *fault)
{
	struct params params;
	char query[512], form[512], *text = NULL;
	enum outcome outcome = OUTCOME_OK;
	cJSON *object = cJSON_CreateObject();

	params_init(&params, rows);
	if (sent->query) {
		snprintf(query, sizeof(query), "%s", sent->query);
		outcome = params_read_query(&params, query, fault);
	}
	if (outcome == OUTCOME_OK && sent->form) {
		snprintf(form, sizeof(form), "%s", sent->form);
		outcome = params_read_form(&params, form, fault);
	}
	if (outcome == OUTCOME_OK && sent->json)
		outcome = params_read_json(&params, sent->json, strlen(sent->json), fault);
	if (outcome == OUTCOME_OK)
		outcome = params_fill(&params, object, fault);
	if (outcome == OUTCOME_OK)
		text = json_print(object);
	else
		assert_int_equal(outcome, OUTCOME_BAD_REQUEST);
	cJSON_Delete(object);
	params_release(&params);
	return text;
}

static const struct good {
	struct sent sent;
	const char *object;
} good[] = {
	{ { "", NULL, NULL }, "{}" },
	{ { "&&", NULL, NULL }, "{}" },
	{ { "ttl=1h30m&wait=0s", NULL, NULL }, "{\"ttl_ms\":5400000,\"wait_ms\":0}" },
	{ { NULL, "reason=a+b%2Bc%20%C3%A4", NULL }, "{\"reason\":\"a b+c ä\"}" },
	{ { NULL, "reason=a=b", NULL }, "{\"reason\":\"a=b\"}" },
	{ { NULL, "reason", NULL }, "{\"reason\":\"\"}" },
	{ { "format=text", "reason=x", NULL }, "{\"reason\":\"x\"}" },
	{ { "ttl=5m", NULL, "{\"reason\":\"x\"}" }, "{\"reason\":\"x\",\"ttl_ms\":300000}" },
	{ { NULL, NULL, "{\"takeover\":true,\"limit\":7}" }, "{\"takeover\":true,\"limit\":7}" },
	{ { NULL, NULL, "{\"takeover\":\"false\",\"limit\":\"1000\"}" }, "{\"takeover\":false,\"limit\":1000}" },
	{ { "since=2024-02-29T23:59:59.123Z", NULL, NULL }, "{\"since\":\"2024-02-29T23:59:59.123Z\"}" },
	{ { "since=2024-05-31T14:30:00%2B02:00", NULL, NULL }, "{\"since\":\"2024-05-31T14:30:00+02:00\"}" },
	{ { "on_drain=proceed&gate=a.b", NULL, NULL }, "{\"gate\":\"a.b\",\"on_drain\":\"proceed\"}" },
	{ { "lease=0123456789abcdef0123456789abcdef", NULL, NULL },
		"{\"lease\":\"0123456789abcdef0123456789abcdef\"}" },
	{ { "url=https://ci.example/1", NULL, NULL }, "{\"url\":\"https://ci.example/1\"}" },
	{ { NULL, "token=abcdefghijklmnopqrstuvwx", NULL },
		"{\"digest\":\"93b0cabf8668e0c534c52a568957499e12a284f59d97dc9b2725ef836804875b\"}" },
};

static void test_params__become_one_object(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct fault fault = { 0 };
		char *object = object_of(table, &good[i].sent, &fault);

		if (!object)
			fail_msg("case %zu: %s", i, fault.detail);
		assert_string_equal(object, good[i].object);
		free(object);
	}
}

static const struct bad {
	struct sent sent;
	const char *why;
} bad[] = {
	{ { "tll=5m", NULL, NULL }, "tll: there is no such parameter; did you mean ttl?" },
	{ { "frobnicate=1", NULL, NULL },
		"frobnicate: there is no such parameter here; there are: token, reason, url" },
	{ { NULL, NULL, "{\"frobnicate\":{}}" }, "frobnicate: there is no such parameter" },
	{ { "ttl=5m&ttl=5m", NULL, NULL }, "ttl: given twice" },
	{ { "ttl=5m", "ttl=5m", NULL }, "ttl: given twice" },
	{ { "ttl=5m", NULL, "{\"ttl\":\"5m\"}" }, "ttl: given twice" },
	{ { "format=text&format=text", NULL, NULL }, "format: given twice" },
	{ { "format=xml", NULL, NULL }, "format: \"xml\" is neither json nor text" },
	{ { "token=abcdefghijklmnopqrstuvwx", NULL, NULL }, "token: not in the query string" },
	{ { "secret=x", NULL, NULL }, "secret: not in the query string" },
	{ { "to%6ben=x", NULL, NULL }, "token: not in the query string" },
	{ { "ttl=5", NULL, NULL }, "ttl: \"5\" has no unit" },
	{ { NULL, NULL, "{\"ttl\":5}" }, "ttl: \"5\" has no unit" },
	{ { "ttl=0s", NULL, NULL }, "ttl: \"0s\" is out of bounds" },
	{ { "ttl=", NULL, NULL }, "ttl: \"\" is not a duration" },
	{ { "reason=%", NULL, NULL }, "reason: % wants two hex digits" },
	{ { "reason=%4", NULL, NULL }, "reason: % wants two hex digits" },
	{ { "reason=%zz", NULL, NULL }, "reason: % wants two hex digits" },
	{ { "reason=a%00b", NULL, NULL }, "reason: %00 is not allowed" },
	{ { "reason=%0A", NULL, NULL }, "reason: control character" },
	{ { "reason=%FF", NULL, NULL }, "reason: not valid UTF-8" },
	{ { NULL, "{\"ttl\":\"5m\"}", NULL }, "add the header Content-Type: application/json" },
	{ { NULL, " \n{", NULL }, "add the header Content-Type: application/json" },
	{ { NULL, NULL, "[]" }, "must be a JSON object" },
	{ { NULL, NULL, "{" }, "not JSON" },
	{ { NULL, NULL, "{\"reason\":5}" }, "reason: must be a string" },
	{ { NULL, NULL, "{\"reason\":null}" }, "reason: must be a string" },
	{ { NULL, NULL, "{\"takeover\":1}" }, "takeover: must be true or false" },
	{ { NULL, NULL, "{\"limit\":[1]}" }, "limit: must be a number" },
	{ { NULL, NULL, "{\"limit\":1.5}" }, "limit: \"1.5\" is not a whole number from 1 to 1000" },
	{ { "limit=0", NULL, NULL }, "limit: \"0\" is not a whole number" },
	{ { "limit=1001", NULL, NULL }, "limit: \"1001\" is not a whole number" },
	{ { "limit=-1", NULL, NULL }, "limit: \"-1\" is not a whole number" },
	{ { "limit=99999999999999999999", NULL, NULL }, "is not a whole number" },
	{ { "takeover=yes", NULL, NULL }, "takeover: \"yes\" is neither true nor false" },
	{ { "on_drain=abor", NULL, NULL }, "on_drain: \"abor\" is none of abort|proceed|stop" },
	{ { "on_drain=abort|proceed", NULL, NULL }, "is none of" },
	{ { "gate=a,b", NULL, NULL }, "is not a name" },
	{ { "lease=0123456789ABCDEF0123456789ABCDEF", NULL, NULL }, "lease: " },
	{ { "lease=1", NULL, NULL }, "is not the id of a lease" },
	{ { "url=ftp://x", NULL, NULL }, "url: not a web address" },
	{ { NULL, "token=short", NULL }, "token: a lease token has 22 to 128 characters" },
	{ { "since=2024-05-31", NULL, NULL }, "since: \"2024-05-31\" is not a time" },
	{ { "since=2024-05-31T14:30:00+02:00", NULL, NULL }, "a plus in a query string is %2B" },
	{ { "since=2023-02-29T00:00:00Z", NULL, NULL }, "is not a time" },
	{ { "since=2024-13-01T00:00:00Z", NULL, NULL }, "is not a time" },
	{ { "since=2024-01-01T24:00:00Z", NULL, NULL }, "is not a time" },
	{ { "since=2024-01-01T00:00:00", NULL, NULL }, "is not a time" },
	{ { "since=2024-01-01T00:00:00.Z", NULL, NULL }, "is not a time" },
	{ { "since=2024-01-01T00:00:00Zx", NULL, NULL }, "is not a time" },
	{ { "since=infinity", NULL, NULL }, "is not a time" },
};

static void test_params__what_is_wrong_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct fault fault = { 0 };
		char *object = object_of(table, &bad[i].sent, &fault);

		if (object)
			fail_msg("case %zu (%s) was taken: %s", i, bad[i].why, object);
		assert_contains(fault.detail, bad[i].why);
	}
}

static void test_params__what_is_required_is_missed(void **state)
{
	static const struct bad cases[] = {
		{ { NULL, "reason=x", NULL }, "token: is missing (in the body, or as X-Lease-Token)" },
		{ { NULL, "token=abcdefghijklmnopqrstuvwx", NULL }, "reason: is missing" },
		{ { NULL, "token=abcdefghijklmnopqrstuvwx&reason=", NULL }, "reason: must not be empty" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fault fault = { 0 };

		assert_null(object_of(needy, &cases[i].sent, &fault));
		assert_contains(fault.detail, cases[i].why);
	}
}

static void test_params__a_token_is_never_repeated(void **state)
{
	static const struct sent sent[] = {
		{ "token=secretsecretsecretsecret", NULL, NULL },
		{ NULL, "token=secret/secret", NULL },
		{ NULL, NULL, "{\"token\":[\"secret\"]}" },
		{ NULL, "token=secretsecretsecretsecret&token=secretsecretsecretsecret", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(sent); i++) {
		struct fault fault = { 0 };

		assert_null(object_of(table, &sent[i], &fault));
		assert_null(strstr(fault.detail, "secret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_params__become_one_object),
		cmocka_unit_test(test_params__what_is_wrong_is_named),
		cmocka_unit_test(test_params__what_is_required_is_missed),
		cmocka_unit_test(test_params__a_token_is_never_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
