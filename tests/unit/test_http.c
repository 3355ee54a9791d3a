/* The HTTP side over real sockets: what libmicrohttpd would let pass, who hangs up, what happens at the limits and at the
 * end. */
#include "http_server.h"

#include "http/listener.h"

#define HOST "Host: localhost\r\n"
#define CLOSE "Connection: close\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define GET_LAST(path) "GET " path " HTTP/1.1\r\n" HOST CLOSE "\r\n"
#define POST_LAST(path, headers, length, body) \
	"POST " path " HTTP/1.1\r\n" HOST CLOSE headers "Content-Length: " length "\r\n\r\n" body
#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define JSON "Content-Type: application/json\r\n"
#define TOKEN "abcdefghijklmnopqrstuvwx"

static int set_up(void **state)
{
	*state = start(100);
	return 0;
}

static int set_up_small(void **state)
{
	*state = start(20);
	return 0;
}

/* Also looks whether the server ended in order: nobody suspended, nothing left on its loop. */
static int tear_down(void **state)
{
	return stop(*state, SIGTERM);
}

/* Says something on a new connection and hears all that comes until the server closes it. */
static void exchange(const struct fixture *fixture, const char *text, char reply[static REPLY_MAX])
{
	int fd = dial(fixture);

	say(fd, text);
	hear(fd, 0, reply);
	close(fd);
}

static const struct spoken {
	const char *request, *status, *part;
} spoken[] = {
	{ GET_LAST("/v1/gates/a/check"), "200 OK", "{\"state\" : \"open\"}" },
	{ GET_LAST("/v1/gates/shut/check"), "423 Locked", "shut is closed by ann" },
	{ GET_LAST("/v1/gates/shut/check?format=text"), "423 Locked", "state: closed\n" },
	{ GET_LAST("/v1/gates/shut/check"), "423 Locked", "Retry-After: 1\r\n" },
	{ GET_LAST("/v1/gates/shut/check"), "423 Locked", "Content-Type: application/problem+json\r\n" },
	{ GET_LAST("/v1/gates/a/check"), "200 OK", "Cache-Control: no-store\r\n" },
	{ "GET /healthz HTTP/1.0\r\n\r\n", "200 OK", "" },
	{ "GET /healthz HTTP/1.1\r\n" CLOSE "\r\n", "400 ", "Host: is missing" },
	{ "GET /healthz HTTP/1.1\r\n" HOST HOST "\r\n", "400 ", "Host: given twice" },
	{ "GET /healthz HTTP/1.1\r\nHost: evil\r\n" CLOSE "\r\n", "403 ", "host-names" },
	{ "GET /healthz HTTP/1.1\r\n" HOST "Origin: http://evil\r\n" CLOSE "\r\n", "403 ", "Origin: " },
	{ GET_LAST("/nothing"), "404 ", "there is no /nothing here" },
	{ "PUT /healthz HTTP/1.1\r\n" HOST CLOSE "\r\n", "405 ", "Allow: GET, HEAD\r\n" },
	{ GET_LAST("/v1/gates/a%00b/check"), "400 ", "path: %00 is not allowed" },
	{ GET_LAST("/v1/gates/a%2Fb/check"), "400 ", "path: %2F is not allowed" },
	{ GET_LAST("/v1/gates/a%252Eb/check"), "400 ", "is not a name" },
	{ GET_LAST("/v1/gates/a%2Eb/check"), "200 ", "" },
	{ GET_LAST("/v1/gates/a/check?x=1"), "400 ", "x: there is no such parameter" },
	{ GET_LAST("/v1/gates/shut/wait?timeout=2m"), "400 ", "timeout: at most 1m (setting max-wait)" },
	{ "GET /v1/gates/a/check HTTP/1.1\r\n" HOST CLOSE "X-Lease-Token: no\r\n\r\n", "400 ", "token: a lease token" },
	{ "GET /v1/gates/a/check HTTP/1.1\r\n" HOST CLOSE "X-Request-Id: my.id-1\r\n\r\n", "200 ",
		"X-Request-Id: my.id-1\r\n" },
	{ "GET /v1/gates/a b/check HTTP/1.1\r\n" HOST CLOSE "\r\n", "400 ", "is not a name" },
	/* From here on: what two readers could take for two different things. The connection is closed behind it. */
	{ "POST /v1/gates/a/close HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", "400 ",
		"Content-Length: given twice" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"400 ", "both Transfer-Encoding and Content-Length" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400 ",
		"only chunked is understood" },
	{ "GET /healthz HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\n", "400 ", "a field whose name is none" },
	/* Bodies. */
	{ POST_LAST("/v1/gates/a/close", FORM, "6", "ttl=5m"), "201 ", "{\"token\":\"" },
	{ POST_LAST("/v1/gates/a/close", JSON, "12", "{\"ttl\":\"5m\"}"), "201 ", "{\"token\":\"" },
	{ POST_LAST("/v1/gates/a/close", "X-Lease-Token: " TOKEN "\r\n", "0", ""), "201 ",
		"{\"token\":\"" TOKEN "\"," },
	{ POST_LAST("/v1/gates/a/close", "X-Lease-Token: " TOKEN "\r\n", "30", "token=" TOKEN), "400 ",
		"token: given twice" },
	{ POST_LAST("/v1/gates/a/close", FORM, "13", "ttl=5h&max=4h"), "400 ", "ttl: is above max" },
	{ POST_LAST("/v1/gates/a/close", FORM, "13", "takeover=true"), "400 ", "reason: is missing" },
	{ POST_LAST("/v1/gates/a/close", FORM, "10", "timeout=2m"), "400 ", "timeout: at most 1m" },
	{ POST_LAST("/v1/gates/a/close", "Content-Type: text/xml\r\n", "3", "<a>"), "415 ", "text/xml" },
	{ POST_LAST("/v1/gates/a/close", FORM, "12", "{\"ttl\":\"5m\"}"), "400 ", "Content-Type: application/json" },
	{ POST_LAST("/v1/gates/a/open", "", "0", ""), "400 ", "token: is missing" },
	{ POST_LAST("/v1/gates/a,b/force-open", FORM, "8", "reason=x"), "400 ", "one gate at a time" },
	{ POST_LAST("/v1/leases/x/renew", FORM, "30", "token=" TOKEN), "400 ", "is not the id of a lease" },
	{ POST_LAST("/v1/gates/a/close", FORM, "2000000", ""), "413 ", "at most 64 KiB" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\n" HOST CLOSE "\r\n", "201 ", "{\"token\":\"" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\n" HOST CLOSE "Transfer-Encoding: chunked\r\n\r\n6\r\nttl=5m\r\n0\r\n\r\n",
		"201 ", "{\"token\":\"" },
};

static void test_http__each_request_gets_its_reply(void **state)
{
	for (size_t i = 0; i < COUNT(spoken); i++) {
		char reply[REPLY_MAX];

		exchange(*state, spoken[i].request, reply);
		if (strncmp(reply, "HTTP/1.1 ", 9) != 0 ||
			strncmp(reply + 9, spoken[i].status, strlen(spoken[i].status)) != 0)
			fail_msg("%s: %s", spoken[i].request, reply);
		assert_contains(reply, spoken[i].part);
		assert_null(strstr(reply + 9, "HTTP/1.1 "));
	}
}

static void test_http__pipelined_requests_are_answered_in_order(void **state)
{
	char reply[REPLY_MAX];
	int fd = dial(*state);

	say(fd, GET("/v1/gates/a/check") GET("/healthz") GET("/v1/gates/b/check"));
	hear(fd, 3, reply);
	assert_true(strstr(reply, "\"open\"") < strstr(reply, "\"ok\""));
	close(fd);
}

#define GET_AS(id, path) "GET " path " HTTP/1.1\r\n" HOST "X-Request-Id: " id "\r\n\r\n"

/* Also where it says the same as the one before on its connection, or did until one said something else. */
static void test_http__each_reply_has_the_id_of_its_request_and_no_other(void **state)
{
	static const char *const ids[] = { "id-one", "id-two", "id-three", "id-four" };
	char reply[REPLY_MAX];
	const char *at = reply;
	int fd = dial(*state);

	say(fd,
		GET_AS("id-one", "/v1/gates/a/check") GET_AS("id-two", "/v1/gates/a/check")
			GET_AS("id-three", "/healthz") GET_AS("id-four", "/v1/gates/a/check"));
	hear(fd, 4, reply);
	for (size_t i = 0; i < COUNT(ids); i++) {
		at = strstr(at, "X-Request-Id: ") + strlen("X-Request-Id: ");
		assert_memory_equal(at, ids[i], strlen(ids[i]));
		assert_memory_equal(strstr(at, "{\"state\""), i == 2 ? "{\"state\":\"ok\"}" : "{\"state\" : \"open\"}",
			i == 2 ? 14 : 18);
	}
	assert_null(strstr(at, "X-Request-Id: "));
	close(fd);
}

static void test_http__a_connection_outlives_a_refused_body(void **state)
{
	static const char head[] = "POST /v1/gates/a/close HTTP/1.1\r\n" HOST "Content-Length: 70000\r\n\r\n";
	char body[70001], reply[REPLY_MAX];
	int fd = dial(*state);

	memset(body, 'x', sizeof(body));
	body[70000] = '\0';
	say(fd, head);
	say(fd, body);
	say(fd, "POST /nothing HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/healthz"));
	hear(fd, 3, reply);
	assert_memory_equal(reply, "HTTP/1.1 413", 12);
	assert_contains(reply, "HTTP/1.1 404");
	assert_contains(reply, "{\"state\":\"ok\"}");
	close(fd);
}

static void test_http__head_is_get_without_the_body(void **state)
{
	char get[REPLY_MAX], head[REPLY_MAX];

	exchange(*state, GET_LAST("/healthz"), get);
	exchange(*state, "HEAD /healthz HTTP/1.1\r\n" HOST CLOSE "\r\n", head);
	assert_contains(get, "Content-Length: 14\r\n");
	assert_contains(head, "Content-Length: 14\r\n");
	assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
}

static void test_http__a_wait_is_answered_when_the_gate_opens(void **state)
{
	char reply[REPLY_MAX];
	int fd = dial(*state);

	say(fd, GET("/v1/gates/shut/wait"));
	assert_int_equal(next_news(*state), 'p');
	exchange(*state, POST_LAST("/v1/gates/a/open", FORM, "30", "token=" TOKEN), reply);
	hear(fd, 1, reply);
	assert_memory_equal(reply, "HTTP/1.1 200", 12);
	close(fd);
}

static void test_http__a_hang_up_while_waiting_is_seen(void **state)
{
	int fd = dial(*state);

	say(fd, GET("/v1/gates/shut/wait"));
	assert_int_equal(next_news(*state), 'p');
	close(fd);
	assert_int_equal(next_news(*state), 'h');
}

/* One who waited before on its connection sends its last request and the end in one piece, so that the hang-up comes before anybody
 * waits. */
static void test_http__a_hang_up_that_came_with_a_later_wait_is_seen(void **state)
{
	static const char last[] = GET("/v1/gates/shut/wait");
	char reply[REPLY_MAX];
	int fd = dial(*state);

	say(fd, last);
	assert_int_equal(next_news(*state), 'p');
	exchange(*state, POST_LAST("/v1/gates/a/open", FORM, "30", "token=" TOKEN), reply);
	hear(fd, 1, reply);
	assert_int_equal(send(fd, last, strlen(last), MSG_NOSIGNAL | MSG_MORE), (ssize_t)strlen(last));
	close(fd);
	assert_int_equal(next_news(*state), 'p');
	assert_int_equal(next_news(*state), 'h');
}

static void test_http__a_check_whose_client_is_gone_is_forgotten(void **state)
{
	struct linger reset = { .l_onoff = 1 };
	int fd = dial(*state);

	say(fd, GET("/v1/gates/slow/check"));
	assert_int_equal(next_news(*state), 'p');
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	assert_int_equal(next_news(*state), 'h');
}

static void test_http__others_are_served_while_a_check_is_slow(void **state)
{
	char reply[REPLY_MAX];
	int slow = dial(*state);

	say(slow, GET("/v1/gates/slow/check"));
	assert_int_equal(next_news(*state), 'p');
	for (int i = 0; i < 20; i++)
		exchange(*state, GET_LAST("/v1/gates/a/check"), reply);
	close(slow);
}

static void test_http__waits_leave_room_for_others(void **state)
{
	int waits[16];
	char reply[REPLY_MAX];

	for (size_t i = 0; i < COUNT(waits); i++) {
		waits[i] = dial(*state);
		say(waits[i], GET("/v1/gates/shut/wait"));
		assert_int_equal(next_news(*state), 'p');
	}
	exchange(*state, GET_LAST("/v1/gates/shut/wait"), reply);
	assert_memory_equal(reply, "HTTP/1.1 429", 12);
	assert_contains(reply, "Retry-After: 2\r\n");
	exchange(*state, GET_LAST("/healthz"), reply);
	assert_memory_equal(reply, "HTTP/1.1 200", 12);
	for (size_t i = 0; i < COUNT(waits); i++)
		close(waits[i]);
}

static void test_http__idle_connections_make_room(void **state)
{
	int idle[50];
	char reply[REPLY_MAX];

	for (size_t i = 0; i < COUNT(idle); i++) {
		idle[i] = dial(*state);
		say(idle[i], GET("/healthz"));
		hear(idle[i], 1, reply);
		assert_memory_equal(reply, "HTTP/1.1 200", 12);
	}
	for (size_t i = 0; i < COUNT(idle); i++)
		close(idle[i]);
}

static void test_http__who_waits_is_answered_at_the_end(void **state)
{
	struct fixture *fixture = start(100);
	char reply[REPLY_MAX];
	int fd = dial(fixture);

	(void)state;
	say(fd, GET("/v1/gates/shut/wait"));
	assert_int_equal(next_news(fixture), 'p');
	assert_int_equal(stop(fixture, SIGTERM), 0);
	hear(fd, 0, reply);
	assert_memory_equal(reply, "HTTP/1.1 503", 12);
	assert_contains(reply, "Connection: close\r\n");
	close(fd);
}

static void test_http__who_is_never_answered_does_not_hold_up_the_end(void **state)
{
	struct fixture *fixture = start(100);
	int wait = dial(fixture), check = dial(fixture), silent = dial(fixture);
	char reply[REPLY_MAX];

	(void)state;
	say(wait, GET("/v1/gates/shut/wait"));
	assert_int_equal(next_news(fixture), 'p');
	say(check, GET("/v1/gates/slow/check"));
	assert_int_equal(next_news(fixture), 'p');
	assert_int_equal(stop(fixture, SIGINT), 0);
	hear(wait, 0, reply);
	assert_string_equal(reply, "");
	close(wait);
	close(check);
	close(silent);
}

/* A socket file is taken over from a server that died. What is no socket is a path mistyped, and costs no file. */
static void test_listener__replaces_a_socket_file_and_no_other(void **state)
{
	char text[64] = "unix:/tmp/test-listener.XXXXXX", *path = text + strlen("unix:");
	struct listener listener;
	struct fault fault;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listener_open(&listener, text, &fault), OUTCOME_UNAVAILABLE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(listener_open(&listener, text, &fault), OUTCOME_OK);
	close(listener.fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(listener_open(&listener, text, &fault), OUTCOME_OK);
	listener_close(&listener, NULL);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_http__each_request_gets_its_reply, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__pipelined_requests_are_answered_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_http__each_reply_has_the_id_of_its_request_and_no_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__a_connection_outlives_a_refused_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__head_is_get_without_the_body, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__a_wait_is_answered_when_the_gate_opens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__a_hang_up_while_waiting_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_http__a_hang_up_that_came_with_a_later_wait_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_http__a_check_whose_client_is_gone_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__others_are_served_while_a_check_is_slow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_http__waits_leave_room_for_others, set_up_small, tear_down),
		cmocka_unit_test_setup_teardown(test_http__idle_connections_make_room, set_up_small, tear_down),
		cmocka_unit_test(test_http__who_waits_is_answered_at_the_end),
		cmocka_unit_test(test_listener__replaces_a_socket_file_and_no_other),
		cmocka_unit_test(test_http__who_is_never_answered_does_not_hold_up_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
