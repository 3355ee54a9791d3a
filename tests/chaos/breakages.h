/* breakages: ways to break the service on purpose, so that it shows whether the harness sees it. Some are functions of the
 * database put in the place of its own, others are a server with functions in the place of its own. */
#ifndef CHAOS_BREAKAGES_H
#define CHAOS_BREAKAGES_H

#include <stdbool.h>

struct breakage {
	const char *name;
	const char *says;	/* what is broken */
	const char *sql;	/* NULL: none */
	/* Needs the server that DEPLOY_GATED_BROKEN_BIN names in the environment: linked from the same objects, but with some of
	 * its functions wrapped by those of broken_server.c. It does as told by DEPLOY_GATED_BREAKAGE. */
	bool in_server;
	const char *faults;	/* those that bring it out, by commas, or "none" */
};

/* Ends with a name that is NULL. */
extern const struct breakage breakages[];

const struct breakage *breakage_called(const char *name);

#endif
