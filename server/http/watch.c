#include "http/watch.h"

#include <stdlib.h>

struct watch {
	uv_poll_t poll;
	void (*hung_up)(void *);
	void *context;
};

static void on_event(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;

	if (status < 0 || (events & UV_DISCONNECT))
		watch->hung_up(watch->context);
}

struct watch *watch_new(uv_loop_t *loop, int fd, void (*hung_up)(void *), void *context)
{
	struct watch *watch = malloc(sizeof(*watch));

	if (!watch || uv_poll_init(loop, &watch->poll, fd) != 0) {
		free(watch);
		return NULL;
	}
	watch->hung_up = hung_up;
	watch->context = context;
	watch->poll.data = watch;
	uv_poll_start(&watch->poll, UV_DISCONNECT, on_event);
	return watch;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void watch_free(struct watch *watch)
{
	if (watch)
		uv_close((uv_handle_t *)&watch->poll, on_closed);
}
