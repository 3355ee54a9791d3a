/* session: one PostgreSQL session on the loop. Connects, verifies what it finds, prepares its statements, flies pipelines of
 * them, and reconnects with back-off when it is lost. A session whose state is in doubt is thrown away, never repaired.
 * Owns a flight from session_fly until its landed() ran; the flight's memory is the caller's throughout. */
#ifndef PG_SESSION_H
#define PG_SESSION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

struct log;
struct session;
struct uv_loop_s;

enum { SESSION_WHY_MAX = 400 };

/* What a session is for. Everything pointed at must outlive it. */
struct session_terms {
	const char *role;			/* "locks": it calls itself deploy-gated/locks */
	const char *database;			/* conninfo */
	const char *const *statements;		/* names of the queries to prepare, ended by NULL */
	const struct log *log;
	void *context;
	/* Verified and prepared: the owner registers it, and calls session_serve once it may be used. */
	void (*verified)(void *context);
	/* It served, or was about to, and is lost; after every flight has landed. It reconnects by itself. */
	void (*lost)(void *context);
	/* May be NULL. */
	void (*notified)(void *context, const char *payload, int pid);
};

/* Statements that fly together: one implicit transaction, one round trip. */
struct flight {
	/* How long it may take once it is the first; then overdue() decides, or the session is thrown away. */
	uint64_t deadline_ms;
	/* Each statement's result in order, also the failed and the aborted ones. Cleared by the session. */
	void (*result)(struct flight *, unsigned index, const PGresult *);
	/* arrived: everything up to the sync was answered; the results said how. Otherwise the outcome is unknown. */
	void (*landed)(struct flight *, bool arrived);
	/* Its deadline is over: for how many ms more it may take; 0: no longer. May be NULL, which is 0. */
	uint64_t (*overdue)(struct flight *);
	/* The session's: */
	struct flight *next;
	unsigned statements, results;
	uint64_t due_ms;
	bool failed;				/* a statement failed: nothing of it was committed */
};

struct session *session_new(struct uv_loop_s *, const struct session_terms *);
void session_start(struct session *);

/* Gives the connection up for good; it may be freed once the loop ran dry of it. */
void session_stop(struct session *);
void session_free(struct session *);

/* Starts a flight; statements are added until session_depart. NULL parameters are SQL NULLs. */
void session_fly(struct session *, struct flight *);
void session_add(struct session *, const char *statement, int count, const char *const *values);
void session_depart(struct session *);

/* The owner is content: the session counts as up. */
void session_serve(struct session *);
/* The owner is not: throws the connection away; lost() follows from the loop. why is a sentence for log and /readyz. */
void session_drop(struct session *, const char *why);

/* Whether it is connected and verified, so that flights may start; whether it serves; and why it does not. */
bool session_verified(const struct session *);
bool session_serves(const struct session *);
const char *session_why(const struct session *);

/* Backend of the connection, and the cluster it was found to be: "SYSTEM/TIMELINE", "" before it was verified. */
int session_pid(const struct session *);
const char *session_cluster(const struct session *);

#endif
