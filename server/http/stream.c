#include "http/stream.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/die.h"
#include "base/json.h"
#include "http/reply.h"

enum { GONE_MS = 6000, IDLE_S = 4, INTERVAL_S = 1, BUFFER_BYTES = 8192, NS_PER_MS = 1000000 };

struct unsent {
	struct unsent *next;
	const char *kind;
	char *data;
	uint64_t of_ns;
};

struct stream {
	struct MHD_Connection *connection;
	int fd;
	bool *resumed;
	struct unsent *unsent;		/* in the order in which they leave */
	char *out;			/* the event being sent, or NULL */
	size_t size, sent;
	uint64_t taken_ns;		/* when something was last handed on */
	bool suspended, over, broken;
};

/* Unlike a request that waits, a stream is to be noticed broken in seconds; and what the kernel keeps of it is old by the time
 * that a slow client takes it. On a socket file only that means anything. */
static void prepare_socket(int fd)
{
	int gone_ms = GONE_MS, idle_s = IDLE_S, interval_s = INTERVAL_S, bytes = BUFFER_BYTES;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &gone_ms, sizeof(gone_ms));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

struct stream *stream_new(struct MHD_Connection *connection, int fd, bool *resumed)
{
	struct stream *stream = or_die(calloc(1, sizeof(*stream)));

	stream->connection = connection;
	stream->fd = fd;
	stream->resumed = resumed;
	stream->taken_ns = uv_hrtime();
	prepare_socket(fd);
	return stream;
}

/* Takes an event out of its list. */
static void forget(struct unsent **link)
{
	struct unsent *unsent = *link;

	*link = unsent->next;
	free(unsent->data);
	free(unsent);
}

void stream_free(struct stream *stream)
{
	if (!stream)
		return;
	while (stream->unsent)
		forget(&stream->unsent);
	free(stream->out);
	free(stream);
}

static char *spell(const struct unsent *unsent)
{
	uint64_t now_ns = uv_hrtime();
	char *data, *text;

	if (!unsent->kind)
		return or_die(strdup(": nothing is known, but this stream stands\n\n"));
	/* Rounded up, for time left must never be told as more than it is. */
	data = json_later(unsent->data, (int64_t)((now_ns - unsent->of_ns + NS_PER_MS - 1) / NS_PER_MS));
	if (asprintf(&text, "event: %s\ndata: %s\n\n", unsent->kind, data) < 0)
		die("out of memory");
	free(data);
	return text;
}

/* Whether there is something to send. */
static bool compose(struct stream *stream)
{
	if (stream->out)
		return true;
	if (!stream->unsent)
		return false;
	stream->out = spell(stream->unsent);
	stream->size = strlen(stream->out);
	stream->sent = 0;
	forget(&stream->unsent);
	return true;
}

/* What libmicrohttpd calls for more. To answer that there is nothing would have it call again at once, for ever: so the
 * connection is suspended instead. */
static ssize_t take(void *context, uint64_t position, char *to, size_t room)
{
	struct stream *stream = context;
	size_t size;

	(void)position;
	if (stream->broken)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (!compose(stream)) {
		if (stream->over)
			return MHD_CONTENT_READER_END_OF_STREAM;
		stream->suspended = true;
		MHD_suspend_connection(stream->connection);
		return 0;
	}
	size = stream->size - stream->sent < room ? stream->size - stream->sent : room;
	memcpy(to, stream->out + stream->sent, size);
	stream->sent += size;
	stream->taken_ns = uv_hrtime();
	if (stream->sent == stream->size) {
		free(stream->out);
		stream->out = NULL;
	}
	return (ssize_t)size;
}

struct MHD_Response *stream_reply(struct stream *stream, const struct reply_terms *terms)
{
	return reply_stream(terms, take, stream);
}

static void wake(struct stream *stream)
{
	*stream->resumed = true;
	if (!stream->suspended)
		return;
	stream->suspended = false;
	MHD_resume_connection(stream->connection);
}

static bool is_kind(const struct unsent *unsent, const char *kind)
{
	return unsent->kind && kind ? strcmp(unsent->kind, kind) == 0 : unsent->kind == kind;
}

/* Where TCP does not see to it, as on a socket file, we do: then the connection is found hung up. */
static void cut_if_stuck(struct stream *stream)
{
	if ((stream->out || stream->unsent) && uv_hrtime() - stream->taken_ns > (uint64_t)GONE_MS * NS_PER_MS)
		shutdown(stream->fd, SHUT_RDWR);
}

void stream_say(struct stream *stream, const struct stream_event *event)
{
	struct unsent **link = &stream->unsent, *unsent;

	cut_if_stuck(stream);
	while (*link)
		if (is_kind(*link, event->kind))
			forget(link);
		else
			link = &(*link)->next;
	unsent = *link = or_die(calloc(1, sizeof(*unsent)));
	unsent->kind = event->kind;
	unsent->data = event->kind ? or_die(strndup(event->data, event->size)) : NULL;
	unsent->of_ns = event->of_ns;
	wake(stream);
}

void stream_end(struct stream *stream)
{
	stream->over = true;
	wake(stream);
}

void stream_break(struct stream *stream)
{
	stream->broken = true;
	wake(stream);
}
