#include "http/daemon.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/die.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
#include "config.h"
#include "http/clients.h"
#include "http/exchange.h"
#include "http/listener.h"
#include "http/request.h"

enum {
	SWEEP_MS = 1000,
	LEFTOVER_MS = 2,
	ROUNDS_AT_ONCE = 10,
	DRAIN_STEP_MS = 5,
	DRAIN_LEAST_MS = 50,		/* for those who were just accepted to be read */
	DRAIN_MS = 2000,
	OTHER_DESCRIPTORS = 160,	/* for spare clients, PostgreSQL, listeners, the loop … */
	SPARE_CLIENTS = 64,		/* those being cut to make room count until they are gone */
	POOL_BYTES = 8 * 1024,		/* of memory for each connection: the limit of a header */
};

struct http {
	struct desk desk;
	struct clients clients;
	struct MHD_Daemon *daemon;
	struct listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	const struct listener *arriving;	/* whose client is just being handed over */
	unsigned clients_max;
	bool paused;				/* the listeners are, because there is no room */
	uv_poll_t poll;				/* of libmicrohttpd's epoll descriptor */
	uv_check_t check;
	uv_prepare_t prepare;
	uv_idle_t idle;				/* active while libmicrohttpd has more to do at once */
	uv_timer_t leftover;
	uv_timer_t sweep;
	uv_timer_t drain;
	uint64_t drain_from_ms, drain_until_ms;
	unsigned open_handles;
	void (*stopped)(void *);
	void *stopped_context;
	char first_address[ADDRESS_TEXT_MAX];
};

/* Paths and parameters are decoded where they are read, once. */
static size_t leave_escaped(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strlen(text);
}

/* No more newcomers for now: they wait in the kernel's queue. */
static void pause_listeners(struct http *http)
{
	http->paused = true;
	for (unsigned i = 0; i < http->listener_count; i++)
		listener_pause(&http->listeners[i]);
}

static void resume_listeners(struct http *http)
{
	if (!http->paused || http->clients.count >= http->clients_max || http->stopped)
		return;
	http->paused = false;
	for (unsigned i = 0; i < http->listener_count; i++)
		listener_resume(&http->listeners[i]);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct http *http = context;
	int fd;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		*socket_context = or_die(clients_add(&http->clients, http->arriving, fd, uv_now(http->desk.loop)));
	} else {
		clients_remove(&http->clients, *socket_context);
		resume_listeners(http);
	}
}

/* Where there is no room, whoever only keeps a connection open makes it, or who dawdles. */
static void make_room(struct http *http)
{
	if (!http->stopped && http->clients.count >= http->clients_max &&
		!clients_make_room(&http->clients, 1, uv_now(http->desk.loop)))
		pause_listeners(http);
}

static void on_arrival(struct listener *listener, int fd, const struct address *peer)
{
	struct http *http = listener->context;

	http->arriving = listener;
	MHD_add_connection(http->daemon, fd, (const struct sockaddr *)&peer->at, peer->size);
	http->arriving = NULL;
	http->desk.resumed = true;
	make_room(http);
}

static void on_exhausted(struct listener *listener)
{
	struct http *http = listener->context;

	if (!http->stopped && !clients_make_room(&http->clients, 1, uv_now(http->desk.loop)))
		pause_listeners(http);
}

static void on_idle(uv_idle_t *idle)
{
	(void)idle;
}

static void on_leftover(uv_timer_t *timer)
{
	struct http *http = timer->data;

	http->desk.resumed = true;
}

/* Whether libmicrohttpd has more to do at once. While requests linger it says so, but whether that is more than to ask them again
 * cannot be told: then it is asked again soon. */
static void look_for_more(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	bool more = MHD_get_timeout(http->daemon, &timeout_ms) == MHD_YES && timeout_ms == 0;

	if (more && http->desk.lingering > 0)
		uv_timer_start(&http->leftover, on_leftover, LEFTOVER_MS, 0);
	else if (more)
		http->desk.resumed = true;
}

/* Lets libmicrohttpd do what there is to do; what it is told in one round, such as a reply, it does in the next. Where several
 * requests come in one round, others are on their way: the more are there, the more go to PostgreSQL together. */
static void run(struct http *http)
{
	if (!http->desk.resumed)
		return;
	for (int round = 0; http->desk.resumed && round < ROUNDS_AT_ONCE; round++) {
		uint64_t several = http->desk.next_number + 2;

		http->desk.resumed = false;
		MHD_run(http->daemon);
		look_for_more(http);
		http->desk.resumed |= http->desk.next_number >= several;
	}
	if (http->desk.resumed)
		uv_idle_start(&http->idle, on_idle);
	else
		uv_idle_stop(&http->idle);
}

/* Behind the events: what they answered goes out, and what arrived meanwhile is read, before more is asked of PostgreSQL, so
 * that as much as there is goes there together. */
static void on_check(uv_check_t *check)
{
	run(check->data);
}

/* Before the loop sleeps: what timers answered goes out. */
static void on_prepare(uv_prepare_t *prepare)
{
	run(prepare->data);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct http *http = poll->data;

	(void)status;
	(void)events;
	http->desk.resumed = true;
}

static void on_hang_up(struct client *client)
{
	if (client->waiting)
		request_hang_up(client->waiting);
}

static void look_for_memory(struct desk *desk)
{
	bool was_short = desk->short_of_memory;

	desk->short_of_memory = memory_is_short();
	if (desk->short_of_memory != was_short)
		log_write(desk->log, LOG_WARN, was_short ? "memory_enough" : "memory_short", NULL);
}

static void on_sweep(uv_timer_t *timer)
{
	struct http *http = timer->data;

	clients_sweep(&http->clients, uv_now(http->desk.loop));
	if (http->paused)
		clients_make_room(&http->clients, SPARE_CLIENTS, uv_now(http->desk.loop));
	resume_listeners(http);
	look_for_memory(&http->desk);
}

/* As many clients as configured, if the limit of descriptors, which is raised as far as it goes, lets us. */
static unsigned bound_clients(const struct config *config, const struct log *log)
{
	int64_t wanted = config->connections_max, had = wanted;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
		if (limit.rlim_cur != RLIM_INFINITY && wanted + OTHER_DESCRIPTORS > (int64_t)limit.rlim_cur)
			had = (int64_t)limit.rlim_cur - OTHER_DESCRIPTORS;
	}
	if (had < 1)
		had = 1;
	if (had < wanted)
		log_write(log, LOG_WARN, "fewer connections than configured", "connections", LOG_NUMBER(had), "why",
			"the limit of open files (ulimit -n, LimitNOFILE)", NULL);
	return (unsigned)had;
}

static enum outcome open_listeners(struct http *http, const struct config *config, struct fault *fault)
{
	for (unsigned i = 0; i < config->listen_count; i++) {
		struct listener *listener = &http->listeners[i];
		enum outcome outcome = listener_open(listener, config->listen[i], fault);

		if (outcome != OUTCOME_OK)
			return outcome;
		listener->arrived = on_arrival;
		listener->exhausted = on_exhausted;
		listener->context = http;
		http->listener_count++;
	}
	address_format(&http->listeners[0].address, http->first_address);
	return OUTCOME_OK;
}

static void init_desk(struct desk *desk, uv_loop_t *loop, const struct config *config, const struct log *log)
{
	char random[TOKEN_MADE_LEN + 1];

	desk->loop = loop;
	desk->config = config;
	desk->log = log;
	LIST_INIT(&desk->with_keeper);
	token_make(random);
	snprintf(desk->prefix, sizeof(desk->prefix), "%.8s", random);
}

static struct MHD_Daemon *start_daemon(struct http *http)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
		exchange_handle, &http->desk, MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, &http->desk,
		MHD_OPTION_NOTIFY_COMPLETED, exchange_end, &http->desk, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
		http, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_CONNECTION_LIMIT,
		http->clients_max + SPARE_CLIENTS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
		MHD_OPTION_END);
}

struct http *http_new(
	uv_loop_t *loop, const struct config *config, struct keeper *keeper, const struct log *log, struct fault *fault)
{
	struct http *http = or_die(calloc(1, sizeof(*http)));

	init_desk(&http->desk, loop, config, log);
	http->desk.keeper = keeper;
	clients_init(&http->clients);
	http->clients_max = bound_clients(config, log);
	http->desk.waiting_max = (unsigned)(http->clients_max * 4ULL / 5);
	if (open_listeners(http, config, fault) != OUTCOME_OK) {
		http_free(http);
		return NULL;
	}
	http->daemon = start_daemon(http);
	if (!http->daemon) {
		fault_set(fault, OUTCOME_INTERNAL, "libmicrohttpd cannot start: %m");
		http_free(http);
		return NULL;
	}
	return http;
}

const char *http_first_address(const struct http *http)
{
	return http->first_address;
}

void http_start(struct http *http)
{
	uv_loop_t *loop = http->desk.loop;

	uv_poll_init(loop, &http->poll, MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
	uv_check_init(loop, &http->check);
	uv_prepare_init(loop, &http->prepare);
	uv_idle_init(loop, &http->idle);
	uv_timer_init(loop, &http->leftover);
	uv_timer_init(loop, &http->sweep);
	uv_timer_init(loop, &http->drain);
	http->poll.data = http->check.data = http->prepare.data = http->idle.data = http->leftover.data =
		http->sweep.data = http->drain.data = http->desk.watch.poll.data = http;
	uv_poll_start(&http->poll, UV_READABLE, on_readable);
	uv_check_start(&http->check, on_check);
	uv_prepare_start(&http->prepare, on_prepare);
	uv_timer_start(&http->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	watch_start(&http->desk.watch, loop, on_hang_up);
	for (unsigned i = 0; i < http->listener_count; i++)
		listener_start(&http->listeners[i], loop);
}

void http_leave(struct http *http)
{
	http->desk.leaving = true;
}

static void on_closed(uv_handle_t *handle)
{
	struct http *http = handle->data;

	if (--http->open_handles == 0)
		http->stopped(http->stopped_context);
}

/* The data of a listener's handle is the listener. */
static void on_listener_closed(uv_handle_t *handle)
{
	struct listener *listener = handle->data;

	handle->data = listener->context;
	on_closed(handle);
}

/* Cuts whoever is left. libmicrohttpd must not be stopped while a connection is suspended. */
static void finish(struct http *http)
{
	struct request *request;

	uv_timer_stop(&http->drain);
	while ((request = LIST_FIRST(&http->desk.with_keeper)))
		request_hang_up(request);
	MHD_run(http->daemon);
	MHD_stop_daemon(http->daemon);
	http->daemon = NULL;
	uv_close((uv_handle_t *)&http->poll, on_closed);
	uv_close((uv_handle_t *)&http->check, on_closed);
	uv_close((uv_handle_t *)&http->prepare, on_closed);
	uv_close((uv_handle_t *)&http->idle, on_closed);
	uv_close((uv_handle_t *)&http->leftover, on_closed);
	uv_close((uv_handle_t *)&http->sweep, on_closed);
	uv_close((uv_handle_t *)&http->drain, on_closed);
	watch_close(&http->desk.watch, on_closed);
}

static void on_drain(uv_timer_t *timer)
{
	struct http *http = timer->data;
	uint64_t now_ms = uv_now(http->desk.loop);

	if (now_ms >= http->drain_until_ms || (http->desk.count == 0 && now_ms >= http->drain_from_ms))
		finish(http);
}

void http_stop(struct http *http, void (*stopped)(void *), void *context)
{
	uint64_t now_ms = uv_now(http->desk.loop);

	http->desk.leaving = true;
	http->stopped = stopped;
	http->stopped_context = context;
	http->open_handles = http->listener_count + 8;
	for (unsigned i = 0; i < http->listener_count; i++)
		listener_close(&http->listeners[i], on_listener_closed);
	http->drain_from_ms = now_ms + DRAIN_LEAST_MS;
	http->drain_until_ms = now_ms + DRAIN_MS;
	uv_timer_start(&http->drain, on_drain, DRAIN_STEP_MS, DRAIN_STEP_MS);
}

void http_free(struct http *http)
{
	for (unsigned i = 0; i < http->listener_count; i++)
		listener_close(&http->listeners[i], NULL);
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	free(http);
}
