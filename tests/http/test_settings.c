/* Settings of a gate: shown, replaced as a whole, forgotten; what is wrong is told; a close has them for its defaults. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static struct ask *put(struct stage *stage, const char *gate, const char *body)
{
	char request[160];

	snprintf(request, sizeof(request), "PUT /v1/gates/%s/settings", gate);
	return http_ask(&stage->http, &stage->one, request, body ? "%s" : NULL, body);
}

/* The gate's settings, at the other server. */
static struct ask *shown(struct stage *stage, const char *gate)
{
	char request[160];

	snprintf(request, sizeof(request), "GET /v1/gates/%s/settings", gate);
	return http_ask(&stage->http, &stage->two, request, NULL);
}

static bool is_null(const struct ask *ask, const char *member)
{
	return cJSON_IsNull(cJSON_GetObjectItem(ask->body, member));
}

static void test_settings__without_any_the_defaults_are_told(void **state)
{
	static const char *const members[] = { "limit", "gap_ms", "ttl_ms", "max_ms", "drain_ms", "on_drain",
		"on_expiry", "grace_ms" };
	struct stage *stage = *state;
	struct ask *ask = shown(stage, "none");

	assert_answer(ask, 200, NULL);
	assert_text(ask, "gate", "none");
	assert_false(ask_true(ask, "known"));
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		assert_true(is_null(ask, members[i]));
	assert_number(ask, "defaults.gap_ms", 500);
	assert_number(ask, "defaults.ttl_ms", 30 * 60 * 1000);
	assert_number(ask, "defaults.max_ms", 4 * 60 * 60 * 1000);
	assert_number(ask, "defaults.drain_ms", 10 * 60 * 1000);
	assert_text(ask, "defaults.on_drain", "abort");
	assert_text(ask, "defaults.on_expiry", "open");
	assert_number(ask, "defaults.grace_ms", 0);
	assert_answer(http_ask(&stage->http, &stage->one, "HEAD /v1/gates/none/settings", NULL), 200, NULL);
}

static void test_settings__a_put_replaces_all_of_them(void **state)
{
	struct stage *stage = *state;
	struct ask *ask =
		put(stage, "whole", "limit=3&gap=2s&ttl=1h&max=2h&drain=0s&on_drain=proceed&on_expiry=hold&grace=5s");

	assert_answer(ask, 200, NULL);
	ask = shown(stage, "whole");
	assert_true(ask_true(ask, "known"));
	assert_number(ask, "limit", 3);
	assert_number(ask, "gap_ms", 2000);
	assert_number(ask, "ttl_ms", 3600000);
	assert_number(ask, "max_ms", 7200000);
	assert_number(ask, "drain_ms", 0);
	assert_text(ask, "on_drain", "proceed");
	assert_text(ask, "on_expiry", "hold");
	assert_number(ask, "grace_ms", 5000);
	assert_number(ask, "defaults.ttl_ms", 30 * 60 * 1000);
	ask = put(stage, "whole", "{\"ttl\": \"10m\", \"limit\": 7}");
	assert_answer(ask, 200, NULL);
	assert_number(ask, "limit", 7);
	assert_number(ask, "ttl_ms", 600000);
	ask = shown(stage, "whole");
	assert_true(is_null(ask, "max_ms"));
	assert_true(is_null(ask, "on_drain"));
	assert_true(is_null(ask, "drain_ms"));
	assert_number(get(stage, "/v1/gates/whole"), "passes.limit", 7);
}

static void test_settings__deleted_ones_are_the_defaults_and_the_gate_stays_known(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	put(stage, "deleted", "limit=1&grace=1s");
	ask = http_ask(&stage->http, &stage->one, "DELETE /v1/gates/deleted/settings", NULL);
	assert_answer(ask, 200, NULL);
	assert_true(is_null(ask, "limit"));
	ask = shown(stage, "deleted");
	assert_true(is_null(ask, "grace_ms"));
	assert_true(ask_true(ask, "known"));
	ask = http_ask(&stage->http, &stage->one, "DELETE /v1/gates/never/settings", NULL);
	assert_answer(ask, 200, NULL);
	assert_false(ask_true(ask, "known"));
}

static void test_settings__an_empty_put_declares_the_gate(void **state)
{
	struct stage *stage = *state;

	assert_false(ask_true(get(stage, "/v1/gates/declared"), "known"));
	assert_answer(put(stage, "declared", NULL), 200, NULL);
	assert_true(ask_true(get(stage, "/v1/gates/declared"), "known"));
	assert_text(get(stage, "/v1/gates/declared/check"), "state", "open");
}

static void test_settings__each_change_is_in_the_history_once(void **state)
{
	static const char body[] = "limit=2&ttl=90s&max=1d2h&holder=ann@desk&reason=a quiet week";
	struct stage *stage = *state;
	const cJSON *events, *event;
	struct ask *ask;

	put(stage, "told", body);
	put(stage, "told", body);
	http_ask(&stage->http, &stage->one, "DELETE /v1/gates/told/settings", "holder=bob");
	http_ask(&stage->http, &stage->one, "DELETE /v1/gates/told/settings", NULL);
	ask = get(stage, "/v1/events?gate=told&kind=settings");
	assert_answer(ask, 200, NULL);
	events = cJSON_GetObjectItem(ask->body, "events");
	assert_int_equal(cJSON_GetArraySize(events), 2);
	event = cJSON_GetArrayItem(events, 0);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "reason")), "the defaults");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "by")), "bob");
	event = cJSON_GetArrayItem(events, 1);
	assert_string_equal(
		cJSON_GetStringValue(cJSON_GetObjectItem(event, "reason")), "limit=2 ttl=1m30s max=1d2h: a quiet week");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "by")), "ann@desk");
}

static void test_settings__are_what_a_close_does_not_say(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	put(stage, "closes", "ttl=7m&max=9m&drain=3s&on_drain=stop&on_expiry=hold&grace=2s");
	ask = post(stage, "/v1/gates/closes/close", "token=" TOKEN("settings-1"));
	assert_answer(ask, 201, NULL);
	assert_number(ask, "ttl_ms", 7 * 60 * 1000);
	assert_number(ask, "max_ms", 9 * 60 * 1000);
	assert_text(ask, "on_expiry", "hold");
	assert_number(ask, "grace_ms", 2000);
	assert_true(psql_true(&stage->admin,
		"select drain_ms = 3000 and on_drain = 'stop' from deploy_gate.lease where gates = '{closes}'"));
	post(stage, "/v1/gates/closes/open", "token=" TOKEN("settings-1"));
	ask = post(stage, "/v1/gates/closes/close", "ttl=1m&max=1h&on_expiry=open&grace=0s&token=" TOKEN("settings-2"));
	assert_number(ask, "ttl_ms", 60000);
	assert_number(ask, "max_ms", 3600000);
	assert_text(ask, "on_expiry", "open");
	assert_number(ask, "grace_ms", 0);
}

/* Whoever waits at the other server hears of it. */
static void test_settings__a_larger_limit_lets_in_who_waits(void **state)
{
	struct stage *stage = *state;
	struct ask *waits;

	put(stage, "larger", "limit=1");
	assert_answer(post(stage, "/v1/gates/larger/pass", NULL), 201, NULL);
	assert_answer(post(stage, "/v1/gates/larger/pass", NULL), 423, "full");
	waits = http_begin(&stage->http, &stage->two, "POST /v1/gates/larger/pass", "wait=50s");
	await_jobs(stage, "larger", 1);
	assert_false(http_done(waits));
	put(stage, "larger", "limit=2");
	http_finish(waits);
	assert_answer(waits, 201, NULL);
	assert_answer(post(stage, "/v1/gates/larger/pass", NULL), 423, "full");
}

/* The gap is that of the gate that was shut. */
static void test_settings__the_gap_is_as_long_as_set(void **state)
{
	struct stage *stage = *state;
	struct ask *first, *next, *job;

	put(stage, "gaps", "gap=1h");
	first = post(stage, "/v1/gates/gaps/close", "token=" TOKEN("gaps-1"));
	assert_answer(first, 201, NULL);
	job = http_begin(&stage->http, &stage->one, "GET /v1/gates/gaps/wait?timeout=50s", NULL);
	await_jobs(stage, "gaps", 1);
	psql_until(&stage->admin, "select jobs_waited from deploy_gate.lease where gates = '{gaps}'");
	next = http_begin(&stage->http, &stage->two, "POST /v1/gates/gaps/close", "wait=50s&token=" TOKEN("gaps-2"));
	await_deploys(stage, "gaps", 1);
	post(stage, "/v1/gates/gaps/open", "token=" TOKEN("gaps-1"));
	http_finish(job);
	assert_answer(job, 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select gap_until > now() + interval '50 min' from deploy_gate.gate where name = 'gaps'"));
	assert_false(http_done(next));
	http_hang_up(next);
}

/* The max of the gate bounds the TTL of a close that says none. */
static void test_settings__a_ttl_above_the_max_of_the_gate_is_refused(void **state)
{
	struct stage *stage = *state;

	put(stage, "bounded", "max=10m");
	assert_number(post(stage, "/v1/gates/bounded/close", "token=" TOKEN("bounded-1")), "ttl_ms", 600000);
	post(stage, "/v1/gates/bounded/open", "token=" TOKEN("bounded-1"));
	assert_answer(post(stage, "/v1/gates/bounded/close", "ttl=11m"), 400, "bad_request");
	assert_answer(post(stage, "/v1/gates/bounded/close", "ttl=11m&max=12m"), 201, NULL);
	put(stage, "roomy", "max=2d");
	assert_answer(post(stage, "/v1/gates/roomy/close", "ttl=1d"), 201, NULL);
	assert_answer(post(stage, "/v1/gates/usual/close", "ttl=1d"), 400, "bad_request");
}

static void test_settings__what_is_wrong_is_refused_and_changes_nothing(void **state)
{
	static const struct {
		const char *body, *said;
	} cases[] = {
		{ "ttl=2h&max=1h", "ttl: is above max" },
		{ "ttl=5h", "ttl: is above max" },
		{ "limit=0", "limit: " },
		{ "limit=many", "limit: " },
		{ "limit=1000001", "limit: " },
		{ "gap=5", "gap: " },
		{ "ttl=0s", "ttl: " },
		{ "drain=-1s", "drain: " },
		{ "on_drain=wait", "on_drain: " },
		{ "on_expiry=crash", "on_expiry: " },
		{ "limits=3", "did you mean limit?" },
		{ "limit=1&limit=2", "limit: given twice" },
		{ "{\"limit\": \"x\"}", "limit: " },
	};
	struct stage *stage = *state;

	put(stage, "wrong", "limit=4");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ask *ask = put(stage, "wrong", cases[i].body);

		assert_answer(ask, 400, "bad_request");
		assert_contains(ask_text(ask, "detail"), cases[i].said);
	}
	assert_answer(put(stage, "a..b", "limit=1"), 400, "bad_request");
	assert_answer(put(stage, "a,b", "limit=1"), 400, "bad_request");
	assert_answer(http_ask(&stage->http, &stage->one, "DELETE /v1/gates/wrong/settings?limit=4", NULL), 400, NULL);
	assert_number(shown(stage, "wrong"), "limit", 4);
}

static void test_settings__other_methods_are_told_which_there_are(void **state)
{
	struct stage *stage = *state;
	struct ask *ask = post(stage, "/v1/gates/a/settings", "limit=1");

	assert_answer(ask, 405, "method_not_allowed");
	assert_string_equal(ask_field(ask, "Allow"), "GET, HEAD, PUT, DELETE");
}

static void test_settings__as_text(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	put(stage, "text", "limit=4&on_drain=stop");
	ask = http_ask_with(&stage->http, &stage->one, "Accept: text/plain", "GET /v1/gates/text/settings", NULL);
	assert_contains(ask->text, "gate: text\n");
	assert_contains(ask->text, "\nlimit: 4\n");
	assert_contains(ask->text, "\non_drain: stop\n");
	assert_contains(ask->text, "\ndefaults.gap_ms: 500\n");
	assert_null(strstr(ask->text, "\nttl_ms"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings__without_any_the_defaults_are_told),
		cmocka_unit_test(test_settings__a_put_replaces_all_of_them),
		cmocka_unit_test(test_settings__deleted_ones_are_the_defaults_and_the_gate_stays_known),
		cmocka_unit_test(test_settings__an_empty_put_declares_the_gate),
		cmocka_unit_test(test_settings__each_change_is_in_the_history_once),
		cmocka_unit_test(test_settings__are_what_a_close_does_not_say),
		cmocka_unit_test(test_settings__a_larger_limit_lets_in_who_waits),
		cmocka_unit_test(test_settings__the_gap_is_as_long_as_set),
		cmocka_unit_test(test_settings__a_ttl_above_the_max_of_the_gate_is_refused),
		cmocka_unit_test(test_settings__what_is_wrong_is_refused_and_changes_nothing),
		cmocka_unit_test(test_settings__other_methods_are_told_which_there_are),
		cmocka_unit_test(test_settings__as_text),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
