/* leases, events, replicas: what is told of them, and what their holders can change. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* A request about a lease: of(stage, "POST", window, "/renew", body). */
static struct ask *of(
	struct stage *stage, const char *method, const struct ask *window, const char *verb, const char *body)
{
	char request[128];

	snprintf(request, sizeof(request), "%s /v1/leases/%s%s", method, ask_text(window, "id"), verb);
	return http_ask(&stage->http, &stage->two, request, body ? "%s" : NULL, body);
}

static void test_lease__is_told_live_and_ended_without_its_token(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/lease.told/close", "holder=ann&token=" TOKEN("lease-told")), *told;

	told = of(stage, "GET", window, "", NULL);
	assert_answer(told, 200, NULL);
	assert_text(told, "state", "closed");
	assert_text(told, "holder", "ann");
	assert_text(told, "token", "");
	assert_null(strstr(told->text, TOKEN("lease-told")));
	post(stage, "/v1/gates/lease.told/open", "token=" TOKEN("lease-told"));
	told = of(stage, "GET", window, "", NULL);
	assert_answer(told, 200, NULL);
	assert_text(told, "state", "ended");
	assert_text(told, "end", "opened");
	assert_true(ask_number(told, "ended_ago_ms") >= 0);
}

static bool is_relative(const char *name)
{
	return strstr(name, "_ago_ms") || strstr(name, "_in_ms");
}

/* The members are the same in the same order, but for the token, which comes first; and so are their values, but for times that
 * have passed in between. */
static void assert_same_lease(const struct ask *told, const struct ask *read)
{
	const cJSON *one = told->body->child, *other = read->body->child;

	if (strcmp(one->string, "token") == 0)
		one = one->next;
	for (; one && other; one = one->next, other = other->next) {
		assert_string_equal(one->string, other->string);
		if (is_relative(one->string))
			assert_int_equal(one->type, other->type);
		else
			assert_true(cJSON_Compare(one, other, true));
	}
	assert_true(!one && !other);
}

/* The answers to closes, opens and passes of one gate with nothing in their way are made by the server from a row, all others by
 * SQL: by the blanks they are told apart. */
static void test_lease__is_told_the_same_whoever_tells_it(void **state)
{
	static const char token[] = TOKEN("same-2");
	static const char form[] =
		"token=%s&holder=%%22ann%%22%%5C&reason=a,(b)%%20%%C3%%A4&release=r,1&job=j"
		"&url=http://x/y&ttl=10m&max=1h&drain=7s&on_drain=stop&on_expiry=hold&grace=9s&wait=30s";
	struct stage *stage = *state;
	struct ask *told;

	post(stage, "/v1/gates/same/close", "token=" TOKEN("same-1"));
	post(stage, "/v1/gates/same/open", "token=" TOKEN("same-1"));
	told = post(stage, "/v1/gates/same/close", form, token);
	assert_answer(told, 201, NULL);
	assert_contains(told->text, "\"state\":\"closed\"");
	assert_same_lease(told, of(stage, "GET", told, "", NULL));
	told = post(stage, "/v1/gates/same/open", "token=%s&reason=%%22done%%22", token);
	assert_answer(told, 200, NULL);
	assert_contains(told->text, "\"state\":\"ended\"");
	assert_same_lease(told, of(stage, "GET", told, "", NULL));
	told = post(stage, "/v1/gates/same/pass", "holder=ann&reason=a%%22&job=j&url=http://x/y&ttl=10m");
	assert_answer(told, 201, NULL);
	assert_contains(told->text, "\"state\":\"inside\"");
	assert_same_lease(told, of(stage, "GET", told, "", NULL));
}

static void test_lease__that_is_not_there_is_404(void **state)
{
	struct ask *ask = get(*state, "/v1/leases/0123456789abcdef0123456789abcdef");

	assert_answer(ask, 404, "not_found");
	assert_contains(ask_text(ask, "detail"), "retention");
	assert_answer(post(*state, "/v1/leases/0123456789abcdef0123456789abcdef/renew", "token=" TOKEN("nobody")), 404,
		"not_found");
	assert_answer(post(*state, "/v1/leases/0123456789abcdef0123456789abcdef/release", "token=" TOKEN("nobody")),
		404, "not_found");
}

static void test_renew__moves_the_expiry(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/renew.ok/close", "ttl=1m&token=" TOKEN("renew-ok")), *ask;

	ask = of(stage, "POST", window, "/renew", "ttl=10m&token=" TOKEN("renew-ok"));
	assert_answer(ask, 200, NULL);
	assert_true(ask_number(ask, "expires_in_ms") > 590000 && ask_number(ask, "expires_in_ms") <= 600000);
	assert_false(ask_true(ask, "max_reached"));
	ask = of(stage, "POST", window, "/renew", "token=" TOKEN("renew-ok"));
	assert_number(ask, "ttl_ms", 600000);
	assert_answer(of(stage, "POST", window, "/renew", "token=" TOKEN("renew-other")), 409, "not_holder");
	assert_answer(of(stage, "POST", window, "/renew", NULL), 400, "bad_request");
}

static void test_renew__is_cut_at_max(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/renew.max/close", "ttl=1m&max=2m&token=" TOKEN("renew-max")), *ask;

	ask = of(stage, "POST", window, "/renew", "ttl=5m&token=" TOKEN("renew-max"));
	assert_answer(ask, 200, NULL);
	assert_true(ask_true(ask, "max_reached"));
	assert_true(ask_number(ask, "expires_in_ms") <= 120000);
	assert_text(ask, "expires_at", ask_text(ask, "max_at"));
}

static void test_renew__never_brings_an_ended_lease_back(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/renew.gone/close", "ttl=50ms&token=" TOKEN("renew-gone")), *ask;

	assert_answer(get(stage, "/v1/gates/renew.gone/wait?timeout=20s"), 200, NULL);
	ask = of(stage, "POST", window, "/renew", "ttl=1h&token=" TOKEN("renew-gone"));
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "expired");
	assert_answer(get(stage, "/v1/gates/renew.gone/check"), 200, NULL);
}

static void test_renew__goes_on_for_as_long_as_it_is_repeated(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/renew.on/close", "ttl=3s&token=" TOKEN("renew-on"));
	struct ask *wait = http_begin(&stage->http, &stage->one, "GET /v1/gates/renew.on/wait?timeout=1m", NULL);
	int64_t until_ns = clock_ns() + 5000000000;

	while (clock_ns() < until_ns)
		assert_answer(of(stage, "POST", window, "/renew", "token=" TOKEN("renew-on")), 200, NULL);
	assert_false(http_done(wait));
	http_finish(wait);
	assert_answer(wait, 200, NULL);
	assert_true(psql_true(&stage->admin,
		"select ended_at >= expires_at and expires_at - closed_at > interval '5 s' from deploy_gate.lease"
		" where gates = '{renew.on}'"));
}

static void test_release__ends_it_and_again_is_the_same(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/release.ok/close", "token=" TOKEN("release-ok")), *ask;

	assert_answer(of(stage, "POST", window, "/release", "token=" TOKEN("release-other")), 409, "not_holder");
	ask = of(stage, "POST", window, "/release", "token=" TOKEN("release-ok"));
	assert_answer(ask, 200, NULL);
	assert_text(ask, "end", "released");
	assert_answer(get(stage, "/v1/gates/release.ok/check"), 200, NULL);
	assert_answer(of(stage, "POST", window, "/release", "token=" TOKEN("release-ok")), 200, NULL);
	assert_answer(post(stage, "/v1/gates/release.ok/open", "token=" TOKEN("release-ok")), 410, "gone");
	window = post(stage, "/v1/gates/release.late/close", "token=" TOKEN("release-late"));
	post(stage, "/v1/gates/release.late/open", "token=" TOKEN("release-late"));
	assert_answer(of(stage, "POST", window, "/release", "token=" TOKEN("release-late")), 410, "gone");
}

static void test_patch__changes_what_is_said_and_how_long_it_may_last(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/patch.ok/close", "ttl=1h&token=" TOKEN("patch-ok")), *ask;

	ask = of(stage, "PATCH", window, "",
		"{\"token\":\"" TOKEN("patch-ok") "\",\"reason\":\"step 2\",\"max\":\"2h\"}");
	assert_answer(ask, 200, NULL);
	assert_text(ask, "reason", "step 2");
	assert_number(ask, "max_ms", 7200000);
	ask = of(stage, "PATCH", window, "", "url=https://ci/8&max=10m&token=" TOKEN("patch-ok"));
	assert_text(ask, "url", "https://ci/8");
	assert_text(ask, "reason", "step 2");
	assert_true(ask_number(ask, "expires_in_ms") <= 600000);
	assert_text(get(stage, "/v1/gates/patch.ok"), "window.reason", "step 2");
	assert_answer(of(stage, "PATCH", window, "", "reason=x&token=" TOKEN("patch-other")), 409, "not_holder");
	assert_answer(of(stage, "PATCH", window, "", "reason=by+an+admin"), 200, NULL);
	post(stage, "/v1/gates/patch.ok/open", "token=" TOKEN("patch-ok"));
	assert_answer(of(stage, "PATCH", window, "", "reason=x&token=" TOKEN("patch-ok")), 410, "gone");
}

static int count(const struct ask *ask, const char *list)
{
	return cJSON_GetArraySize(cJSON_GetObjectItem(ask->body, list));
}

static void test_events__tell_the_history_newest_first(void **state)
{
	struct stage *stage = *state;
	struct ask *window = post(stage, "/v1/gates/event.a/close", "holder=ann&reason=why&token=" TOKEN("event-a")),
		   *ask;
	const cJSON *event;

	post(stage, "/v1/gates/event.a/open", "token=" TOKEN("event-a"));
	post(stage, "/v1/gates/event.a.b/close", "token=" TOKEN("event-ab"));
	ask = get(stage, "/v1/events?gate=event.a");
	assert_answer(ask, 200, NULL);
	assert_int_equal(count(ask, "events"), 3);
	event = cJSON_GetArrayItem(cJSON_GetObjectItem(ask->body, "events"), 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "kind")), "opened");
	event = cJSON_GetArrayItem(cJSON_GetObjectItem(ask->body, "events"), 2);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "kind")), "closed");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "gate")), "event.a");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "holder")), "ann");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "reason")), "why");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(event, "lease")), ask_text(window, "id"));
	assert_int_equal(count(get(stage, "/v1/events?gate=event.a&kind=closed"), "events"), 2);
	assert_int_equal(count(get(stage, "/v1/events?gate=event"), "events"), 3);
	assert_int_equal(count(get(stage, "/v1/events?gate=event.a&since=2100-01-01T00:00:00Z"), "events"), 0);
	assert_int_equal(count(get(stage, "/v1/events?gate=event.a&until=2000-01-01T00:00:00%2B02:00"), "events"), 0);
}

static void test_events__come_in_pages(void **state)
{
	struct stage *stage = *state;
	long long last = INT64_MAX;
	char target[128] = "/v1/events?gate=page&limit=2";
	int seen = 0;

	for (int i = 0; i < 5; i++)
		post(stage, "/v1/gates/page.a/close", "token=page-%d-" TOKEN("page"), i),
			post(stage, "/v1/gates/page.a/open", "token=page-%d-" TOKEN("page"), i);
	for (;;) {
		struct ask *page = get(stage, target);
		const cJSON *event;

		cJSON_ArrayForEach (event, cJSON_GetObjectItem(page->body, "events")) {
			long long id = (long long)cJSON_GetNumberValue(cJSON_GetObjectItem(event, "id"));

			assert_true(id < last);
			last = id;
			seen++;
		}
		if (ask_number(page, "next") < 0)
			break;
		assert_int_equal(count(page, "events"), 2);
		snprintf(target, sizeof(target), "/v1/events?gate=page&limit=2&after=%lld", ask_number(page, "next"));
	}
	assert_int_equal(seen, 10);
}

static void test_replicas__are_both_told_with_their_sessions(void **state)
{
	struct ask *ask = get(*state, "/v1/replicas");
	const cJSON *one = cJSON_GetArrayItem(cJSON_GetObjectItem(ask->body, "replicas"), 0);

	assert_answer(ask, 200, NULL);
	assert_int_equal(count(ask, "replicas"), 2);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(one, "name")), "one");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(one, "sessions")), 3);
	assert_true(cJSON_GetObjectItem(one, "version") && cJSON_GetObjectItem(one, "leases"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease__is_told_live_and_ended_without_its_token),
		cmocka_unit_test(test_lease__is_told_the_same_whoever_tells_it),
		cmocka_unit_test(test_lease__that_is_not_there_is_404),
		cmocka_unit_test(test_renew__moves_the_expiry),
		cmocka_unit_test(test_renew__is_cut_at_max),
		cmocka_unit_test(test_renew__never_brings_an_ended_lease_back),
		cmocka_unit_test(test_renew__goes_on_for_as_long_as_it_is_repeated),
		cmocka_unit_test(test_release__ends_it_and_again_is_the_same),
		cmocka_unit_test(test_patch__changes_what_is_said_and_how_long_it_may_last),
		cmocka_unit_test(test_events__tell_the_history_newest_first),
		cmocka_unit_test(test_events__come_in_pages),
		cmocka_unit_test(test_replicas__are_both_told_with_their_sessions),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
