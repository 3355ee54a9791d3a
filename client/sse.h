/* sse: server-sent events, out of whatever pieces they come in. Knows nothing of what they say.
 * Owns what it has collected, until sse_release. */
#ifndef CLIENT_SSE_H
#define CLIENT_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/outcome.h"

enum { SSE_NAME_MAX = 32, SSE_LINE_MAX = 64 * 1024 };

struct sse {
	/* One event: its name ("message" where it has none) and its data, lines joined by \n. */
	void (*on_event)(void *context, const char *name, const char *data);
	void *context;
	char name[SSE_NAME_MAX];
	struct sse_text {
		char *text;
		size_t size, room;
	} line, data;
	bool has_data, after_cr, begun;
};

void sse_init(struct sse *, void (*on_event)(void *context, const char *name, const char *data), void *context);
void sse_release(struct sse *);

/* Reads the next piece. False: a line or an event is longer than SSE_LINE_MAX, which is no stream of ours. */
MUST_CHECK bool sse_feed(struct sse *, const char *piece, size_t size);

#endif
