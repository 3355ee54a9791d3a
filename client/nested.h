/* nested: work inside the lease of an outer deploy-gate, known by DEPLOY_GATE_TOKEN. Its gates need not be waited
 * for nor closed again, and ending it is left to the outer one: but only while the service says that it is live. */
#ifndef CLIENT_NESTED_H
#define CLIENT_NESTED_H

#include <stdbool.h>

#include "base/outcome.h"
#include "lease.h"

enum { GATES_TEXT_MAX = GATES_MAX * (GATE_NAME_MAX + 1) };

struct nested {
	bool inside;  /* a live outer lease covers at least one of the gates */
	bool is_pass; /* it is a pass, not a window */
	bool in_way;  /* of a close of these gates, which would wait for that pass */
	struct lease outer;
	char covered[GATES_TEXT_MAX]; /* "a,b": the gates that it covers */
	char rest[GATES_TEXT_MAX];    /* those it does not */
	const char *todo;	      /* what is left to wait for or to close: the rest, or all; "" for nothing */
};

/* Looks whether the gates are inside an outer lease. OK, whatever came of it; else what the service answered, or nobody
 * did, is in reply (to be released in any case). */
MUST_CHECK enum outcome nested_look(struct client *, const char *gates, struct nested *, struct reply *);

/* From now on the gates of the command line are those left to do, of which there must be some. nested outlives the
 * command. */
void nested_narrow(struct client *, const struct nested *);

#endif
