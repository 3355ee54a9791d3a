/* What is malformed is refused, with a sentence that says what is wrong: by tables of cases. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define GATE_OF_SEGMENTS_9 "a.a.a.a.a.a.a.a.a"
#define GATES_17 "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"
#define NOBODY "0123456789abcdef0123456789abcdef"
#define GOOD "token=" TOKEN("bad-input")

static const struct bad {
	const char *request, *body;
	long status;
	const char *code, *says;
} bad[] = {
	/* Names of gates. */
	{ "GET /v1/gates/a..b/check", NULL, 400, "bad_request", "a..b" },
	{ "GET /v1/gates/.a/check", NULL, 400, "bad_request", ".a" },
	{ "GET /v1/gates/a./check", NULL, 400, "bad_request", "a." },
	{ "GET /v1/gates/a%20b/check", NULL, 400, "bad_request", "a b" },
	{ "GET /v1/gates/%C3%A4/check", NULL, 400, "bad_request", "gate" },
	{ "GET /v1/gates/a%2Fb/check", NULL, 400, "bad_request", "%2F" },
	{ "GET /v1/gates/a,,b/check", NULL, 400, "bad_request", "gate" },
	{ "GET /v1/gates/a,/check", NULL, 400, "bad_request", "gate" },
	{ "GET /v1/gates/,/check", NULL, 400, "bad_request", "gate" },
	{ "GET /v1/gates/" GATE_OF_SEGMENTS_9 "/check", NULL, 400, "bad_request", "8" },
	{ "GET /v1/gates/" HUNDRED TEN TEN TEN "/check", NULL, 400, "bad_request", "128" },
	{ "GET /v1/gates/" GATES_17 "/check", NULL, 400, "bad_request", "16" },
	{ "GET /v1/gates/a%00b/check", NULL, 400, "bad_request", "%00" },
	{ "GET /v1/gates/a%zz/check", NULL, 400, "bad_request", "%" },
	{ "GET /v1/gates/a%2/check", NULL, 400, "bad_request", "%" },
	{ "GET /v1/gates/a,b", NULL, 400, "bad_request", "one gate" },
	{ "POST /v1/gates/a,b/force-open", "reason=x", 400, "bad_request", "one gate" },
	{ "GET /v1/events?gate=a..b", NULL, 400, "bad_request", "a..b" },
	/* Durations. */
	{ "GET /v1/gates/a/wait?timeout=30", NULL, 400, "bad_request", "unit" },
	{ "GET /v1/gates/a/wait?timeout=", NULL, 400, "bad_request", "timeout" },
	{ "GET /v1/gates/a/wait?timeout=-1s", NULL, 400, "bad_request", "timeout" },
	{ "GET /v1/gates/a/wait?timeout=1.5s", NULL, 400, "bad_request", "timeout" },
	{ "GET /v1/gates/a/wait?timeout=1y", NULL, 400, "bad_request", "timeout" },
	{ "GET /v1/gates/a/wait?timeout=2h", NULL, 400, "bad_request", "max-wait" },
	{ "POST /v1/gates/a/close", "ttl=0s", 400, "bad_request", "ttl" },
	{ "POST /v1/gates/a/close", "ttl=30", 400, "bad_request", "unit" },
	{ "POST /v1/gates/a/close", "ttl=367d", 400, "bad_request", "366" },
	{ "POST /v1/gates/a/close", "ttl=99999999999999999999s", 400, "bad_request", "ttl" },
	{ "POST /v1/gates/a/close", "ttl=1s1h", 400, "bad_request", "ttl" },
	{ "POST /v1/gates/a/close", "{\"ttl\": 30}", 400, "bad_request", "unit" },
	{ "POST /v1/gates/a/close", "ttl=2h&max=1h", 400, "bad_request", "max" },
	{ "POST /v1/gates/a/close", "timeout=2h", 400, "bad_request", "max-wait" },
	{ "POST /v1/gates/a/close", "wait=soon", 400, "bad_request", "wait" },
	{ "POST /v1/gates/a/close", "drain=-5s", 400, "bad_request", "drain" },
	{ "POST /v1/gates/a/close", "grace=x", 400, "bad_request", "grace" },
	/* Words, texts, tokens. */
	{ "POST /v1/gates/a/close", "on_drain=wait", 400, "bad_request", "abort|proceed|stop" },
	{ "POST /v1/gates/a/close", "on_expiry=", 400, "bad_request", "open|hold" },
	{ "POST /v1/gates/a/close", "takeover=yes", 400, "bad_request", "true nor false" },
	{ "POST /v1/gates/a/close", "takeover=true", 400, "bad_request", "reason" },
	{ "POST /v1/gates/a/close", "token=short", 400, "bad_request", "22" },
	{ "POST /v1/gates/a/close", "token=0123456789abcdef0123456789abcde%21", 400, "bad_request", "token" },
	{ "POST /v1/gates/a/close", "token=" HUNDRED TEN TEN TEN, 400, "bad_request", "128" },
	{ "POST /v1/gates/a/close", "reason=a%0Ab", 400, "bad_request", "control" },
	{ "POST /v1/gates/a/close", "holder=%FF", 400, "bad_request", "UTF-8" },
	{ "POST /v1/gates/a/close", "holder=%C0%80", 400, "bad_request", "UTF-8" },
	{ "POST /v1/gates/a/close", "holder=a%00b", 400, "bad_request", "%00" },
	{ "POST /v1/gates/a/close",
		"reason=" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED, 400,
		"bad_request", "1024" },
	{ "POST /v1/gates/a/close", "url=ftp://x", 400, "bad_request", "http" },
	{ "POST /v1/gates/a/close", "url=http://", 400, "bad_request", "url" },
	{ "POST /v1/gates/a/open", NULL, 400, "bad_request", "token" },
	{ "POST /v1/gates/a/open", "token=", 400, "bad_request", "token" },
	{ "POST /v1/gates/a/open", GOOD "&outcome=bad", 400, "bad_request", "outcome" },
	{ "POST /v1/gates/a/force-open", "reason=", 400, "bad_request", "reason" },
	{ "POST /v1/gates/a/force-open", "reason=x&lease=12", 400, "bad_request", "32 hex digits" },
	{ "GET /v1/gates/a/check?format=xml", NULL, 400, "bad_request", "format" },
	{ "GET /v1/leases/ABC", NULL, 400, "bad_request", "32 hex digits" },
	{ "GET /v1/leases/0123456789ABCDEF0123456789ABCDEF", NULL, 400, "bad_request", "32 hex digits" },
	{ "GET /v1/gates?limit=0", NULL, 400, "bad_request", "1 to 1000" },
	{ "GET /v1/gates?limit=1001", NULL, 400, "bad_request", "1 to 1000" },
	{ "GET /v1/gates?limit=ten", NULL, 400, "bad_request", "limit" },
	{ "GET /v1/events?kind=exploded", NULL, 400, "bad_request", "exploded" },
	{ "GET /v1/events?since=yesterday", NULL, 400, "bad_request", "since" },
	{ "GET /v1/events?since=2024-02-30T00:00:00Z", NULL, 400, "bad_request", "since" },
	{ "GET /v1/events?until=2024-05-31T14:30:00+02:00", NULL, 400, "bad_request", "%2B" },
	{ "GET /v1/events?after=-1", NULL, 400, "bad_request", "after" },
	/* Parameters. */
	{ "GET /v1/gates/a/check?timeout=1s", NULL, 400, "bad_request", "no such parameter" },
	{ "GET /v1/gates/a/wait?tiemout=1s", NULL, 400, "bad_request", "did you mean timeout?" },
	{ "POST /v1/gates/a/close", "tt=1m", 400, "bad_request", "did you mean ttl?" },
	{ "POST /v1/gates/a/close", "TTL=1m", 400, "bad_request", "TTL" },
	{ "POST /v1/gates/a/close", "{\"Ttl\": \"1m\"}", 400, "bad_request", "Ttl" },
	{ "POST /v1/gates/a/close?ttl=1m", "ttl=2m", 400, "bad_request", "ttl: given twice" },
	{ "POST /v1/gates/a/close", "ttl=1m&ttl=1m", 400, "bad_request", "ttl: given twice" },
	{ "GET /v1/gates/a/wait?timeout=1s&timeout=1s", NULL, 400, "bad_request", "timeout: given twice" },
	{ "POST /v1/gates/a/close?token=" TOKEN("q"), NULL, 400, "bad_request", "query" },
	{ "POST /v1/gates/a/close?tok%65n=" TOKEN("q"), NULL, 400, "bad_request", "query" },
	{ "GET /v1/gates/a/check?token=" TOKEN("q"), NULL, 400, "bad_request", "query" },
	{ "GET /v1/gates?secret=x", NULL, 400, "bad_request", "query" },
	/* JSON. */
	{ "POST /v1/gates/a/close", "{", 400, "bad_request", "JSON" },
	{ "POST /v1/gates/a/close", "{} x", 400, "bad_request", "JSON" },
	{ "POST /v1/gates/a/close", "{\"ttl\": \"1m\", \"ttl\": \"2m\"}", 400, "bad_request", "ttl" },
	{ "POST /v1/gates/a/close", "{\"ttl\": \"1m\", \"t\\u0074l\": \"2m\"}", 400, "bad_request", "ttl" },
	{ "POST /v1/gates/a/close", "{\"holder\": \"a\\u0000b\"}", 400, "bad_request", "u0000" },
	{ "POST /v1/gates/a/close", "{\"holder\": {}}", 400, "bad_request", "holder: must be a string" },
	{ "POST /v1/gates/a/close", "{\"holder\": null}", 400, "bad_request", "holder: must be a string" },
	{ "POST /v1/gates/a/close", "{\"holder\": [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", 400, "bad_request", "deep" },
	{ "POST /v1/gates/a/close", "{\"takeover\": \"maybe\"}", 400, "bad_request", "takeover" },
	{ "POST /v1/gates/a/close", "{\"token\": 5}", 400, "bad_request", "token: must be a string" },
	/* Routes and methods. */
	{ "GET /", NULL, 404, "not_found", "/v1/gates" },
	{ "GET /v1/gates/", NULL, 404, "not_found", "/v1/gates/" },
	{ "GET /v1/gates//check", NULL, 404, "not_found", "there is no" },
	{ "GET /v1/gates/a/check/", NULL, 404, "not_found", "there is no" },
	{ "GET /v2/gates", NULL, 404, "not_found", "there is no" },
	{ "GET /v1/gates/a/../b/check", NULL, 404, "not_found", "there is no" },
	{ "POST /v1/leases/" NOBODY, NULL, 405, "method_not_allowed", "GET" },
	{ "DELETE /v1/gates/a", NULL, 405, "method_not_allowed", "GET" },
	{ "GET /v1/gates/a/close", NULL, 405, "method_not_allowed", "POST" },
	{ "POST /v1/gates/a/check", NULL, 405, "method_not_allowed", "GET" },
	{ "BREW /v1/gates/a/check", NULL, 405, "method_not_allowed", "BREW" },
};

static void test_bad_input__is_refused_with_a_sentence(void **state)
{
	struct stage *stage = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *row = &bad[i];
		struct ask *ask = http_ask(&stage->http, &stage->one, row->request, row->body ? "%s" : NULL, row->body);

		if (ask->status == row->status && strcmp(ask_text(ask, "code"), row->code) == 0 &&
			strstr(ask_text(ask, "detail"), row->says) && strlen(ask_text(ask, "detail")) > 15)
			continue;
		print_error("%.100s %.60s: %ld %s, wanted \"%s\"\n", row->request, row->body ? row->body : "",
			ask->status, ask->text, row->says);
		failed++;
	}
	assert_int_equal(failed, 0);
	assert_int_equal(psql_number(&stage->admin, "select count(*) from deploy_gate.lease"), 0);
}

static void test_bad_input__a_method_that_is_not_allowed_is_told_which_are(void **state)
{
	struct stage *stage = *state;

	assert_string_equal(
		ask_field(http_ask(&stage->http, &stage->one, "DELETE /v1/gates/a", NULL), "Allow"), "GET, HEAD");
	assert_string_equal(ask_field(get(stage, "/v1/gates/a/close"), "Allow"), "POST");
	assert_string_equal(ask_field(post(stage, "/v1/leases/" NOBODY, NULL), "Allow"), "GET, HEAD, PATCH");
}

/* What is sent besides the lines of the table above. */
static const struct foreign {
	const char *fields, *request, *body;
	long status;
	const char *says;
} foreign[] = {
	{ "Host: evil.example", "GET /v1/gates/a/check", NULL, 403, "host-names" },
	{ "Host: 127.0.0.1.evil.example:80", "GET /v1/gates/a/check", NULL, 403, "host-names" },
	{ "Host: localhost:9999", "GET /v1/gates/a/check", NULL, 200, "" },
	{ "Host: LOCALHOST", "GET /v1/gates/a/check", NULL, 200, "" },
	{ "Host: [::1]:80", "GET /v1/gates/a/check", NULL, 200, "" },
	{ "Origin: https://evil.example", "POST /v1/gates/a/close", "", 403, "Origin" },
	{ "Origin: null", "POST /v1/gates/a/close", "", 403, "Origin" },
	{ "Origin: https://localhost.evil.example", "POST /v1/gates/a/close", "", 403, "Origin" },
	{ "Origin: http://localhost:8000", "GET /v1/gates/a/check", NULL, 200, "" },
	{ "Content-Type: text/xml", "POST /v1/gates/a/close", "<a/>", 415, "application/json" },
	{ "Content-Type: multipart/form-data; boundary=x", "POST /v1/gates/a/close", "--x--", 415, "application/json" },
	{ "Content-Type: application/x-www-form-urlencoded", "POST /v1/gates/a/close", "{\"ttl\":\"1m\"}", 400,
		"Content-Type: application/json" },
	{ "Content-Type: application/x-www-form-urlencoded", "POST /v1/gates/a/close", "%7b%22ttl%22:%221m%22%7d", 400,
		"Content-Type: application/json" },
	{ "Content-Type: application/json", "POST /v1/gates/a/close", "ttl=1m", 400, "JSON" },
	{ "Content-Type: application/json", "POST /v1/gates/a/close", "[1]", 400, "object" },
	{ "Content-Type: application/json", "POST /v1/gates/a/close", "\"ttl\"", 400, "object" },
	{ "X-Lease-Token: short", "GET /v1/gates/a/check", NULL, 400, "22" },
	{ "X-Lease-Token: " TOKEN("x"), "POST /v1/gates/a/close", GOOD, 400, "token: given twice" },
	{ "X-Lease-Token: " TOKEN("x") "\nX-Lease-Token: " TOKEN("y"), "GET /v1/gates/a/check", NULL, 400,
		"given twice" },
	{ "Accept: text/plain", "GET /v1/gates/a..b/check", NULL, 400, "" },
};

static void test_bad_input__what_the_header_says_is_looked_at_too(void **state)
{
	struct stage *stage = *state;

	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const struct foreign *row = &foreign[i];
		struct ask *ask = http_ask_with(&stage->http, &stage->one, row->fields, row->request, row->body);

		if (ask->status != row->status || !strstr(ask_text(ask, "detail"), row->says))
			fail_msg("%s: %ld %s, wanted %ld \"%s\"", row->fields, ask->status, ask->text, row->status,
				row->says);
	}
}

static void test_bad_input__a_name_of_the_settings_is_ours(void **state)
{
	struct stage *stage = *state;
	struct server named;

	server_start(&named, stage->db.conninfo, "named",
		(const char *const[]){ "--host-names", "gate.example,b.example", NULL });
	assert_answer(http_ask_with(&stage->http, &named, "Host: Gate.Example:443", "GET /v1/gates/a/check", NULL), 200,
		NULL);
	assert_answer(http_ask_with(&stage->http, &named, "Origin: https://b.example", "GET /v1/gates/a/check", NULL),
		200, NULL);
	assert_answer(http_ask_with(&stage->http, &named, "Host: c.example", "GET /v1/gates/a/check", NULL), 403,
		"forbidden");
	server_release(&named);
}

static void test_bad_input__a_body_has_a_most(void **state)
{
	struct stage *stage = *state;
	enum { MOST = 64 * 1024 };
	char *body = malloc(2 * MOST);
	struct ask *ask;

	memset(body, 'a', 2 * MOST);
	memcpy(body, "reason=", 7);
	body[MOST] = 0;
	ask = http_ask_with(&stage->http, &stage->one, "Expect:", "POST /v1/gates/a/close", body);
	assert_answer(ask, 400, "bad_request");
	body[MOST] = 'a';
	body[MOST + 1] = 0;
	ask = http_ask_with(&stage->http, &stage->one, "Expect:", "POST /v1/gates/a/close", body);
	assert_answer(ask, 413, "too_large");
	assert_contains(ask_text(ask, "detail"), "64 KiB");
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_input__is_refused_with_a_sentence),
		cmocka_unit_test(test_bad_input__a_method_that_is_not_allowed_is_told_which_are),
		cmocka_unit_test(test_bad_input__what_the_header_says_is_looked_at_too),
		cmocka_unit_test(test_bad_input__a_name_of_the_settings_is_ours),
		cmocka_unit_test(test_bad_input__a_body_has_a_most),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
