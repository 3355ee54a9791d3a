#include "support/server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 24, PATIENCE_STEPS = 12000, STEP_NS = 5000000, SHOWN_BYTES = 3000 };

static void pause_shortly(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
}

char *server_log(const struct server *server)
{
	char *text = NULL, chunk[4096];
	size_t size, got;
	FILE *in = fopen(server->log, "r"), *out = open_memstream(&text, &size);

	if (!in || !out)
		fail_msg("the log %s cannot be read", server->log);
	while ((got = fread(chunk, 1, sizeof(chunk), in)) > 0)
		fwrite(chunk, 1, got, out);
	fclose(in);
	fclose(out);
	return text;
}

static void complain(const struct server *server, const char *what)
{
	char *log = server_log(server);
	size_t length = strlen(log);

	print_error("%s\n", log + (length > SHOWN_BYTES ? length - SHOWN_BYTES : 0));
	free(log);
	fail_msg("server %s: %s", server->url, what);
}

unsigned server_logged(const struct server *server, const char *text)
{
	char *log = server_log(server);
	unsigned count = 0;

	for (const char *at = log; (at = strstr(at, text)); at++)
		count++;
	free(log);
	return count;
}

static int exit_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Whether it has ended; then with what. */
static bool ended(struct server *server, int *code)
{
	int status;

	if (waitpid(server->pid, &status, WNOHANG) != server->pid)
		return false;
	*code = exit_code(status);
	server->pid = 0;
	return true;
}

void server_await(const struct server *server, const char *text)
{
	for (int step = 0; !server_logged(server, text); step++) {
		if (step >= PATIENCE_STEPS)
			complain(server, text);
		pause_shortly();
	}
}

/* In the child: becomes the server, which must not outlive the test. */
static void become(const struct server *server, const char *const *words)
{
	int log = open(server->log, O_WRONLY | O_APPEND);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	close(log);
	unsetenv("NOTIFY_SOCKET");
	execv(words[0], (char *const *)(uintptr_t)words);
	_exit(127);
}

static void spawn(struct server *server, const char *conninfo, const char *name, const char *const *more)
{
	const char *words[WORDS_MAX] = { getenv("DEPLOY_GATED_BIN"), "--database", conninfo, "--listen", "127.0.0.1:0",
		"--log-level", "debug" };
	size_t count = 7;
	int log;

	if (!words[0])
		fail_msg("DEPLOY_GATED_BIN is not set: it names the server under test");
	if (name) {
		words[count++] = "--name";
		words[count++] = name;
	}
	for (; more && *more && count < WORDS_MAX - 1; more++)
		words[count++] = *more;
	*server = (struct server){ .log = "/tmp/deploy-gated-test.XXXXXX" };
	log = mkstemp(server->log);
	if (log < 0)
		fail_msg("no log can be made in /tmp");
	close(log);
	server->pid = fork();
	if (server->pid == 0)
		become(server, words);
}

/* Reads the port from the first line, once that is whole. */
static bool read_port(struct server *server)
{
	static const char before[] = "event=listening address=127.0.0.1:";
	char *log = server_log(server), *at = strstr(log, before);

	if (at && strchr(at, '\n'))
		server->port = (unsigned)strtoul(at + sizeof(before) - 1, NULL, 10);
	free(log);
	return server->port != 0;
}

void server_launch(struct server *server, const char *conninfo, const char *name, const char *const *more)
{
	int code;

	spawn(server, conninfo, name, more);
	for (int step = 0; !read_port(server); step++) {
		if (step >= PATIENCE_STEPS || ended(server, &code))
			complain(server, "does not listen");
		pause_shortly();
	}
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", server->port);
}

void server_start(struct server *server, const char *conninfo, const char *name, const char *const *more)
{
	server_launch(server, conninfo, name, more);
	server_await(server, "event=ready");
}

int server_wait(struct server *server)
{
	int code = 0;

	for (int step = 0; !ended(server, &code); step++) {
		if (step >= PATIENCE_STEPS)
			complain(server, "does not end");
		pause_shortly();
	}
	return code;
}

int server_fail(struct server *server, const char *conninfo, const char *const *more)
{
	spawn(server, conninfo, NULL, more);
	return server_wait(server);
}

void server_signal(const struct server *server, int number)
{
	assert_true(server->pid > 0);
	kill(server->pid, number);
}

void server_stop(struct server *server)
{
	server_signal(server, SIGTERM);
	if (server_wait(server) != 0)
		complain(server, "did not stop cleanly");
}

void server_kill(struct server *server)
{
	server_signal(server, SIGKILL);
	server_wait(server);
}

void server_release(struct server *server)
{
	if (server->pid > 0) {
		kill(server->pid, SIGCONT);
		kill(server->pid, SIGTERM);
		server_wait(server);
	}
	if (server->log[0])
		unlink(server->log);
	*server = (struct server){ 0 };
}
