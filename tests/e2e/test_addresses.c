/* Addresses at which somebody answers who is no deploy-gate: the next is tried, and where there is none it is said who answered
 * what. By the real client against the real server. */
#include "e2e/steps.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HTML "Content-Type: text/html\r\nConnection: close\r\n\r\n<html>a page</html>"
#define JSON "Content-Type: application/json\r\nConnection: close\r\n\r\n"

/* A web server that answers everybody the same. */
struct other {
	pid_t pid;
	char url[48];
};

static _Noreturn void answer_all(int listener, const char *answer)
{
	char request[4096];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (write(fd, answer, strlen(answer)) < 0 || shutdown(fd, SHUT_WR) < 0)
			_exit(1);
		while (read(fd, request, sizeof(request)) > 0) /* closed before it is read, it would be cut off */
			;
		close(fd);
	}
}

static void other_start(struct other *other, const char *answer)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size) | listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	snprintf(other->url, sizeof(other->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	other->pid = fork();
	if (other->pid == 0)
		answer_all(listener, answer);
	close(listener);
}

static void other_stop(const struct other *other)
{
	kill(other->pid, SIGKILL);
	waitpid(other->pid, NULL, 0);
}

static const struct answer {
	const char *text, *said;
} answers[] = {
	{ "HTTP/1.1 404 Not Found\r\n" HTML, " answers HTTP 404 and is no deploy-gate; " },
	{ "HTTP/1.1 200 OK\r\n" HTML, " answers HTTP 200 and is no deploy-gate; " },
	{ "HTTP/1.1 200 OK\r\n" JSON "{\"ok\":true}", " answers HTTP 200 and is no deploy-gate; " },
	{ "HTTP/1.1 200 OK\r\n" JSON "[1]", " answers HTTP 200 and is no deploy-gate; " },
	{ "HTTP/1.1 404 Not Found\r\n" JSON "{\"code\":\"not_found\"}", " answers HTTP 404 and is no deploy-gate; " },
	{ "HTTP/1.1 301 Moved\r\nLocation: https://127.0.0.1/\r\n" HTML, " answers HTTP 301 and is no deploy-gate; " },
	{ "HTTP/1.1 502 Bad Gateway\r\n" HTML, " answers HTTP 502, as a proxy that reaches no deploy-gate does; " },
};

static void test_addresses__one_that_is_no_deploy_gate_is_left_for_the_next(void **state)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct other other;
		char urls[160];

		other_start(&other, answers[i].text);
		snprintf(urls, sizeof(urls), "%s,%s", other.url, getenv("DEPLOY_GATE_URL"));
		const struct step steps[] = {
			{ { "--url", urls, "check", "a" }, 0, "open\n" },
			{ { "--url", urls, "-q", "deploy", "a", "--", "echo", "ran" }, 0, "ran\n" },
			{ { "--url", urls, "-q", "close", "a" }, 0, "" },
			{ { "--url", urls, "check", "-q", "a" }, 1, NULL },
			{ { "--url", urls, "open", "a" }, 0, "a is open\n" },
		};

		PLAY(steps);
		other_stop(&other);
	}
}

static void test_addresses__where_none_is_it_is_said_who_answered_what(void **state)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		struct other other;
		char urls[160], said[160], all[320];

		other_start(&other, answers[i].text);
		snprintf(urls, sizeof(urls), "%s,unix:/nonexistent/gate", other.url);
		snprintf(said, sizeof(said), "exit 69 (unavailable): %s%s", other.url, answers[i].said);
		snprintf(all, sizeof(all), "%scould not reach unix:/nonexistent/gate: No such file or directory; is ",
			said);
		const struct step steps[] = {
			{ { "--url", other.url, "--reach", "0s", "check", "a" }, 69, said },
			{ { "--url", other.url, "--reach", "0s", "deploy", "a", "--", "echo", "ran" }, 69, said },
			{ { "--url", urls, "--reach", "0s", "close", "a" }, 69, all },
			{ { "--url", other.url, "run", "a", "--wait", "0s", "--on-unreachable=run", "--", "echo",
				  "ran" },
				0, "ran\n" },
		};

		PLAY(steps);
		other_stop(&other);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses__one_that_is_no_deploy_gate_is_left_for_the_next),
		cmocka_unit_test(test_addresses__where_none_is_it_is_said_who_answered_what),
	};

	return cmocka_run_group_tests(tests, world_begin, world_end);
}
