/* What a refusal says to do, in the words of the command line. */
#include "cases.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "advice.h"
#include "base/advice.h"
#include "http.h"

static const struct row {
	const char *detail, *body, *gates, *said;
} rows[] = {
	{ "a.b is closed by ann. " ADVICE_TO_WAIT, "{\"gate\":{\"name\":\"a.b\",\"closed_by\":\"a\"}}", "a.b,c",
		"a.b is closed by ann. `deploy-gate wait a` waits until it opens" },
	{ "a is closed. " ADVICE_TO_WAIT, "{\"gate\":{\"name\":\"a\"}}", NULL,
		"a is closed. `deploy-gate wait a` waits until it opens" },
	{ "a is closed. " ADVICE_TO_WAIT, "{}", "a,b", "a is closed. `deploy-gate wait a,b` waits until it opens" },
	{ "a is closed. " ADVICE_TO_WAIT, NULL, NULL, "a is closed" },
	{ "a is closed. " ADVICE_AGAIN, "{}", "a", "a is closed" },
	{ "a is full. " ADVICE_TO_WAIT_INSIDE, "{}", "a", "a is full" },
	{ "a is draining; " ADVICE_DRAIN_GOES_ON, "{}", "a", "a is draining" },
	{ "nothing is known: " ADVICE_SAME_TOKEN, NULL, "a", "nothing is known" },
	{ ADVICE_AGAIN, NULL, "a", "" },
	{ "a is closed. " ADVICE_IN_LINE, "{}", "a",
		"a is closed. --wait 30m waits in line; if that deploy is dead: `deploy-gate open a --force --reason "
		"WHY`" },
	{ "a is closed. " ADVICE_IN_LINE_BEHIND_SQL, "{\"gate\":{\"name\":\"a.b\",\"closed_by\":\"a\"}}", "a.b",
		"a is closed. --wait 30m waits in line; `deploy-gate explain a` says how to end that session" },
	{ "all is well", "{}", "a", "all is well" },
	{ "", NULL, NULL, "" },
};

static void test_advice__is_said_as_commands(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reply reply = { .body = rows[i].body ? cJSON_Parse(rows[i].body) : NULL };

		snprintf(reply.detail, sizeof(reply.detail), "%s", rows[i].detail);
		advice_translate(&reply, rows[i].gates);
		assert_string_equal(reply.detail, rows[i].said);
		reply_release(&reply);
	}
}

/* A sentence that is as long as there is room for keeps within it. */
static void test_advice__fits(void **state)
{
	(void)state;
	for (size_t before = 300; before < sizeof(((struct reply *)0)->detail); before++) {
		struct reply reply = { .body = NULL };

		memset(reply.detail, 'x', before);
		snprintf(reply.detail + before, sizeof(reply.detail) - before, ". " ADVICE_IN_LINE);
		advice_translate(&reply, "production.some.gate.with.a.long.name");
		assert_true(strlen(reply.detail) < sizeof(reply.detail));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_advice__is_said_as_commands),
		cmocka_unit_test(test_advice__fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
