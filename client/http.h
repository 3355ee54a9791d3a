/* http: one request at a time over libcurl, at the current one of several addresses; its answer may be a stream. Knows
 * nothing of gates; tries nothing again.
 * Owns a request from http_send until http_drive said that it is answered, or http_cancel. */
#ifndef CLIENT_HTTP_H
#define CLIENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

struct cJSON;
struct http;
struct urls;

struct http_terms {
	const struct urls *urls;  /* lives as long as the http */
	const char *access_token; /* likewise; NULL for none */
	const char *request_id;	  /* likewise; goes as X-Request-Id, the same for all that one command asks */
	int64_t answer_ms;	  /* how long an answer may take that the service does not wait with; less at first where
				   * there is another address */
	bool verbose;		  /* a line on standard error for each exchange; never a token */
};

/* Hears an answer that is an event stream, piece by piece, in place of the reply: that comes when the stream has ended,
 * and is UNAVAILABLE. False: enough of it. Lives as long as the exchange. */
struct listener {
	bool (*hear)(void *context, const char *piece, size_t size);
	void *context;
};

/* What to send. Copied by http_send. */
struct request {
	const char *method, *path; /* "POST", "/v1/gates/a/close"; a path holds no token */
	const char *body;	   /* JSON, or NULL */
	const char *lease_token;   /* goes as X-Lease-Token, or NULL */
	int64_t patience_ms;	   /* how long the service was asked to wait with its answer */
	int64_t answer_ms;	   /* if not 0, in place of that of the terms */
	const struct listener *listener; /* for a stream, which no answer_ms bounds; else NULL */
};

struct reply {
	enum outcome outcome; /* UNAVAILABLE also if nobody answered, or somebody else; OK only for JSON of ours */
	int status;	      /* 0: nobody answered */
	int64_t sent_ms, retry_after_ms;
	struct cJSON *body; /* of the service, or NULL */
	char detail[512];   /* what a problem says; empty for none */
};

void reply_release(struct reply *);

struct http *http_new(const struct http_terms *);
void http_free(struct http *);

/* Begins; a request under way is given up. */
void http_send(struct http *, const struct request *);
void http_cancel(struct http *);

/* Drives what is under way for up to timeout_ms, less if fd becomes readable, an answer is there, or a stream has
 * something to say or said it. True: the reply was filled and is the caller's (reply_release). */
MUST_CHECK bool http_drive(struct http *, int fd, int64_t timeout_ms, struct reply *);

/* Turns to the next address; true if that is the first again. */
bool http_next_url(struct http *);

/* Text made fit for a path or query. The result is the caller's (free). */
char *http_escape(const char *text);

#endif
