/* stream: a reply that goes on for as long as both sides stand: server-sent events. Knows nothing of what they tell.
 * Its connection is suspended while there is nothing to say, and resumed once an event. Of what the client has not taken yet
 * the latest event of each kind is kept, so that one who reads slowly costs no more than others.
 * Whoever has the request of the reply owns the stream. */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;
struct MHD_Response;
struct reply_terms;
struct stream;

struct stream_event {
	const char *kind;		/* "renewed", lives as long as the program; NULL: a comment, which says that we are there */
	const char *data;		/* one line of JSON, of so many bytes */
	size_t size;
	/* When its "…_in_ms" and "…_ago_ms" were so, by uv_hrtime(): they are told as they are when the event leaves. */
	uint64_t of_ns;
};

/* *resumed is set wherever libmicrohttpd has something to do. A client that takes nothing for 6 s counts as gone. */
struct stream *stream_new(struct MHD_Connection *, int fd, bool *resumed);

/* Once no reply of it is under way any more. NULL is nothing to free. */
void stream_free(struct stream *);

/* The reply, to be queued by the caller; NULL if there is no memory. */
struct MHD_Response *stream_reply(struct stream *, const struct reply_terms *);

void stream_say(struct stream *, const struct stream_event *);

/* Ends the reply: once all that was said has been sent, or in the middle, because nobody listens any more. */
void stream_end(struct stream *);
void stream_break(struct stream *);

#endif
