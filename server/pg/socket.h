/* socket: libpq's socket on the loop, through a handle that outlives the socket as long as the loop needs it. */
#ifndef PG_SOCKET_H
#define PG_SOCKET_H

#include <uv.h>

/* Makes the handle if *poll is NULL, and has it watch for events. */
void socket_watch(struct uv_loop_s *, uv_poll_t **poll, int fd, int events, uv_poll_cb, void *data);

/* Must come before the socket is closed. Does nothing if *poll is NULL, and leaves it that. */
void socket_unwatch(uv_poll_t **poll);

#endif
