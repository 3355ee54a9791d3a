/* What keeps a lease, against a service that says what the test wants: whom it believes what, when it asks anew. */
#include "cases.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"
#include "keep.h"
#include "lease.h"
#include "urls.h"

enum { ACTS_MAX = 4, PATIENCE_MS = 60000, TTL_MS = 4000, REQUEST_MAX = 4096 };

#define TOKEN "0123456789abcdef0123456789abcdef"
#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define JSON(status) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
#define PROBLEM(status, code, more) JSON(status) "{\"type\":\"/problems/" code "\",\"code\":\"" code "\"" more "}"
/* The lease as the service writes it so many seconds after its first word. */
#define AT(second) "\"expires_at\":\"2026-01-01T00:00:0" second ".000Z\",\"expires_in_ms\":4000"
#define EVENT(name, data) "event: " name "\ndata: {" data "}\n\n"

/* What the service does with one connection after the other. */
struct act {
	const char *wants; /* begins the request */
	const char *says, *later;
	int pause_ms; /* between what it says and what it says later */
	bool ends;    /* else the connection stands */
};

struct service {
	pid_t pid;
	char url[48];
	struct urls urls;
	struct http *http;
	struct lease lease;
	struct keep keep;
	int64_t asked_ms;
};

static void say(int fd, const char *text)
{
	if (text && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		_exit(1);
}

/* In the child: plays. A request that is none of those wanted is answered by hanging up for good. */
static _Noreturn void play(int listener, const struct act *acts)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; acts->wants; acts++) {
		char request[REQUEST_MAX] = "";
		int fd = accept(listener, NULL, NULL);

		if (read(fd, request, sizeof(request) - 1) <= 0 ||
			strncmp(request, acts->wants, strlen(acts->wants)) != 0)
			_exit(2);
		say(fd, acts->says);
		poll(NULL, 0, acts->pause_ms);
		say(fd, acts->later);
		if (acts->ends)
			close(fd);
	}
	for (;;)
		pause();
}

static void begin(struct service *service, const struct act *acts)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct silence silence = { .acked_ms = clock_ms(), .life_ms = TTL_MS, .ttl_ms = TTL_MS };
	struct fault fault;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, ACTS_MAX), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	service->pid = fork();
	if (service->pid == 0)
		play(listener, acts);
	close(listener);
	snprintf(service->url, sizeof(service->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	assert_int_equal(urls_parse(service->url, &service->urls, &fault), OUTCOME_OK);
	service->http = http_new(&(struct http_terms){ .urls = &service->urls, .answer_ms = PATIENCE_MS });
	lease_init(&service->lease, "a", TOKEN);
	service->asked_ms = silence.acked_ms;
	keep_init(&service->keep, service->http, &service->lease, &silence);
}

static void end(struct service *service)
{
	keep_release(&service->keep);
	http_free(service->http);
	urls_release(&service->urls);
	kill(service->pid, SIGKILL);
	waitpid(service->pid, NULL, 0);
}

/* Goes on until the condition holds; condition speaks of keep and now_ms. */
#define GO_ON_UNTIL(service, condition)                                                                                \
	do {                                                                                                           \
		struct keep *keep = &(service)->keep;                                                                  \
		int64_t end_ms = clock_ms() + PATIENCE_MS;                                                             \
		while (!(condition)) {                                                                                 \
			assert_true(clock_ms() < end_ms);                                                              \
			go_on(service);                                                                                \
		}                                                                                                      \
	} while (0)

static void go_on(struct service *service)
{
	keep_drive(&service->keep, -1, clock_ms() + 50);
}

#define ATTACH "GET /v1/leases/"
#define RENEW "POST /v1/leases/"

static void test_keep__believes_a_stream_from_when_it_was_asked_for(void **state)
{
	static const struct act acts[] = { { ATTACH, STREAM EVENT("attached", AT("2")), NULL, 0, false }, { NULL } };
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->way == KEEP_ATTACHED);
	assert_int_equal(service.keep.silence.acked_ms, service.keep.sent_ms);
	assert_int_equal(service.keep.silence.life_ms, TTL_MS);
	assert_int_equal(service.keep.silence.grace_ms, 5000);
	end(&service);
}

/* The service's clock says that 100 ms have passed, and so they count, however long the event was on its way. */
static void test_keep__counts_by_the_clock_of_who_wrote(void **state)
{
	static const struct act acts[] = {
		{ ATTACH, STREAM EVENT("attached", AT("2")),
			EVENT("renewed",
				"\"grace_ms\":7000,\"expires_at\":\"2026-01-01T00:00:02.100Z\",\"expires_in_ms\":4000"),
			200, false },
		{ NULL }
	};
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->silence.acked_ms == keep->sent_ms + 100);
	assert_int_equal(service.keep.silence.grace_ms, 7000);
	end(&service);
}

static void test_keep__never_counts_from_the_future(void **state)
{
	static const struct act acts[] = {
		{ ATTACH, STREAM EVENT("attached", AT("2")), EVENT("renewed", AT("9")), 100, false }, { NULL }
	};
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->silence.acked_ms > keep->sent_ms);
	assert_true(service.keep.silence.acked_ms <= clock_ms());
	end(&service);
}

/* What was long on its way says nothing about now, nor does a clock that was set back: we ask anew. */
static void test_keep__asks_anew_when_events_come_late(void **state)
{
	static const struct act acts[] = { { ATTACH, STREAM EVENT("attached", AT("2")), EVENT("renewed", AT("2")), 1200,
						   false },
		{ ATTACH, STREAM EVENT("attached", AT("5")), EVENT("renewed", AT("4")), 50, false },
		{ ATTACH, STREAM EVENT("attached", AT("4") ",\"overrun\":true"), NULL, 0, false }, { NULL } };
	struct service service;

	(void)state;
	begin(&service, acts);
	for (int i = 0; i < 2; i++) {
		GO_ON_UNTIL(&service, keep->stale);
		assert_int_equal(service.keep.silence.acked_ms, service.keep.sent_ms);
		GO_ON_UNTIL(&service, !keep->stale);
	}
	GO_ON_UNTIL(&service, keep->overrun);
	assert_int_equal(service.keep.silence.acked_ms, service.keep.sent_ms);
	end(&service);
}

static void test_keep__attaches_anew_when_a_stream_ends_or_falls_silent(void **state)
{
	static const struct act acts[] = { { ATTACH, STREAM EVENT("attached", AT("2")), NULL, 0, true },
		{ ATTACH, STREAM EVENT("attached", AT("3")), ": still here\n\n", 100, false },
		{ ATTACH, STREAM EVENT("attached", AT("5") ",\"overrun\":true"), NULL, 0, false }, { NULL } };
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->overrun);
	assert_true(clock_ms() - service.asked_ms >= TTL_MS * 2 / 5);
	end(&service);
}

static void test_keep__renews_where_no_stream_is_to_be_had(void **state)
{
	static const struct act acts[] = {
		{ ATTACH, PROBLEM("404 Not Found", "not_found", ",\"detail\":\"no such thing\""), NULL, 0, true },
		{ RENEW, JSON("200 OK") "{\"state\":\"closed\"," AT("2") "}", NULL, 0, true },
		{ ATTACH, PROBLEM("404 Not Found", "not_found", ",\"detail\":\"no such thing\""), NULL, 0, true },
		{ RENEW, PROBLEM("404 Not Found", "not_found", ",\"detail\":\"long forgotten\""), NULL, 0, true },
		{ NULL }
	};
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->silence.acked_ms > service.asked_ms);
	assert_false(service.keep.lost);
	GO_ON_UNTIL(&service, keep->lost);
	assert_string_equal(service.keep.why, "long forgotten");
	end(&service);
}

/* Somebody between us keeps the stream to himself. */
static void test_keep__renews_where_a_stream_says_nothing(void **state)
{
	static const struct act acts[] = { { ATTACH, STREAM, NULL, 0, false },
		{ RENEW, JSON("200 OK") "{\"state\":\"closed\"," AT("2") "}", NULL, 0, true }, { NULL } };
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->silence.acked_ms > service.asked_ms);
	end(&service);
}

static const struct loss {
	const char *says, *why;
	bool handed_back;
} losses[] = {
	{ STREAM EVENT("attached", AT("2"))
			EVENT("lost", "\"holder\":\"ann\",\"end\":\"expired\",\"ended_by\":\"ann\""),
		"the lease has expired", false },
	{ STREAM EVENT("lost", "\"holder\":\"ann\",\"end\":\"forced\",\"ended_by\":\"bob\",\"end_reason\":\"it hung\""),
		"the lease was forced open by bob (it hung)", false },
	{ STREAM EVENT("lost", "\"end\":\"opened\""), "the lease was opened with its token", true },
	{ STREAM EVENT("lost", "\"end\":\"unheard of\""), "the lease has ended", false },
	{ PROBLEM("410 Gone", "gone", ",\"detail\":\"it is over\",\"lease\":{\"end\":\"released\"}"), "it is over",
		true },
	{ PROBLEM("409 Conflict", "not_holder", ""), "The token does not hold this gate", false },
};

static void test_keep__knows_when_it_is_lost(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(losses); i++) {
		const struct act acts[] = { { ATTACH, losses[i].says, NULL, 0, true }, { NULL } };
		struct service service;

		begin(&service, acts);
		GO_ON_UNTIL(&service, keep->lost);
		assert_string_equal(service.keep.why, losses[i].why);
		assert_int_equal(service.keep.handed_back, losses[i].handed_back);
		GO_ON_UNTIL(&service, keep_due_at(keep) == INT64_MAX);
		end(&service);
	}
}

#define CLOSING ",\"closing\":{\"holder\":\"ann\",\"reason\":\"release 42\",\"deadline_in_ms\":90000}"

static void test_keep__hears_that_a_deploy_wants_in_and_that_it_gave_up(void **state)
{
	static const struct act acts[] = { { ATTACH,
						   STREAM EVENT("attached", AT("2")) EVENT("closing", AT("2") CLOSING),
						   EVENT("renewed", AT("2")), 200, false },
		{ NULL } };
	struct service service;

	(void)state;
	begin(&service, acts);
	GO_ON_UNTIL(&service, keep->closing);
	assert_string_equal(service.keep.why, "a deploy by ann wants in (release 42), and waits for 1m 30s");
	GO_ON_UNTIL(&service, !keep->closing);
	assert_false(service.keep.stop);
	end(&service);
}

static void test_keep__hears_that_it_has_to_stop(void **state)
{
	static const char *const says[] = { STREAM EVENT("attached", AT("2")) EVENT("stop", AT("2") CLOSING),
		STREAM EVENT("attached", AT("2") CLOSING ",\"stop\":true") };

	(void)state;
	for (size_t i = 0; i < COUNT(says); i++) {
		const struct act acts[] = { { ATTACH, says[i], NULL, 0, false }, { NULL } };
		struct service service;

		begin(&service, acts);
		GO_ON_UNTIL(&service, keep->stop);
		end(&service);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep__believes_a_stream_from_when_it_was_asked_for),
		cmocka_unit_test(test_keep__counts_by_the_clock_of_who_wrote),
		cmocka_unit_test(test_keep__never_counts_from_the_future),
		cmocka_unit_test(test_keep__asks_anew_when_events_come_late),
		cmocka_unit_test(test_keep__attaches_anew_when_a_stream_ends_or_falls_silent),
		cmocka_unit_test(test_keep__renews_where_no_stream_is_to_be_had),
		cmocka_unit_test(test_keep__renews_where_a_stream_says_nothing),
		cmocka_unit_test(test_keep__knows_when_it_is_lost),
		cmocka_unit_test(test_keep__hears_that_a_deploy_wants_in_and_that_it_gave_up),
		cmocka_unit_test(test_keep__hears_that_it_has_to_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
