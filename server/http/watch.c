#include "http/watch.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/container.h"
#include "base/die.h"
#include "http/clients.h"

enum { EVENTS_AT_ONCE = 64 };

/* What is left over is told at once: the descriptor stays readable. */
static void on_events(uv_poll_t *poll, int status, int readable)
{
	struct watch *watch = container_of(poll, struct watch, poll);
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(watch->epoll, events, EVENTS_AT_ONCE, 0);

	(void)status;
	(void)readable;
	for (int i = 0; i < count; i++)
		watch->hung_up(events[i].data.ptr);
}

void watch_start(struct watch *watch, uv_loop_t *loop, void (*hung_up)(struct client *))
{
	watch->hung_up = hung_up;
	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (watch->epoll < 0)
		die("there is no descriptor to watch clients with");
	uv_poll_init(loop, &watch->poll, watch->epoll);
	uv_poll_start(&watch->poll, UV_READABLE, on_events);
}

void watch_client(struct watch *watch, struct client *client)
{
	struct epoll_event event = { .events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = client };

	if (epoll_ctl(watch->epoll, client->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, client->fd, &event) == 0)
		client->watched = true;
}

void watch_close(struct watch *watch, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&watch->poll, closed);
	close(watch->epoll);
}
