/* held: the leases that open, renew and reason speak of where that is no outer one: of --token-file, or remembered. */
#ifndef CLIENT_HELD_H
#define CLIENT_HELD_H

#include <stdbool.h>

#include "base/names.h"
#include "lease.h"
#include "state.h"

struct client;

struct held {
	struct state state;
	unsigned count;
	struct lease leases[GATES_MAX]; /* one for each token, whatever number of gates it has */
};

/* Finds them for the gates of the command line. False: *code is what to end with, and the line was printed. */
MUST_CHECK bool held_find(struct client *, struct held *, int *code);

#endif
