/* inside: the command of run and deploy inside the lease that was taken for it: kept alive by a stream, told of in the
 * environment. */
#ifndef CLIENT_INSIDE_H
#define CLIENT_INSIDE_H

#include <stdbool.h>

#include "wrap.h"

struct client;
struct lease;
struct nested;
struct reply;

struct inside_end {
	struct wrap_end wrap;
	bool ended;   /* the lease has, and there is nothing left to give back */
	bool overrun; /* a window closed over it meanwhile */
};

/* Runs the command in a lease that was granted by that reply. Where the lease was not seen to live first, there was no
 * command: wrap.started is false, the line was printed, and wrap.code is what to end with. */
void inside_run(struct client *, const struct lease *, const struct reply *granted, struct inside_end *);

/* Tells a command what it is inside of: that lease, and those that we are inside of. Of a pass under a window it is told
 * in the second place, for the window's token goes further. */
void inside_tell(const struct client *, const struct nested *, const struct lease *, const struct reply *granted);

/* The end of a lease that ended, or may have, before the command did: that goes before the command's own status. */
int inside_lost(struct client *, const char *why);

#endif
