/* db: a database of the test's own in the cluster that DEPLOY_GATE_TEST_PG names (conninfo of a superuser), and sessions in
 * it, as somebody in psql would have them. Whatever goes wrong here fails the running test with the sentence of the server. */
#ifndef SUPPORT_DB_H
#define SUPPORT_DB_H

#include <stdbool.h>

struct pg_conn;
struct pg_result;

struct db {
	char name[48];
	char conninfo[512];	/* of the superuser, to this database */
};

/* An empty database with a name that nobody else has. */
void db_create(struct db *);

/* Puts the schema and the functions of this build into it, as the server does at its first start. */
void db_load(const struct db *);

/* Makes a copy of one to which nobody is connected: quicker than to load it. */
void db_copy(struct db *, const struct db *from);

/* Ends whoever is still connected. */
void db_drop(struct db *);

/* One session. What a call returns as text is good until the next call for the same session. */
struct psql {
	struct pg_conn *pg;
	struct pg_result *last;
	int pid;		/* of its backend */
};

/* Connects; more is further conninfo that goes before the database's own ("user=job"), or NULL. */
void psql_open(struct psql *, const struct db *, const char *more);

/* Ends the session; one that is closed already, or was all zeros, is left alone. */
void psql_close(struct psql *);

/* Runs statements that must succeed; psql_value gives the first value of the last one's first row, "" for NULL or no row. */
void psql_run(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));
const char *psql_value(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* As psql_value, of a boolean or a number. */
bool psql_true(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));
long long psql_number(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* Runs statements that may fail: the SQLSTATE, "00000" for success. */
const char *psql_state(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* The sentence, and the hint, of what failed last; "" for none. */
const char *psql_message(const struct psql *);
const char *psql_hint(const struct psql *);

/* Sends a statement and does not wait for it. Then: whether it is still under way; its SQLSTATE, once it is through. */
void psql_send(struct psql *, const char *sql);
bool psql_busy(struct psql *);
const char *psql_finish(struct psql *);

/* Asks for the running statement to be cancelled. */
void psql_cancel(struct psql *);

/* Goes on asking until the query says true, for 60 s at most. */
void psql_until(struct psql *, const char *sql, ...) __attribute__((format(printf, 2, 3)));

/* Waits, 60 s at most, for a notification with that payload, on whatever channel the session listens to. */
void psql_until_notified(struct psql *, const char *payload);

#endif
