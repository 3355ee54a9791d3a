/* request: one request from its first line to its reply.
 * It is in one place at a time, and request_move alone moves it: with libmicrohttpd while it arrives, with the keeper while
 * its connection is suspended or lingers, and again with libmicrohttpd once it is answered or its client is gone.
 * One that lingers is called again with each round of libmicrohttpd, and says that there is nothing yet.
 * One whose reply is a stream is with both: the keeper has more to tell, and libmicrohttpd sends it. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "base/outcome.h"
#include "gate/keeper.h"
#include "http/headers.h"
#include "http/params.h"
#include "http/watch.h"

struct MHD_Connection;
struct MHD_Response;
struct client;
struct config;
struct gates;
struct log;
struct request;
struct route;
struct stream;

LIST_HEAD(request_list, request);

/* What all requests share. */
struct desk {
	uv_loop_t *loop;
	const struct config *config;
	const struct log *log;
	struct keeper *keeper;
	struct request_list with_keeper;
	struct watch watch;			/* of the clients of those that wait long */
	unsigned count;			/* requests there are */
	unsigned waiting, waiting_max;	/* those that wait long, and how many may */
	uint64_t next_number;		/* of a request */
	char prefix[9];			/* of request ids, so that those of two servers differ */
	unsigned lingering;		/* those that are with the keeper and not suspended */
	bool resumed;			/* libmicrohttpd has something to do */
	bool leaving;			/* /readyz says so; connections are not kept */
	bool short_of_memory;		/* nothing new is begun */
};

enum place { PLACE_ARRIVING, PLACE_KEEPER, PLACE_STREAM, PLACE_ANSWERED, PLACE_ABANDONED };

/* How long a request stays with the keeper. */
enum stay {
	STAY_MOMENT,			/* a round trip: lingers, if not too many do, because suspending costs more than that */
	STAY_SHORT,			/* some: is suspended */
	STAY_LONG			/* up to its timeout: counts among those that wait, and is watched for a hang-up */
};

struct request {
	struct call call;
	struct desk *desk;
	struct client *client;
	struct MHD_Connection *connection;
	LIST_ENTRY(request) entry;		/* while it is with the keeper, be it as a stream */
	enum place place;
	bool seen;				/* its header has been read */
	bool lingers;				/* with the keeper, not suspended */
	bool waits;				/* counts among those that wait long */
	bool close;				/* the connection is not to be used again */
	bool body_too_large;
	bool wants_text;			/* says the query, whatever else it says */
	bool for_stream_head;			/* asks what the header of a stream would say, and for no stream */
	const char *method;			/* libmicrohttpd's */
	char *path, *query;			/* as sent; query points into path's memory, or is NULL */
	char *authority;			/* of a target in absolute form: goes before Host; or NULL */
	const struct route *route;
	const char *capture;			/* where the route's {…} begins in path … */
	size_t capture_size;			/* … and how long it is */
	struct headers headers;
	struct params params;
	char *body;
	size_t body_size;
	char *allow;				/* methods there are, where this one is none; or NULL */
	char *token;				/* to be told with the lease, or NULL */
	char *inside;				/* digest of the token that it acts under, or NULL */
	struct stream *stream;			/* the reply, where that goes on; else NULL */
	uint64_t number, began_ns;
	int status;				/* of the response */
	struct MHD_Response *response;
};

/* target is the raw first line's; NULL if there is no memory. */
struct request *request_new(struct desk *, struct client *, struct MHD_Connection *, const char *target);

/* Gives up its response, which libmicrohttpd may go on sending. */
void request_drop_response(struct request *);

/* Not while it is with the keeper. */
void request_free(struct request *);

/* Takes in a part of the body; false if so much comes that the connection had better be cut. */
bool request_take_body(struct request *, const char *bytes, size_t size);

/* Puts the request to the keeper's side; to be called before the keeper is, so that nothing resumes a connection before it is
 * suspended. Its call answers it. OUTCOME_TOO_MANY where too many wait. */
MUST_CHECK enum outcome request_hand_over(struct request *, enum stay, struct fault *);

/* What it is known by in the log and in its reply: the client's own id, if it sent a good one; else ours. */
enum { REQUEST_ID_ROOM = 32 };
const char *request_id(const struct request *, char room[static REQUEST_ID_ROOM]);

/* Answer it: with a JSON object, which is copied, or with a refusal. */
void request_reply(struct request *, enum outcome, const char *json);
void request_refuse(struct request *, const struct fault *);

/* As its client hung up: the keeper forgets it, and its connection will be closed. */
void request_hang_up(struct request *);

#endif
