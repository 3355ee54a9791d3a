/* nested: work inside the leases of outer deploy-gates. Gates that these cover need not be waited for nor closed again,
 * and ending what covers them is left to the outer ones: but only while the service says that they live. */
#ifndef CLIENT_NESTED_H
#define CLIENT_NESTED_H

#include <stdbool.h>

#include "base/names.h"
#include "base/outcome.h"
#include "outers.h"

enum { GATES_TEXT_MAX = GATES_MAX * (GATE_NAME_MAX + 1) };

/* How the gates of the command line lie; lists of them are "a,b", and "" for none. */
struct nested {
	struct outers outers; /* that live */
	struct nested_place {
		const struct lease *window; /* of outers, that covers the gate; NULL for none */
		bool in_pass;		    /* a pass of outers covers it */
		bool in_way;		    /* or lies at it, above it or below it */
	} places[GATES_MAX];		    /* one for each gate */
	bool inside;			    /* any is covered */
	bool in_way;			    /* a pass lies so at one of to_close, which is not to be closed from inside it */
	const struct lease *window;	    /* to take a pass under: a request has room for the token of one; or NULL */
	char closed[GATES_TEXT_MAX];	    /* the gates inside windows */
	char to_close[GATES_TEXT_MAX];	    /* those that are not */
	char to_wait[GATES_TEXT_MAX];	    /* those that nothing covers */
	char to_pass[GATES_TEXT_MAX];	    /* those, and what only the window covers */
};

/* Looks what of the gates of the command line is inside outer leases. OK, whatever came of it; else what the service
 * answered, or nobody did, is in reply (to be released in any case). nested is not to be moved. */
MUST_CHECK enum outcome nested_look(struct client *, struct nested *, struct reply *);

/* Does that with each window of the outer leases that covers any of the gates, as a lease over those; up to the first code
 * that is not 0, which it gives. */
int nested_each_window(struct client *, const struct nested *, int (*act)(struct client *, const struct lease *));

/* For a command that leaves these windows to the outer ones: with --json prints them, for whoever reads an answer. As
 * lease_print. */
int nested_print(struct client *, const struct nested *);

/* From now on the gates of the command line are those in to_close, of which there must be some. nested outlives the
 * command. */
void nested_narrow(struct client *, const struct nested *);

#endif
