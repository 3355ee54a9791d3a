/* keep: keeps a lease alive beside whatever else its loop does, and hears what becomes of it. Attaches one event stream, and
 * attaches anew, at the next address, when that breaks or falls silent; where none is to be had it renews by requests.
 * Uses the http alone while it lives: nobody else may send. */
#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "http.h"
#include "silence.h"
#include "sse.h"

struct cJSON;
struct lease;

enum keep_way {
	KEEP_NOTHING,  /* is under way; next_ms says when to send */
	KEEP_ATTACHING, /* a stream was asked for and has said nothing yet */
	KEEP_ATTACHED,
	KEEP_RENEWING
};

struct keep {
	struct http *http;
	const struct lease *lease;
	char *attach_path, *renew_path, *renew_body;
	struct listener listener;
	struct sse sse;
	struct silence silence;
	enum keep_way way;
	int64_t next_ms;
	int64_t sent_ms, heard_ms; /* when the request was sent; when the stream last said something */
	int64_t base_ms;	   /* the clock of the service, as its first event had it */
	bool plainly;		   /* the next request is a renewal: no stream was to be had */
	bool stale;		   /* what the stream says comes too late to tell what holds now */
	unsigned failures;	   /* in a row */

	bool lost;	  /* a server said so */
	bool handed_back; /* and it was ended in order, with its token */
	bool closing;	  /* a deploy waits for it to end */
	bool stop;	  /* and wants the command ended now */
	bool overrun;	  /* or has closed over it */
	bool max_reached; /* it cannot be renewed any further */
	char why[512];	  /* the sentence for whichever of these came last */
};

/* For a lease, which must live as long, with what silence to begin with. */
void keep_init(struct keep *, struct http *, const struct lease *, const struct silence *);

/* Gives up what is under way. */
void keep_release(struct keep *);

/* Sends what is due; gives up a stream that says nothing. */
void keep_tick(struct keep *, int64_t now_ms);

/* When keep_tick has something to do. */
int64_t keep_due_at(const struct keep *);

/* What http_drive gave. Takes the reply. */
void keep_heard(struct keep *, struct reply *);

/* For a loop that has nothing else to do: sends what is due, and hears what comes until then, or for a second, less if fd
 * becomes readable or more is due. */
void keep_drive(struct keep *, int fd, int64_t until_ms);

#endif
