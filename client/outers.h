/* outers: the leases that this runs inside of, as the environment hands them down from command to command:
 * DEPLOY_GATE_TOKEN is the innermost one's, DEPLOY_GATE_OUTER has those around it, by commas. Whether they still live,
 * only the service can say. */
#ifndef CLIENT_OUTERS_H
#define CLIENT_OUTERS_H

#include <stdbool.h>

#include "lease.h"

enum { OUTERS_MAX = 8 };

struct outers {
	unsigned count;
	struct lease at[OUTERS_MAX]; /* the innermost first; their gates are not known */
};

/* What the environment tells, without what is no token. Where DEPLOY_GATE_TOKEN is not set there are none: who takes
 * that away from a command wants it outside. */
void outers_read(struct client *, struct outers *);

/* Drops one, says why, and hands down the rest: or every command in a script would say so again. */
void outers_ignore(struct client *, struct outers *, unsigned which, const char *why);

/* Adds a lease as the innermost; or with behind as the next to that, which stays what a command is told of. Of more than
 * OUTERS_MAX the outermost is forgotten. */
void outers_add(struct outers *, const struct lease *, bool behind);

/* Sets the tokens that a command finds in its environment; for none they are taken away. */
void outers_hand_down(const struct outers *);

/* Sets what it finds there about the innermost. What is NULL is taken away: it would be that of another lease. */
void outers_tell(const char *gates, const char *fence, const char *release);

#endif
