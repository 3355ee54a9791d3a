/* arena: where the chaos takes place: a PostgreSQL primary with a synchronous standby that can take its place, and replicas of
 * the service that know both. What clients are told, the conninfo and the addresses, never changes, whoever dies.
 *
 * It belongs to the process that starts it, alone: the replicas and proxies are children of that one and end with it; clients
 * are forked from it, or read what they need. Programs are found in the environment as in all tests (DEPLOY_GATED_BIN).
 * As root it has a network and places for its data of its own, which end with the process too; without, some faults cannot be
 * had. Whatever cannot be set up ends the program with a sentence. */
#ifndef CHAOS_ARENA_H
#define CHAOS_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "support/cluster.h"
#include "support/db.h"
#include "support/http.h"
#include "support/proxy.h"
#include "support/server.h"

enum { ARENA_REPLICAS_MAX = 4, ARENA_ADDRESS = 48 };

/* A replica of the service, in the same place whichever process it is. */
struct post {
	char name[24];			/* of the replica */
	char url[ARENA_ADDRESS];	/* of itself */
	struct proxy way;		/* another way to it: way.url, where connections are cut and fall silent */
	unsigned port;
	char address[32];		/* at which it finds PostgreSQL; alone there in a network of the arena's own, or "" */
	char conninfo[256];
	struct server server;		/* its pid is 0 while it is down */
	unsigned lives;			/* processes so far */
};

struct arena {
	char conninfo[256];		/* of the primary, whichever it is now, for a superuser in plain SQL */
	struct post posts[ARENA_REPLICAS_MAX];
	unsigned count;
	char dir[48];			/* for the logs of the replicas that ended */

	/* For the faults alone. */
	struct cluster clusters[2];
	unsigned primary;		/* which of them; the other is the standby */
	struct psql admin;		/* at the primary */
	struct http http;
	bool has_network, has_disks;	/* of its own */
	pid_t guard;			/* a child that cleans up if this process cannot */
};

struct arena_plan {
	unsigned replicas;
	const char *breakage;		/* the name of a deliberate breakage, or NULL; only in the first arena of a process */
};

/* Starts everything, and waits until it is well. */
void arena_start(struct arena *, const struct arena_plan *);

/* Stops everything and removes its files; the logs are left where keep says so, and then named on standard error. */
void arena_stop(struct arena *, bool keep);

/* Starts a replica that is down, at its old place. */
void arena_raise(struct arena *, struct post *);

/* Makes the cluster that is not the primary a standby that follows it, and commits wait for that one from then on. It is copied
 * before they do: once promoted it waits for nobody, until it has a standby of its own. */
void arena_follow(struct arena *);

/* Waits until all replicas are ready and a synchronous standby follows; false if it takes too long. */
bool arena_await_well(struct arena *, int64_t patience_ms);

/* The first value that a query gives at the primary, or at the standby, "" for none; NULL where it fails, which is no error: on
 * the next call the session is opened anew. Good until the next call. */
const char *arena_value(struct arena *, const char *sql, ...) __attribute__((format(printf, 2, 3)));
bool arena_true(struct arena *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* The SQLSTATE that a statement comes out with; "00000", or "lost". */
const char *arena_state(struct arena *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

struct cluster *arena_primary(struct arena *);
struct cluster *arena_standby(struct arena *);

#endif
