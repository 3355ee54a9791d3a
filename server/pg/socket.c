#include "pg/socket.h"

#include <stdlib.h>

#include "base/die.h"

void socket_watch(struct uv_loop_s *loop, uv_poll_t **poll, int fd, int events, uv_poll_cb ready, void *data)
{
	if (!*poll) {
		*poll = or_die(calloc(1, sizeof(**poll)));
		(*poll)->data = data;
		uv_poll_init(loop, *poll, fd);
	}
	uv_poll_start(*poll, events, ready);
}

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

void socket_unwatch(uv_poll_t **poll)
{
	if (!*poll)
		return;
	uv_poll_stop(*poll);
	uv_close((uv_handle_t *)*poll, free_handle);
	*poll = NULL;
}
