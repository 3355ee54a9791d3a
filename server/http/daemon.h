/* daemon: libmicrohttpd on the loop, and the listeners that feed it. */
#ifndef HTTP_DAEMON_H
#define HTTP_DAEMON_H

#include "base/outcome.h"

struct config;
struct http;
struct keeper;
struct log;
struct uv_loop_s;

/* Binds all listeners of the configuration; NULL with the sentence why not. What it is handed must live longer. */
struct http *http_new(struct uv_loop_s *, const struct config *, struct keeper *, const struct log *, struct fault *);

/* Serves from now on. */
void http_start(struct http *);

/* Where the first listener is: "127.0.0.1:7433", with the port that was given. */
const char *http_first_address(const struct http *);

/* /readyz is 503 from now on, and connections are not kept after their reply. Everything else is served as before. */
void http_leave(struct http *);

/* Takes nobody new, gives those who are there up to 2 s to be answered and to take it, then cuts them. stopped() runs once
 * nothing of http is left on the loop. */
void http_stop(struct http *, void (*stopped)(void *), void *context);

/* After stopped(), or if it never started. */
void http_free(struct http *);

#endif
