/* stream: a reply of server-sent events, followed while it comes. It is an ask whose text grows. What goes wrong here fails the
 * running test. */
#ifndef SUPPORT_STREAM_H
#define SUPPORT_STREAM_H

#include <stdbool.h>

#include "support/http.h"

/* Begins to attach the lease of that id by its token. The answer may be a refusal, as of any other ask. */
struct ask *stream_begin(struct http *, const struct server *, const char *id, const char *token);

/* stream_begin, and waits until the lease is attached. */
struct ask *stream_attach(struct http *, const struct server *, const char *id, const char *token);

/* How many events of a kind ("renewed"; ":" for comments) have come so far. Goes on with all requests for a moment. */
unsigned stream_count(struct ask *, const char *kind);

/* Waits until so many have come, 60 s at most; or until the stream is ended by the other side. */
void stream_await(struct ask *, const char *kind, unsigned count);
void stream_await_end(struct ask *);

/* Members of the data of the nth event of a kind, from 1; 0 is the latest. As ask_text and ask_number. */
const char *stream_text(const struct ask *, const char *kind, unsigned nth, const char *path);
long long stream_number(const struct ask *, const char *kind, unsigned nth, const char *path);
bool stream_true(const struct ask *, const char *kind, unsigned nth, const char *path);

#endif
