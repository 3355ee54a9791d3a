/* cluster: a private PostgreSQL for tests that stop it, and what can stand between it and a server. Tests run at the top of the
 * tree. Whatever goes wrong here fails the running test. */
#ifndef SUPPORT_CLUSTER_H
#define SUPPORT_CLUSTER_H

#include <sys/types.h>

#include "support/db.h"

struct cluster {
	char dir[48];			/* made by the start; or there already, and empty */
	struct db db;			/* its own database, of a superuser */
	unsigned port;
	char listen[64];		/* addresses for the next start; "": 127.0.0.1 */
};

/* Starts one, or a standby that follows another. */
void cluster_start(struct cluster *);
void cluster_follow(struct cluster *, const struct cluster *primary);

/* A stopped one throws away what it has and becomes a standby that follows another, in its old place and port. */
void cluster_follow_anew(struct cluster *, const struct cluster *primary);

/* how: fast, immediate. A stopped one is started again on its old port. */
void cluster_stop(struct cluster *, const char *how);
void cluster_start_again(struct cluster *);
void cluster_restart(struct cluster *, const char *how);

/* Stops it and removes its files. One that was all zeros is left alone. */
void cluster_release(struct cluster *);

/* A pgbouncer before a database. */
struct pooler {
	pid_t pid;
	char dir[48];
	char conninfo[128];		/* through it */
};

/* more: a further line of its settings, or "". */
void pooler_start(struct pooler *, const struct cluster *, const char *mode, const char *more);
void pooler_release(struct pooler *);

#endif
