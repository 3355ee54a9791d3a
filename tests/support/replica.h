/* replica: what a server does in the database, without the server: a registered locks session that decides batches of one
 * change each. For tests of the SQL, and for making windows beside it. */
#ifndef SUPPORT_REPLICA_H
#define SUPPORT_REPLICA_H

#include "support/db.h"

struct replica {
	struct psql psql;
	long long number;	/* of its session */
};

/* A query as the server has it. */
const char *replica_query(const char *name);

/* Puts what replicas need into the database, behind db_load: schema test, with test.begin(), the query of that name. */
void replica_prepare(const struct db *);

/* Connects and registers as a process of that name; psql_close(&r->psql) kills it. */
void replica_open(struct replica *, const struct db *, const char *name);

/* As the server has its session: a plan is made once, and not for what a table holds at the time. */
void replica_pin_plans(struct replica *);

/* One change of a kind ("close", "tick"), settled and committed; then the drop of unwanted locks. request is an expression
 * of type jsonb. Answers the word it came out with: of a close the one after settling. What settle said is left in the
 * temporary table settled of this session, the change's body in the table body. */
const char *replica_change(struct replica *, const char *kind, const char *request, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without the drop, as it is between the two transactions of a batch; and the drop. */
const char *replica_decide(struct replica *, const char *kind, const char *request);
void replica_drop(struct replica *);

/* The common ones. A token is one letter: its lease's id is that letter 32 times (LEASE). gates by commas, more as JSON. */
#define LEASE(letter) "repeat('" letter "', 32)"
const char *replica_close(struct replica *, const char *letter, const char *gates, const char *more);
const char *replica_pass(struct replica *replica, const char *letter, const char *gates, const char *more);
const char *replica_release(struct replica *replica, const char *letter);
const char *replica_end(struct replica *, const char *letter, const char *gates);
const char *replica_tick(struct replica *);

/* A tick that settles everything, as after a reconnect. */
const char *replica_sweep(struct replica *);

#endif
