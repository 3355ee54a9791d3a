/* http_server: the HTTP side by itself, in a process of its own, with a keeper of the tests' own behind it. */
#ifndef UNIT_HTTP_SERVER_H
#define UNIT_HTTP_SERVER_H

#include "cases.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cjson/cJSON.h>

#include "base/address.h"
#include "base/log.h"
#include "base/names.h"
#include "config.h"
#include "gate/keeper.h"
#include "http/daemon.h"

/* The keeper: gates called shut… are shut, slow… are never answered, all others are open. Waits at shut ones stay until somebody
 * opens any gate. What it sees is written into a pipe, a letter each: h for a hang-up, p for a wait that is parked. */

enum { PARKED_MAX = 64, PATIENCE_MS = 60000, REPLY_MAX = 8192 };

struct task {
	struct keeper *keeper;
};

struct keeper {
	struct task task;		/* of all calls */
	uv_loop_t *loop;
	uv_idle_t soon;
	int news;
	struct call *due[PARKED_MAX];
	enum outcome outcome[PARKED_MAX];
	unsigned due_count;
	struct call *parked[PARKED_MAX];
	unsigned parked_count;
};

#define GATE \
	"{\"gate\":{\"name\":\"shut\",\"state\":\"closed\",\"closed_by\":\"shut\",\"window\":{\"state\":\"closed\"," \
	"\"holder\":\"ann\"}}}"

static void tell(struct keeper *keeper, char letter)
{
	assert_int_equal(write(keeper->news, &letter, 1), 1);
}

static void answer_due(uv_idle_t *soon)
{
	struct keeper *keeper = soon->data;

	uv_idle_stop(soon);
	while (keeper->due_count > 0) {
		struct answer answer = { .outcome = keeper->outcome[--keeper->due_count],
			.body = "{\"state\" : \"open\"}" };

		if (answer.outcome == OUTCOME_CLOSED)
			answer.body = GATE;
		keeper->due[keeper->due_count]->answered(keeper->due[keeper->due_count], &answer);
	}
}

static void answer_soon(struct keeper *keeper, struct call *call, enum outcome outcome)
{
	keeper->outcome[keeper->due_count] = outcome;
	keeper->due[keeper->due_count++] = call;
	uv_idle_start(&keeper->soon, answer_due);
}

bool keeper_ready(const struct keeper *keeper, char why[static KEEPER_WHY_MAX])
{
	(void)keeper;
	snprintf(why, KEEPER_WHY_MAX, "never");
	return true;
}

static void look(struct keeper *keeper, struct call *call, struct gates *gates, bool wait)
{
	const char *name = gates_name(gates, 0);

	call->task = &keeper->task;
	if (strncmp(name, "slow", 4) == 0 || (wait && strncmp(name, "shut", 4) == 0)) {
		keeper->parked[keeper->parked_count++] = call;
		tell(keeper, 'p');
	} else {
		answer_soon(keeper, call, strncmp(name, "shut", 4) == 0 ? OUTCOME_CLOSED : OUTCOME_OK);
	}
	free(gates);
}

void keeper_check(struct keeper *keeper, struct call *call, struct gates *gates, const char *inside)
{
	(void)inside;
	look(keeper, call, gates, false);
}

void keeper_wait(struct keeper *keeper, struct call *call, struct gates *gates, const struct wait_terms *terms)
{
	(void)terms;
	look(keeper, call, gates, true);
}

static void answer_parked(struct keeper *keeper, enum outcome outcome)
{
	while (keeper->parked_count > 0)
		answer_soon(keeper, keeper->parked[--keeper->parked_count], outcome);
}

void keeper_change(struct keeper *keeper, struct call *call, enum change_kind kind, cJSON *request)
{
	if (kind == CHANGE_OPEN)
		answer_parked(keeper, OUTCOME_OK);
	answer_soon(keeper, call, kind == CHANGE_CLOSE ? OUTCOME_MADE : OUTCOME_OK);
	cJSON_Delete(request);
}

void keeper_read(struct keeper *keeper, struct call *call, enum read_kind kind, char *request)
{
	(void)kind;
	answer_soon(keeper, call, OUTCOME_OK);
	free(request);
}

void keeper_hang_up(struct call *call)
{
	struct keeper *keeper = call->task->keeper;

	for (unsigned i = 0; i < keeper->parked_count; i++)
		if (keeper->parked[i] == call)
			keeper->parked[i] = keeper->parked[--keeper->parked_count];
	tell(keeper, 'h');
}

/* The server's process. */

struct server {
	uv_loop_t loop;
	uv_signal_t term, interrupt;
	struct http *http;
	struct keeper keeper;
};

static void on_stopped(void *context)
{
	struct server *server = context;

	uv_close((uv_handle_t *)&server->term, NULL);
	uv_close((uv_handle_t *)&server->interrupt, NULL);
	uv_close((uv_handle_t *)&server->keeper.soon, NULL);
}

/* SIGTERM: answers those who wait, as a keeper that leaves; who is slow stays unanswered. SIGINT: answers nobody. */
static void on_signal(uv_signal_t *signal, int number)
{
	struct server *server = signal->data;

	http_leave(server->http);
	if (number == SIGTERM)
		answer_parked(&server->keeper, OUTCOME_UNAVAILABLE);
	http_stop(server->http, on_stopped, server);
}

static _Noreturn void serve(int port, int news, int64_t connections)
{
	struct config config = { .listen = { "127.0.0.1:0" },
		.listen_count = 1,
		.host_names = "",
		.max_wait_ms = 60000,
		.connections_max = connections };
	struct log log = { .level = LOG_ERROR, .fd = 2 };
	struct server server;
	struct fault fault;
	int status;

	uv_loop_init(&server.loop);
	server.keeper = (struct keeper){ .task = { &server.keeper }, .loop = &server.loop, .news = news };
	uv_idle_init(&server.loop, &server.keeper.soon);
	server.keeper.soon.data = &server.keeper;
	server.http = http_new(&server.loop, &config, &server.keeper, &log, &fault);
	if (!server.http)
		_exit(1);
	http_start(server.http);
	uv_signal_init(&server.loop, &server.term);
	uv_signal_init(&server.loop, &server.interrupt);
	server.term.data = server.interrupt.data = &server;
	uv_signal_start(&server.term, on_signal, SIGTERM);
	uv_signal_start(&server.interrupt, on_signal, SIGINT);
	dprintf(port, "%s\n", http_first_address(server.http));
	uv_run(&server.loop, UV_RUN_DEFAULT);
	http_free(server.http);
	status = uv_loop_close(&server.loop) == 0 ? 0 : 2;
	_exit(status);
}

/* The test's side of it. */

struct fixture {
	pid_t pid;
	int news;
	struct address address;
};

static struct fixture *start(int64_t connections)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int port[2], news[2];
	char line[ADDRESS_TEXT_MAX] = "";
	struct fault fault;

	assert_int_equal(pipe(port), 0);
	assert_int_equal(pipe(news), 0);
	fixture->pid = fork();
	assert_true(fixture->pid >= 0);
	if (fixture->pid == 0)
		serve(port[1], news[1], connections);
	close(port[1]);
	close(news[1]);
	fixture->news = news[0];
	assert_true(read(port[0], line, sizeof(line) - 1) > 0);
	close(port[0]);
	line[strcspn(line, "\n")] = '\0';
	assert_int_equal(address_parse(line, &fixture->address, &fault), OUTCOME_OK);
	return fixture;
}

static int stop(struct fixture *fixture, int signal)
{
	int status;

	kill(fixture->pid, signal);
	assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
	close(fixture->news);
	free(fixture);
	return status;
}

/* Waits for the keeper's next word. */
static char next_news(const struct fixture *fixture)
{
	struct pollfd news = { .fd = fixture->news, .events = POLLIN };
	char letter = 0;

	if (poll(&news, 1, PATIENCE_MS) == 1)
		assert_int_equal(read(fixture->news, &letter, 1), 1);
	return letter;
}

static int dial(const struct fixture *fixture)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (const struct sockaddr *)&fixture->address.at, fixture->address.size), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Reads until there is so much of it, or until the end where count is 0: replies that have all of their body. */
static void hear(int fd, unsigned count, char reply[static REPLY_MAX])
{
	size_t length = 0;

	for (;;) {
		unsigned bodies = 0;
		ssize_t got;

		reply[length] = '\0';
		for (const char *at = reply; (at = strstr(at, "\r\n\r\n")); at++)
			bodies += at[4] == '{' && strchr(at, '}') != NULL;
		if (count > 0 && bodies >= count)
			return;
		got = recv(fd, reply + length, REPLY_MAX - 1 - length, 0);
		if (got < 0)
			fail_msg("no reply in time; so far: %s", reply);
		if (got == 0)
			return;
		length += (size_t)got;
	}
}

#endif
