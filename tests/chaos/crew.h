/* crew: all the clients of a run, each a process of its own; they end with this one at the latest. */
#ifndef CHAOS_CREW_H
#define CHAOS_CREW_H

#include <stddef.h>
#include <sys/types.h>

#include "chaos/player.h"

enum { CREW_MAX = 64 };

struct crew_list {
	const struct crew *crew;
	pid_t pids[CREW_MAX];
	size_t count, probers;		/* the probers are the last ones */
};

/* Starts them all; and waits for those that play, kills who does not end, and then the probers. How many did not end well. */
void crew_start(struct crew_list *, const struct crew *);
unsigned crew_finish(struct crew_list *);

/* Looks at every lease that is in the history, once everything is well again. */
void crew_look_back(const struct crew *);

#endif
