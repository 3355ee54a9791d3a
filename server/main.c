/* deploy-gated: wires the layers from the bottom to the top, runs the loop, and unwires them from the top to the bottom. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/die.h"
#include "base/log.h"
#include "config.h"
#include "gate/keeper.h"
#include "http/daemon.h"
#include "pg/migrate.h"

enum { EXIT_NO_DATABASE = 69, READY_MS = 50 };

struct server {
	int argc;
	char **argv;
	uv_loop_t loop;
	struct config config;
	struct log log;
	struct keeper *keeper;
	struct http *http;
	uv_signal_t terminate, interrupt, hangup;
	uv_timer_t timer;			/* until ready, then of the leave delay */
	bool leaving;
};

static int complain(const struct fault *fault, int code)
{
	fprintf(stderr, "deploy-gated: %s\n", fault->detail);
	return code;
}

static void log_apply(struct log *log, const struct config *config)
{
	log->fd = STDERR_FILENO;
	log->json = strcmp(config->log_format, "json") == 0;
	if (!log_level_parse(config->log_level, &log->level))
		log->level = LOG_INFO;
}

/* Tells a supervisor such as systemd, where there is one. */
static void notify_supervisor(const char *news)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = path ? strlen(path) : 0;
	int fd;

	if (!length || length >= sizeof(address.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(address.sun_path, path, length);
	if (*path == '@')
		address.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, news, strlen(news), MSG_NOSIGNAL, (struct sockaddr *)&address,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}

static void look_ready(uv_timer_t *timer)
{
	struct server *s = timer->data;
	char why[KEEPER_WHY_MAX];

	if (!keeper_ready(s->keeper, why))
		return;
	uv_timer_stop(timer);
	log_write(&s->log, LOG_INFO, "ready", NULL);
	notify_supervisor("READY=1");
}

static void http_stopped(void *context)
{
	struct server *s = context;

	keeper_stop(s->keeper);
}

static void leave(uv_timer_t *timer)
{
	struct server *s = timer->data;

	uv_close((uv_handle_t *)&s->timer, NULL);
	keeper_leave(s->keeper);
	http_stop(s->http, http_stopped, s);
}

static void on_stop(uv_signal_t *signal, int number)
{
	struct server *s = signal->data;

	if (s->leaving)
		return;
	s->leaving = true;
	log_write(&s->log, LOG_INFO, "leaving", "signal", strsignal(number), NULL);
	notify_supervisor("STOPPING=1");
	http_leave(s->http);
	uv_timer_start(&s->timer, leave, (uint64_t)s->config.leave_delay_ms, 0);
}

static void on_hangup(uv_signal_t *signal, int number)
{
	struct server *s = signal->data;
	struct config fresh;
	struct fault fault;
	int code;

	(void)number;
	if (config_read(&fresh, s->argc, s->argv, &code, &fault) != OUTCOME_OK) {
		log_write(&s->log, LOG_ERROR, "reload_refused", "why", fault.detail, NULL);
		return;
	}
	config_reload(&s->config, &fresh);
	log_apply(&s->log, &s->config);
	log_write(&s->log, LOG_INFO, "reloaded", NULL);
}

/* The loop does not go on for its sake; and it stands to the end, for a second TERM, as groups of processes get it, must not kill
 * us while the leases are handed over. */
static void watch_signal(struct server *s, uv_signal_t *signal, int number, uv_signal_cb react)
{
	uv_signal_init(&s->loop, signal);
	signal->data = s;
	uv_signal_start(signal, react, number);
	uv_unref((uv_handle_t *)signal);
}

static void unwatch_signals(struct server *s)
{
	uv_close((uv_handle_t *)&s->hangup, NULL);
	uv_close((uv_handle_t *)&s->terminate, NULL);
	uv_close((uv_handle_t *)&s->interrupt, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *context)
{
	(void)context;
	uv_close(handle, NULL);
}

/* Nothing of the keeper's was started: it has nobody to take leave of. */
static int give_up(struct server *s, const struct fault *fault)
{
	uv_walk(&s->loop, close_handle, NULL);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	keeper_free(s->keeper);
	uv_loop_close(&s->loop);
	return complain(fault, EXIT_CONFIGURATION);
}

static int serve(struct server *s)
{
	struct fault fault;

	uv_loop_init(&s->loop);
	s->keeper = keeper_new(&s->loop, &s->config, &s->log);
	s->http = http_new(&s->loop, &s->config, s->keeper, &s->log, &fault);
	if (!s->http)
		return give_up(s, &fault);
	log_write(&s->log, LOG_INFO, "listening", "address", http_first_address(s->http), "version",
		DEPLOY_GATE_VERSION, NULL);
	watch_signal(s, &s->terminate, SIGTERM, on_stop);
	watch_signal(s, &s->interrupt, SIGINT, on_stop);
	watch_signal(s, &s->hangup, SIGHUP, on_hangup);
	uv_timer_init(&s->loop, &s->timer);
	s->timer.data = s;
	uv_timer_start(&s->timer, look_ready, 0, READY_MS);
	keeper_start(s->keeper);
	http_start(s->http);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	log_write(&s->log, LOG_INFO, "stopped", NULL);
	unwatch_signals(s);
	http_free(s->http);
	keeper_free(s->keeper);
	uv_loop_close(&s->loop);
	return EXIT_SUCCESS;
}

/* Standard descriptors that are closed would be taken by a socket, and the log would be written into it. */
static void keep_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			die("cannot open /dev/null");
}

int main(int argc, char **argv)
{
	struct server s = { .argc = argc, .argv = argv };
	struct fault fault;
	enum outcome outcome;
	int code;

	keep_standard_descriptors();
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
	if (config_read(&s.config, argc, argv, &code, &fault) != OUTCOME_OK)
		return complain(&fault, code);
	if (code == EXIT_ANSWERED)
		return code;
	log_apply(&s.log, &s.config);
	outcome = (s.config.check_only ? migrate_check : migrate)(
		s.config.database, s.config.start_timeout_ms, &s.log, &fault);
	if (outcome != OUTCOME_OK)
		code = complain(&fault, outcome == OUTCOME_UNAVAILABLE ? EXIT_NO_DATABASE : EXIT_CONFIGURATION);
	else
		code = s.config.check_only ? EXIT_SUCCESS : serve(&s);
	config_release(&s.config);
	return code;
}
