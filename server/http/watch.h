/* watch: which clients hang up while their connections are suspended, when libmicrohttpd does not look. One descriptor for all of
 * them: a handle of the loop for each would cost six system calls a request. */
#ifndef HTTP_WATCH_H
#define HTTP_WATCH_H

#include <uv.h>

struct client;

struct watch {
	uv_poll_t poll;			/* its data is the owner's */
	int epoll;
	void (*hung_up)(struct client *);
};

/* hung_up() runs from the loop. */
void watch_start(struct watch *, uv_loop_t *, void (*hung_up)(struct client *));

/* hung_up() runs once when this client hangs up, or if it did already; whether anybody still waits then is not looked at. Its
 * connection is forgotten as it is closed. Where there is no memory, nobody watches. */
void watch_client(struct watch *, struct client *);

/* The handle is the loop's until closed() runs. */
void watch_close(struct watch *, uv_close_cb closed);

#endif
