/* breakages: ways to break the service on purpose, so that it shows whether the harness sees it. Some are functions of the
 * database put in the place of its own, others are a server with functions in the place of its own. */
#ifndef CHAOS_BREAKAGES_H
#define CHAOS_BREAKAGES_H

#include "support/db.h"

struct breakage {
	const char *name;
	const char *says;	/* what is broken */
	const char *rule;	/* the rules of which one must be seen broken, by commas */
	const char *sql;	/* NULL: none */
	bool in_server;		/* wants the server of the environment's DEPLOY_GATED_BROKEN_BIN */
};

/* Ends with a name that is NULL. */
extern const struct breakage breakages[];

const struct breakage *breakage_called(const char *name);

#endif
