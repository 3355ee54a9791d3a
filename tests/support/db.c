#include "support/db.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "pg/sql.h"

enum { SQL_MAX = 8192, PATIENCE_MS = 60000 };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *cluster(void)
{
	const char *conninfo = getenv("DEPLOY_GATE_TEST_PG");

	if (!conninfo)
		fail_msg("DEPLOY_GATE_TEST_PG is not set: it names a superuser of a PostgreSQL that tests may use");
	return conninfo;
}

/* A session in the cluster's own database, for what cannot be done from inside. */
static void psql_open_cluster(struct psql *psql)
{
	struct db outside = { .name = "" };

	snprintf(outside.conninfo, sizeof(outside.conninfo), "%s", cluster());
	psql_open(psql, &outside, NULL);
}

static void create(struct db *db, const char *template)
{
	struct psql admin = { 0 };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(db->name, sizeof(db->name), "test_%d_%lld_%ld", (int)getpid(), (long long)now.tv_sec, now.tv_nsec);
	snprintf(db->conninfo, sizeof(db->conninfo), "%s dbname=%s", cluster(), db->name);
	psql_open_cluster(&admin);
	psql_run(&admin, "create database %s template %s", db->name, template);
	psql_close(&admin);
}

void db_create(struct db *db)
{
	create(db, "template1");
}

void db_copy(struct db *db, const struct db *from)
{
	create(db, from->name);
}

static void load(struct psql *psql, const struct sql_file *files)
{
	for (; files->name; files++) {
		PQclear(psql->last);
		psql->last = PQexec(psql->pg, files->text);
		if (PQresultStatus(psql->last) > PGRES_TUPLES_OK)
			fail_msg("%s: %s", files->name, psql_message(psql));
	}
}

void db_load(const struct db *db)
{
	struct psql psql = { 0 };

	psql_open(&psql, db, NULL);
	psql_run(&psql, "begin; set local check_function_bodies = off");
	load(&psql, sql_schema);
	load(&psql, sql_functions);
	psql_run(&psql, "commit");
	psql_close(&psql);
}

void db_drop(struct db *db)
{
	struct psql admin = { 0 };

	psql_open_cluster(&admin);
	psql_run(&admin, "drop database if exists %s with (force)", db->name);
	psql_close(&admin);
}

static void be_quiet(void *context, const PGresult *notice)
{
	(void)context, (void)notice;
}

void psql_open(struct psql *psql, const struct db *db, const char *more)
{
	char conninfo[1024];

	snprintf(conninfo, sizeof(conninfo), "%s %s", db->conninfo, more ? more : "");
	*psql = (struct psql){ .pg = PQconnectdb(conninfo) };
	if (PQstatus(psql->pg) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(psql->pg));
	PQsetNoticeReceiver(psql->pg, be_quiet, NULL);
	psql->pid = PQbackendPID(psql->pg);
}

void psql_close(struct psql *psql)
{
	PQclear(psql->last);
	PQfinish(psql->pg);
	*psql = (struct psql){ 0 };
}

/* What the arguments make of the text. */
static void spell(char out[static SQL_MAX], const char *sql, va_list arguments)
{
	int length = vsnprintf(out, SQL_MAX, sql, arguments);

	if (length < 0 || length >= SQL_MAX)
		fail_msg("a statement of %d bytes", length);
}

static const char *sqlstate(const struct psql *psql)
{
	const char *state = PQresultErrorField(psql->last, PG_DIAG_SQLSTATE);

	if (PQresultStatus(psql->last) == PGRES_COMMAND_OK || PQresultStatus(psql->last) == PGRES_TUPLES_OK)
		return "00000";
	return state ? state : "lost";
}

static const char *execute(struct psql *psql, const char *sql, va_list arguments)
{
	char text[SQL_MAX];

	spell(text, sql, arguments);
	PQclear(psql->last);
	psql->last = PQexec(psql->pg, text);
	return sqlstate(psql);
}

static const char *value_of(struct psql *psql, const char *sql, va_list arguments)
{
	if (strcmp(execute(psql, sql, arguments), "00000") != 0)
		fail_msg("%s: %s: %s", sql, sqlstate(psql), psql_message(psql));
	return PQntuples(psql->last) > 0 ? PQgetvalue(psql->last, 0, 0) : "";
}

/* Opens a function's list of arguments around one expression that uses it. */
#define WITH_ARGUMENTS(type, expression)                                                                               \
	va_list arguments;                                                                                             \
	type result;                                                                                                   \
	va_start(arguments, sql);                                                                                      \
	result = (expression);                                                                                         \
	va_end(arguments);                                                                                             \
	return result

const char *psql_value(struct psql *psql, const char *sql, ...)
{
	WITH_ARGUMENTS(const char *, value_of(psql, sql, arguments));
}

bool psql_true(struct psql *psql, const char *sql, ...)
{
	WITH_ARGUMENTS(bool, value_of(psql, sql, arguments)[0] == 't');
}

long long psql_number(struct psql *psql, const char *sql, ...)
{
	WITH_ARGUMENTS(long long, strtoll(value_of(psql, sql, arguments), NULL, 10));
}

const char *psql_state(struct psql *psql, const char *sql, ...)
{
	WITH_ARGUMENTS(const char *, execute(psql, sql, arguments));
}

void psql_run(struct psql *psql, const char *sql, ...)
{
	va_list arguments;

	va_start(arguments, sql);
	value_of(psql, sql, arguments);
	va_end(arguments);
}

static const char *error_field(const struct psql *psql, int field)
{
	const char *text = PQresultErrorField(psql->last, field);

	return text ? text : "";
}

const char *psql_message(const struct psql *psql)
{
	return error_field(psql, PG_DIAG_MESSAGE_PRIMARY);
}

const char *psql_hint(const struct psql *psql)
{
	return error_field(psql, PG_DIAG_MESSAGE_HINT);
}

void psql_send(struct psql *psql, const char *sql)
{
	if (!PQsendQuery(psql->pg, sql))
		fail_msg("%s: %s", sql, PQerrorMessage(psql->pg));
}

bool psql_busy(struct psql *psql)
{
	if (!PQconsumeInput(psql->pg))
		return false;
	return PQisBusy(psql->pg);
}

const char *psql_finish(struct psql *psql)
{
	PGresult *next;

	while ((next = PQgetResult(psql->pg))) {
		PQclear(psql->last);
		psql->last = next;
	}
	return sqlstate(psql);
}

void psql_cancel(struct psql *psql)
{
	char why[256];
	PGcancel *cancel = PQgetCancel(psql->pg);

	if (!PQcancel(cancel, why, sizeof(why)))
		fail_msg("%s", why);
	PQfreeCancel(cancel);
}

void psql_until(struct psql *psql, const char *sql, ...)
{
	char text[SQL_MAX];
	va_list arguments;
	int64_t deadline = now_ms() + PATIENCE_MS;

	va_start(arguments, sql);
	spell(text, sql, arguments);
	va_end(arguments);
	while (!psql_true(psql, "%s", text)) {
		if (now_ms() > deadline)
			fail_msg("never came true: %s", text);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
}

void psql_until_notified(struct psql *psql, const char *payload)
{
	int64_t deadline = now_ms() + PATIENCE_MS;
	bool heard = false;

	while (!heard) {
		struct pollfd socket = { .fd = PQsocket(psql->pg), .events = POLLIN };
		PGnotify *notice;

		while ((notice = PQnotifies(psql->pg))) {
			heard |= !strcmp(notice->extra, payload);
			PQfreemem(notice);
		}
		if (!heard && (now_ms() > deadline || poll(&socket, 1, 100) < 0 || !PQconsumeInput(psql->pg)))
			fail_msg("no notification \"%s\"", payload);
	}
}
