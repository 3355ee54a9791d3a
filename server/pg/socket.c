#include "pg/socket.h"

#include <stdlib.h>

#include "base/container.h"
#include "base/die.h"

struct socket {
	uv_poll_t poll;
	int events;			/* that it watches for */
};

static struct socket *socket_new(struct uv_loop_s *loop, int fd, void *data)
{
	struct socket *socket = or_die(calloc(1, sizeof(*socket)));

	uv_poll_init(loop, &socket->poll, fd);
	socket->poll.data = data;
	return socket;
}

void socket_watch(struct uv_loop_s *loop, uv_poll_t **poll, int fd, int events, uv_poll_cb ready, void *data)
{
	struct socket *socket = *poll ? container_of(*poll, struct socket, poll) : socket_new(loop, fd, data);

	*poll = &socket->poll;
	/* libuv would take it out of epoll and put it in again. An error of the socket stops the watch. */
	if (socket->events == events && uv_is_active((uv_handle_t *)*poll))
		return;
	socket->events = events;
	uv_poll_start(*poll, events, ready);
}

static void free_handle(uv_handle_t *handle)
{
	free(container_of(handle, struct socket, poll));
}

void socket_unwatch(uv_poll_t **poll)
{
	if (!*poll)
		return;
	uv_poll_stop(*poll);
	uv_close((uv_handle_t *)*poll, free_handle);
	*poll = NULL;
}
