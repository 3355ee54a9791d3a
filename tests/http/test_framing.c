/* Requests as no library would send them, written by hand: what could be read in two ways is refused, and who dawdles is cut. */
#include "support/stage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MAX = 8192, PATIENCE_MS = 60000 };

static int dial(const struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)server->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until the other side closes or, where that is asked, there is the text. Whether it closed. */
static bool hear(int fd, char answer[static ANSWER_MAX], const char *until)
{
	size_t size = 0;

	for (answer[0] = 0; size < ANSWER_MAX - 1;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&ready, 1, PATIENCE_MS) <= 0)
			fail_msg("nothing comes, and no end, behind: %s", answer);
		got = recv(fd, answer + size, ANSWER_MAX - 1 - size, 0);
		if (got <= 0)
			return true;
		size += (size_t)got;
		answer[size] = 0;
		if (until && strstr(answer, until))
			return false;
	}
	return false;
}

static const struct raw {
	const char *request;
	const char *answers;		/* in the status line */
	const char *says;
} raws[] = {
	{ "GET /v1/gates/a/check HTTP/1.1\r\n\r\n", "400", "Host" },
	{ "GET /v1/gates/a/check HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "400", "Host: given twice" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n",
		"400", "Content-Length: given twice" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n0\r\n\r\n",
		"400", "both" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"400", "Transfer-Encoding" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400",
		"Transfer-Encoding" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length : 0\r\n\r\n", "400", "" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n", "400", "" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", "400", "" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n", "413", "64 KiB" },
	{ "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n", "413",
		"" },
	{ "GET /v1/gates/a/check%00/../b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "404",
		"there is no" },
	{ "GET /v1/gates/a%2F..%2Fb/check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "400", "%2F" },
	{ "GET /v1%2Fgates/a/check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "404", "there is no" },
};

static void test_framing__what_could_be_read_in_two_ways_is_refused_and_ends_the_connection(void **state)
{
	const struct stage *stage = *state;
	unsigned failed = 0;

	for (size_t i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		char answer[ANSWER_MAX];
		int fd = dial(&stage->one);

		say(fd, raws[i].request);
		assert_true(hear(fd, answer, NULL));
		if (strncmp(answer, "HTTP/1.", 7) != 0 || strncmp(answer + 9, raws[i].answers, 3) != 0 ||
			!strstr(answer, raws[i].says)) {
			print_error("%s: wanted %s %s\n%s\n", raws[i].request, raws[i].answers, raws[i].says, answer);
			failed++;
		}
		close(fd);
	}
	assert_int_equal(failed, 0);
}

/* What stands in the target goes before the field Host, and both are looked at in the same way. */
static const struct raw absolutes[] = {
	{ "GET http://localhost/v1/gates/a/check HTTP/1.1\r\nHost: localhost\r\n", "200", "\"state\":\"open\"" },
	{ "GET HTTP://127.0.0.1:80/v1/gates/a/check?format=text HTTP/1.1\r\nHost: elsewhere.example\r\n", "200",
		"state: open" },
	{ "GET https://elsewhere.example/v1/gates/a/check HTTP/1.1\r\nHost: localhost\r\n", "403",
		"\\\"elsewhere.example\\\"" },
	{ "GET http://localhost@elsewhere.example/healthz HTTP/1.1\r\nHost: localhost\r\n", "403", "host-names" },
	{ "GET http://localhost/v1/gates/a/check HTTP/1.1\r\n", "400", "Host: is missing" },
	{ "GET http://localhost HTTP/1.1\r\nHost: localhost\r\n", "404", "there is no" },
	{ "GET http:///healthz HTTP/1.1\r\nHost: localhost\r\n", "403", "host-names" },
	{ "GET ftp://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n", "404", "there is no" },
};

static void test_framing__a_target_in_absolute_form_is_its_path(void **state)
{
	const struct stage *stage = *state;

	for (size_t i = 0; i < sizeof(absolutes) / sizeof(absolutes[0]); i++) {
		char answer[ANSWER_MAX];
		int fd = dial(&stage->one);

		say(fd, absolutes[i].request);
		say(fd, "Connection: close\r\n\r\n");
		assert_true(hear(fd, answer, NULL));
		if (strncmp(answer + 9, absolutes[i].answers, 3) != 0 || !strstr(answer, absolutes[i].says))
			fail_msg("%s: wanted %s %s\n%s", absolutes[i].request, absolutes[i].answers, absolutes[i].says,
				answer);
		close(fd);
	}
}

static void test_framing__the_old_protocol_without_host_is_served(void **state)
{
	const struct stage *stage = *state;
	char answer[ANSWER_MAX];
	int fd = dial(&stage->one);

	say(fd, "GET /v1/gates/a/check HTTP/1.0\r\n\r\n");
	assert_true(hear(fd, answer, NULL));
	assert_contains(answer, " 200 OK\r\n");
	assert_contains(answer, "\"state\":\"open\"");
	close(fd);
}

static void test_framing__a_chunked_body_is_a_body(void **state)
{
	const struct stage *stage = *state;
	char answer[ANSWER_MAX];
	int fd = dial(&stage->one);

	say(fd,
		"POST /v1/gates/frame.chunk/close HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
		"Connection: close\r\n\r\n4\r\nhold\r\n6\r\ner=ann\r\n0\r\n\r\n");
	assert_true(hear(fd, answer, NULL));
	assert_contains(answer, " 201 Created\r\n");
	assert_contains(answer, "\"ann\"");
	close(fd);
}

static void test_framing__requests_behind_each_other_are_answered_in_turn(void **state)
{
	const struct stage *stage = *state;
	char answer[ANSWER_MAX];
	int fd = dial(&stage->one);

	say(fd,
		"GET /v1/gates/frame.a/check HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: first\r\n\r\n"
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: second\r\nConnection: close\r\n\r\n");
	assert_true(hear(fd, answer, NULL));
	assert_non_null(strstr(answer, "X-Request-Id: first"));
	assert_non_null(strstr(strstr(answer, "X-Request-Id: first"), "X-Request-Id: second"));
	close(fd);
}

static void answer_to_long(const struct stage *stage, const char *before, size_t size, const char *wanted)
{
	char *filler = malloc(size + 1), answer[ANSWER_MAX];
	int fd = dial(&stage->one);

	memset(filler, 'a', size);
	filler[size] = 0;
	say(fd, before);
	send(fd, filler, size, MSG_NOSIGNAL);
	send(fd, "\r\n\r\n", 4, MSG_NOSIGNAL);
	hear(fd, answer, "\r\n\r\n");
	if (strncmp(answer + 9, wanted, 3) != 0)
		fail_msg("%.40s and %zu bytes: wanted %s\n%s", before, size, wanted, answer);
	close(fd);
	free(filler);
}

static void test_framing__an_address_or_a_header_that_is_too_long_says_so(void **state)
{
	answer_to_long(*state, "GET /v1/gates/", 20000, "414");
	answer_to_long(*state, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ", 20000, "431");
	assert_answer(get(*state, "/healthz"), 200, NULL);
}

/* What comes at once, and behind it a letter now and then. */
static const struct {
	const char *at_once;
	int64_t at_least_ns;		/* it has that long */
} dawdlers[] = {
	{ "G", 5000000000 },
	{ "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 5000000000 },
	{ "POST /v1/gates/frame.slow/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\nholder=",
		15000000000 },
};

enum { DAWDLERS = sizeof(dawdlers) / sizeof(dawdlers[0]) };

/* A letter more from each; those that were cut are closed, and said to have had time enough. */
static unsigned dawdle(int fds[static DAWDLERS], int64_t began_ns)
{
	unsigned left = 0;

	for (size_t i = 0; i < DAWDLERS; i++) {
		struct pollfd ready = { .fd = fds[i], .events = POLLIN };
		char answer[ANSWER_MAX];

		if (fds[i] < 0)
			continue;
		if (poll(&ready, 1, 100) == 0) {
			send(fds[i], "A", 1, MSG_NOSIGNAL);
			left++;
			continue;
		}
		assert_true(hear(fds[i], answer, NULL));
		assert_true(clock_ns() - began_ns > dawdlers[i].at_least_ns);
		close(fds[i]);
		fds[i] = -1;
	}
	return left;
}

/* A byte now and then keeps a connection from being idle, and is cut all the same: the deadlines are absolute ones. */
static void test_framing__slow_senders_are_cut_and_hinder_nobody(void **state)
{
	struct stage *stage = *state;
	int64_t began_ns = clock_ns();
	int fds[DAWDLERS];

	for (size_t i = 0; i < DAWDLERS; i++) {
		fds[i] = dial(&stage->one);
		say(fds[i], dawdlers[i].at_once);
	}
	while (dawdle(fds, began_ns)) {
		assert_true(clock_ns() - began_ns < 120000000000);
		assert_answer(get(stage, "/v1/gates/frame.slow/check"), 200, NULL);
	}
}

enum { CROWD = 48 };

/* Each may dawdle for half a minute where there is room. */
static void test_framing__a_crowd_of_slow_senders_makes_room_for_others_and_no_waiter_does(void **state)
{
	struct stage *stage = *state;
	struct server small;
	struct ask *waits;
	int fds[CROWD];
	int64_t began_ns;

	server_start(&small, stage->db.conninfo, "small", (const char *const[]){ "--connections", "16", NULL });
	assert_answer(post(stage, "/v1/gates/frame.crowd/close", "token=" TOKEN("crowd")), 201, NULL);
	waits = http_begin(&stage->http, &small, "GET /v1/gates/frame.crowd/wait?timeout=50s", NULL);
	await_jobs(stage, "frame.crowd", 1);
	began_ns = clock_ns();
	for (size_t i = 0; i < CROWD; i++) {
		fds[i] = dial(&small);
		say(fds[i], "POST /v1/gates/a/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhold");
	}
	assert_answer(http_ask(&stage->http, &small, "GET /v1/gates/frame.other/check", NULL), 200, NULL);
	assert_true(clock_ns() - began_ns < 25000000000);
	assert_answer(post(stage, "/v1/gates/frame.crowd/open", "token=" TOKEN("crowd")), 200, NULL);
	http_finish(waits);
	assert_answer(waits, 200, NULL);
	for (size_t i = 0; i < CROWD; i++)
		close(fds[i]);
	server_release(&small);
}

/* What a client sent that hangs up without waiting is done all the same, or not at all; the server lives on. */
static void test_framing__a_client_that_hangs_up_at_once_harms_nobody(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 200; i++) {
		int fd = dial(&stage->one);
		struct linger now = { .l_onoff = 1, .l_linger = 0 };

		say(fd,
			i % 2 ? "GET /v1/gates/frame.gone/check HTTP/1.1\r\nHost: localhost\r\n\r\n"
			      : "POST /v1/gates/frame.gone/close HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
				"0\r\n\r\n");
		if (i % 4 < 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
	}
	assert_answer(get(stage, "/readyz"), 200, NULL);
	psql_until(&stage->admin,
		"select count(*) <= 1 from deploy_gate.lease where gates = '{frame.gone}' and ended_at is null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing__what_could_be_read_in_two_ways_is_refused_and_ends_the_connection),
		cmocka_unit_test(test_framing__a_target_in_absolute_form_is_its_path),
		cmocka_unit_test(test_framing__the_old_protocol_without_host_is_served),
		cmocka_unit_test(test_framing__a_chunked_body_is_a_body),
		cmocka_unit_test(test_framing__requests_behind_each_other_are_answered_in_turn),
		cmocka_unit_test(test_framing__an_address_or_a_header_that_is_too_long_says_so),
		cmocka_unit_test(test_framing__slow_senders_are_cut_and_hinder_nobody),
		cmocka_unit_test(test_framing__a_crowd_of_slow_senders_makes_room_for_others_and_no_waiter_does),
		cmocka_unit_test(test_framing__a_client_that_hangs_up_at_once_harms_nobody),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
