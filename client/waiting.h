/* waiting: asking again and again, by the service's own long waits, until it says yes or our deadline is over, through
 * outages and past servers that left; tells meanwhile what is waited for. */
#ifndef CLIENT_WAITING_H
#define CLIENT_WAITING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

struct client;
struct reply;
struct request;

struct waiting {
	int64_t deadline_ms;   /* of clock_ms() */
	bool through_draining; /* a drain has a deadline of its own, in the service: asked again beyond ours */
	/* Fills the request for an answer after at most slice_ms, with left_ms to go. What it allocates is put into
	 * text, which is freed after the exchange. */
	void (*compose)(struct waiting *, struct request *, int64_t left_ms, int64_t slice_ms);
	char *text;
	const void *context; /* of compose */
};

/* The result is also in reply->outcome: the first answer that is no "not yet", or the last refusal; UNAVAILABLE
 * when nobody answered within the reach; INTERNAL with client->interrupted set after a signal. */
enum outcome waiting_ask(struct client *, struct waiting *, struct reply *);

#endif
