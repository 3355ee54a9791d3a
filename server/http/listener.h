/* listener: one socket that clients come in by, on the loop. */
#ifndef HTTP_LISTENER_H
#define HTTP_LISTENER_H

#include <stdbool.h>
#include <uv.h>

#include "base/address.h"

struct listener {
	uv_poll_t poll;
	int fd;				/* -1 while it is not open */
	struct address address;		/* with the port that was given */
	/* Takes a connected socket over. */
	void (*arrived)(struct listener *, int fd, const struct address *peer);
	/* There are no descriptors, or no memory, for one more: it had better be paused. */
	void (*exhausted)(struct listener *);
	void *context;
};

/* Binds and listens. OUTCOME_UNAVAILABLE says why not. A socket file that nobody listens on any more is replaced. */
MUST_CHECK enum outcome listener_open(struct listener *, const char *address, struct fault *);

/* Accepts from now on. Whatever arrived before is accepted too. */
void listener_start(struct listener *, uv_loop_t *);

/* Stops accepting for a while, and goes on. */
void listener_pause(struct listener *);
void listener_resume(struct listener *);

/* Takes in what has arrived, then closes; a socket file is removed. The handle is the loop's until closed() runs; NULL for
 * a listener that was never started. */
void listener_close(struct listener *, uv_close_cb closed);

bool listener_is_socket_file(const struct listener *);

#endif
