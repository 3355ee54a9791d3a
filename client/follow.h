/* follow: keeps a window as long as another process lives, from a process of our own in the background. */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

struct client;
struct lease;
struct reply;
struct state;

/* A descriptor of the process to follow. BAD_REQUEST: there is none of that number. */
MUST_CHECK enum outcome follow_find(int64_t pid, int *process, struct fault *);

/* Leaves a process behind that keeps the window, and ends it and forgets its token when the followed one has ended; ends
 * that one if the window is lost. True once it is up and holds on to the window; false: it could not be made. */
MUST_CHECK bool follow_leave(
	struct client *, const struct state *, const struct lease *, const struct reply *closed, int process);

#endif
