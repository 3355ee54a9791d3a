/* reply: what goes back: status, header and body, in JSON or as lines of text. */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/outcome.h"

struct MHD_Response;
struct problem;

/* How the client wants it, and what every reply says. */
struct reply_terms {
	const char *request_id;
	const char *allow;		/* for the header of that name, or NULL */
	bool text;			/* as lines instead of JSON */
	bool close;			/* the connection is not to be used again */
};

/* The last short reply of a connection: the next is likely to say the same, and libmicrohttpd takes longer to make one with its
 * header than we take for all else of a check. All zero is none. */
struct reply_kept {
	struct MHD_Response *response;	/* not under way any more when the next is made */
	char json[48];
};

void reply_forget(struct reply_kept *);

/* A body of JSON, which is copied; NULL if there is no memory. Where it is kept->response it stays that one's, else it is the
 * caller's. */
struct MHD_Response *reply_json(const struct reply_terms *, const char *json, struct reply_kept *kept);

/* A refusal. */
struct MHD_Response *reply_problem(const struct reply_terms *, const struct problem *);

/* A reply that goes on: server-sent events, as libmicrohttpd's content reader hands them out. */
struct MHD_Response *reply_stream(
	const struct reply_terms *, ssize_t (*read)(void *, uint64_t position, char *, size_t), void *context);

/* The same for HEAD, whose reply has no body. */
struct MHD_Response *reply_stream_head(const struct reply_terms *);

/* Whether a client with this header prefers text/plain to JSON. accept may be NULL. */
bool reply_prefers_text(const char *accept);

#endif
