/* watch: whether a client hangs up while its connection is suspended, when libmicrohttpd does not look. */
#ifndef HTTP_WATCH_H
#define HTTP_WATCH_H

#include <uv.h>

/* Watches the socket until watch_free, which must come before the connection is resumed. hung_up() may free the watch.
 * NULL if there is no memory: then nobody watches. */
struct watch *watch_new(uv_loop_t *, int fd, void (*hung_up)(void *), void *context);

/* NULL is nothing to free. */
void watch_free(struct watch *);

#endif
