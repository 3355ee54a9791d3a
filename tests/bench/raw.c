#include "raw.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "base/die.h"
#include "callers.h"

/* Any lock will do, in a database where nobody else takes one. */
#define LOCK	      "select pg_advisory_lock(7433)"
#define LOCK_SHARED   "select pg_advisory_lock_shared(7433)"
#define UNLOCK	      "select pg_advisory_unlock(7433)"
#define UNLOCK_SHARED "select pg_advisory_unlock_shared(7433)"
#define BLOCKED	      "select count(*) from pg_locks where locktype = 'advisory' and objid = 7433 and not granted"

struct raw {
	PGconn *holder, *watcher;
	unsigned count;
	PGconn **others;
};

static PGconn *connect_to(const char *conninfo)
{
	PGconn *pg = PQconnectdb(conninfo);

	if (PQstatus(pg) != CONNECTION_OK)
		die(PQerrorMessage(pg));
	return pg;
}

static void start(PGconn *pg, const char *sql)
{
	if (!PQsendQuery(pg, sql))
		die(PQerrorMessage(pg));
}

/* The number in the answer, where it is one. */
static long finish(PGconn *pg)
{
	PGresult *result;
	long number = 0;

	while ((result = PQgetResult(pg)) != NULL) {
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			die(PQerrorMessage(pg));
		number = strtol(PQgetvalue(result, 0, 0), NULL, 10);
		PQclear(result);
	}
	return number;
}

static long run(PGconn *pg, const char *sql)
{
	start(pg, sql);
	return finish(pg);
}

struct raw *raw_new(const char *conninfo, unsigned count)
{
	struct raw *raw = or_die(calloc(1, sizeof(*raw)));

	raw->count = count;
	raw->others = or_die(calloc(count, sizeof(PGconn *)));
	raw->holder = connect_to(conninfo);
	raw->watcher = connect_to(conninfo);
	for (unsigned i = 0; i < count; i++)
		raw->others[i] = connect_to(conninfo);
	run(raw->holder, LOCK);
	return raw;
}

void raw_free(struct raw *raw)
{
	for (unsigned i = 0; i < raw->count; i++)
		PQfinish(raw->others[i]);
	PQfinish(raw->holder);
	PQfinish(raw->watcher);
	free(raw->others);
	free(raw);
}

/* The first so many of the others block, the holder unlocks, and they are through. */
static uint64_t hand_over(struct raw *raw, unsigned count, const char *lock)
{
	uint64_t began_ns, took_ns;

	for (unsigned i = 0; i < count; i++)
		start(raw->others[i], lock);
	while (run(raw->watcher, BLOCKED) != count)
		;
	began_ns = now_ns();
	start(raw->holder, UNLOCK);
	for (unsigned i = 0; i < count; i++)
		finish(raw->others[i]);
	took_ns = now_ns() - began_ns;
	finish(raw->holder);
	return took_ns;
}

static void take_back(struct raw *raw, unsigned count, const char *unlock)
{
	for (unsigned i = 0; i < count; i++)
		run(raw->others[i], unlock);
	run(raw->holder, LOCK);
}

uint64_t raw_next_deploy(struct raw *raw)
{
	uint64_t took_ns = hand_over(raw, 1, LOCK);

	take_back(raw, 1, UNLOCK);
	return took_ns;
}

uint64_t raw_all_jobs(struct raw *raw)
{
	uint64_t took_ns = hand_over(raw, raw->count, LOCK_SHARED);

	take_back(raw, raw->count, UNLOCK_SHARED);
	return took_ns;
}
