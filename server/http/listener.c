#include "http/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ACCEPTS_AT_ONCE = 64 };

bool listener_is_socket_file(const struct listener *listener)
{
	return listener->address.at.ss_family == AF_UNIX;
}

/* Removes a socket file that its server left behind. One that answers stays, and bind says that the address is in use; so does
 * what is no socket, which would refuse the connection likewise. */
static void remove_stale(const struct address *address)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *)&address->at;
	struct stat file;
	int fd;

	if (lstat(local->sun_path, &file) < 0 || !S_ISSOCK(file.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&address->at, address->size) < 0 && errno == ECONNREFUSED)
		unlink(local->sun_path);
	close(fd);
}

static int open_socket(struct address *address)
{
	int fd = socket(address->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		return -1;
	if (address->at.ss_family == AF_UNIX)
		remove_stale(address);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->at.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address->at, address->size) < 0 || listen(fd, BACKLOG) < 0) {
		int why = errno;

		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

enum outcome listener_open(struct listener *listener, const char *text, struct fault *fault)
{
	enum outcome outcome;

	listener->fd = -1;
	outcome = address_parse(text, &listener->address, fault);
	if (outcome != OUTCOME_OK)
		return outcome;
	listener->fd = open_socket(&listener->address);
	if (listener->fd < 0)
		return fault_set(fault, OUTCOME_UNAVAILABLE, "cannot listen on %.120s: %m", text);
	if (!listener_is_socket_file(listener))
		getsockname(listener->fd, (struct sockaddr *)&listener->address.at, &listener->address.size);
	return OUTCOME_OK;
}

/* A vanished peer is noticed within a minute and a half, so that its waits do not stay for hours. */
static void keep_alive(int fd)
{
	int on = 1, idle_s = 30, interval_s = 15, probes = 4;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void accept_some(struct listener *listener)
{
	for (int i = 0; i < ACCEPTS_AT_ONCE && listener->fd >= 0; i++) {
		struct address peer = { .size = sizeof(peer.at) };
		int fd = accept4(listener->fd, (struct sockaddr *)&peer.at, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
			listener->exhausted(listener);
		if (fd < 0)
			return;
		if (!listener_is_socket_file(listener))
			keep_alive(fd);
		listener->arrived(listener, fd, &peer);
		if (!uv_is_active((uv_handle_t *)&listener->poll))
			return;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	accept_some(poll->data);
}

void listener_start(struct listener *listener, uv_loop_t *loop)
{
	uv_poll_init(loop, &listener->poll, listener->fd);
	listener->poll.data = listener;
	listener_resume(listener);
}

void listener_pause(struct listener *listener)
{
	uv_poll_stop(&listener->poll);
}

void listener_resume(struct listener *listener)
{
	uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

void listener_close(struct listener *listener, uv_close_cb closed)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *)&listener->address.at;

	if (listener->fd < 0)
		return;
	if (closed) {
		accept_some(listener);
		uv_close((uv_handle_t *)&listener->poll, closed);
	}
	if (listener_is_socket_file(listener))
		unlink(local->sun_path);
	close(listener->fd);
	listener->fd = -1;
}
