/* What is true of every reply: its header, its form as text, HEAD, and what the server says of itself. */
#include "support/stage.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct ask *get_with(struct stage *stage, const char *fields, const char *request)
{
	return http_ask_with(&stage->http, &stage->one, fields, request, NULL);
}

static void test_reply__is_never_stored(void **state)
{
	struct stage *stage = *state;

	assert_string_equal(ask_field(get(stage, "/v1/gates/reply/check"), "Cache-Control"), "no-store");
	assert_string_equal(ask_field(get(stage, "/v1/nothing"), "Cache-Control"), "no-store");
	assert_string_equal(ask_field(get(stage, "/healthz"), "Cache-Control"), "no-store");
}

static void test_reply__carries_the_id_of_its_request(void **state)
{
	struct stage *stage = *state;
	static const char *const bad[] = { "X-Request-Id: a b", "X-Request-Id: \"x\"",
		"X-Request-Id: 0123456789012345678901234567890123456789012345678901234567890123_", NULL };
	struct ask *ask = get_with(stage, "X-Request-Id: Mine-1.2_3", "GET /v1/gates/reply/check");
	char first[64];

	assert_string_equal(ask_field(ask, "X-Request-Id"), "Mine-1.2_3");
	assert_string_equal(
		ask_field(get_with(stage, "X-Request-Id: again", "GET /v1/nothing"), "X-Request-Id"), "again");
	assert_string_equal(
		ask_field(get_with(stage, "X-Request-Id: client\nX-Request-Id: proxy", "GET /healthz"), "X-Request-Id"),
		"proxy");
	for (const char *const *field = bad; *field; field++) {
		const char *made = ask_field(get_with(stage, *field, "GET /healthz"), "X-Request-Id");

		assert_true(strlen(made) >= 8 && !strstr(*field, made));
	}
	snprintf(first, sizeof(first), "%s", ask_field(get(stage, "/healthz"), "X-Request-Id"));
	assert_string_not_equal(ask_field(get(stage, "/healthz"), "X-Request-Id"), first);
	post(stage, "/v1/gates/reply.logged/close", NULL);
	http_ask_with(
		&stage->http, &stage->one, "X-Request-Id: look-for-me", "POST /v1/gates/reply.logged/close", NULL);
	server_await(&stage->one, "request_id=look-for-me");
}

static void test_reply__to_head_is_that_to_get_without_its_body(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	post(stage, "/v1/gates/reply.head/close", NULL);
	ask = http_ask(&stage->http, &stage->one, "HEAD /v1/gates/reply.head/check", NULL);
	assert_int_equal(ask->status, 423);
	assert_string_equal(ask->text, "");
	assert_string_equal(ask_field(ask, "Retry-After"), "1");
	assert_int_equal(http_ask(&stage->http, &stage->one, "HEAD /v1/gates/reply.open/check", NULL)->status, 200);
	assert_int_equal(http_ask(&stage->http, &stage->one, "HEAD /v1/gates/reply.head/close", NULL)->status, 405);
}

static void test_reply__as_text_is_lines_with_the_state_first(void **state)
{
	struct stage *stage = *state;
	struct ask *ask;

	assert_string_equal(get(stage, "/v1/gates/reply.text/check?format=text")->text, "state: open\nknown: false\n");
	ask = get_with(stage, "Accept: text/plain", "GET /v1/gates/reply.text/check");
	assert_string_equal(ask->text, "state: open\nknown: false\n");
	assert_contains(ask_field(ask, "Content-Type"), "text/plain");
	ask = post(stage, "/v1/gates/reply.text/close?format=text", "holder=ann&reason=two%%20words");
	assert_answer(ask, 201, NULL);
	assert_int_equal(strncmp(ask->text, "state: closed\n", 14), 0);
	assert_contains(ask->text, "\ngates.0: reply.text\n");
	assert_contains(ask->text, "\nreason: two words\n");
	assert_contains(ask->text, "\ntoken: ");
	assert_null(strstr(ask->text, "null"));
	ask = get(stage, "/v1/gates/reply.text/check?format=text");
	assert_answer(ask, 423, NULL);
	assert_int_equal(strncmp(ask->text, "state: closed\n", 14), 0);
	assert_contains(ask->text, "\ncode: closed\n");
	assert_contains(ask->text, "\ngate.window.holder: ann\n");
	assert_contains(ask_field(ask, "Content-Type"), "text/plain");
	assert_string_equal(ask_field(ask, "Retry-After"), "1");
	ask = get_with(stage, "Accept: application/json, text/plain", "GET /v1/gates/reply.text/check");
	assert_string_equal(ask_field(ask, "Content-Type"), "application/problem+json");
	ask = get_with(stage, "Accept: text/plain", "GET /v1/gates/reply.text/check?format=json");
	assert_string_equal(ask_field(ask, "Content-Type"), "application/problem+json");
	assert_contains(get_with(stage, "Accept: text/plain", "GET /v1/nothing")->text, "code: not_found\n");
}

/* However early a request is refused. */
static void test_reply__as_text_is_what_every_refusal_is_too(void **state)
{
	static const struct {
		const char *fields, *request, *code;
	} early[] = {
		{ "Host: evil.example", "GET /v1/gates?format=text", "forbidden" },
		{ "X-Lease-Token: a\nX-Lease-Token: b", "GET /v1/gates?format=text", "bad_request" },
		{ "Accept: */*", "GET /v1/nothing?format=text", "not_found" },
		{ "Accept: */*", "DELETE /v1/gates?limit=1&format=text", "method_not_allowed" },
		{ "Accept: */*", "GET /v1/gates?limti=1&format=text", "bad_request" },
		{ "Accept: */*", "GET /v1/gates?token=x&format=text&after=x", "bad_request" },
	};

	for (size_t i = 0; i < sizeof(early) / sizeof(early[0]); i++) {
		struct ask *ask = get_with(*state, early[i].fields, early[i].request);
		char line[40];

		snprintf(line, sizeof(line), "\ncode: %s\n", early[i].code);
		assert_contains(ask->text, line);
		assert_contains(ask_field(ask, "Content-Type"), "text/plain");
	}
	assert_answer(get(*state, "/v1/nothing?aformat=text&format=texts"), 404, "not_found");
}

static void test_health__says_that_it_runs_and_is_ready(void **state)
{
	struct ask *ask = get(*state, "/healthz");

	assert_answer(ask, 200, NULL);
	assert_text(ask, "state", "ok");
	ask = get(*state, "/readyz");
	assert_answer(ask, 200, NULL);
	assert_text(ask, "state", "ready");
}

/* While it leaves it is not ready, and says so; what it does not know it does not answer. */
static void test_health__is_not_ready_while_it_leaves(void **state)
{
	struct stage *stage = *state;
	struct server leaving;

	server_start(&leaving, stage->db.conninfo, "leaving", (const char *const[]){ "--leave-delay", "20s", NULL });
	server_signal(&leaving, SIGTERM);
	server_await(&leaving, "event=leaving");
	assert_answer(http_ask(&stage->http, &leaving, "GET /readyz", NULL), 503, "unavailable");
	assert_answer(http_ask(&stage->http, &leaving, "GET /healthz", NULL), 200, NULL);
	assert_answer(http_ask(&stage->http, &leaving, "GET /v1/gates/leave/check", NULL), 200, NULL);
	server_kill(&leaving);
	server_release(&leaving);
}

static void test_log__never_holds_a_token(void **state)
{
	struct stage *stage = *state;
	struct ask *made = post(stage, "/v1/gates/reply.secret/close", "reason=seen");
	char *log;

	post(stage, "/v1/gates/reply.secret/open", "token=%s", ask_text(made, "token"));
	post(stage, "/v1/gates/reply.secret2/close?token=" TOKEN("in-the-query"), NULL);
	http_ask_with(&stage->http, &stage->one, "X-Lease-Token: " TOKEN("in-the-head"),
		"GET /v1/gates/reply.secret/check", NULL);
	server_await(&stage->one, "path=/v1/gates/reply.secret2/close");
	log = server_log(&stage->one);
	assert_null(strstr(log, ask_text(made, "token")));
	assert_null(strstr(log, "in-the-query"));
	assert_null(strstr(log, "in-the-head"));
	free(log);
}

/* A socket file answers too, to whatever Host. */
static void test_listen__on_a_socket_file(void **state)
{
	struct stage *stage = *state;
	struct server server;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char flag[160], answer[512] = "";
	ssize_t got, size = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n";

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/deploy-gated-test.%d.sock", (int)getpid());
	snprintf(flag, sizeof(flag), "unix:%s", address.sun_path);
	server_start(&server, stage->db.conninfo, "socket", (const char *const[]){ "--listen", flag, NULL });
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	while ((got = read(fd, answer + size, sizeof(answer) - 1 - (size_t)size)) > 0)
		size += got;
	assert_contains(answer, "HTTP/1.1 200 OK");
	close(fd);
	server_stop(&server);
	assert_int_equal(access(address.sun_path, F_OK), -1);
	server_release(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply__is_never_stored),
		cmocka_unit_test(test_reply__carries_the_id_of_its_request),
		cmocka_unit_test(test_reply__to_head_is_that_to_get_without_its_body),
		cmocka_unit_test(test_reply__as_text_is_lines_with_the_state_first),
		cmocka_unit_test(test_reply__as_text_is_what_every_refusal_is_too),
		cmocka_unit_test(test_health__says_that_it_runs_and_is_ready),
		cmocka_unit_test(test_health__is_not_ready_while_it_leaves),
		cmocka_unit_test(test_log__never_holds_a_token),
		cmocka_unit_test(test_listen__on_a_socket_file),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
