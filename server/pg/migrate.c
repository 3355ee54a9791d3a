#include "pg/migrate.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/die.h"
#include "base/digest.h"
#include "base/log.h"
#include "pg/cells.h"
#include "pg/sql.h"
#include "pg/verify.h"

enum { ATTEMPT_PAUSE_MS = 200, LOCK_ATTEMPTS = 20 };

/* All replicas that start together wait for each other here; the key has a prefix of its own. */
static const char begin_text[] = "begin; set local lock_timeout = '5s'; set local check_function_bodies = off; set "
				 "local client_min_messages = warning; "
				 "select pg_advisory_xact_lock(('x' || left(encode(sha256('deploy_gate-migrate:'), "
				 "'hex'), 16))::bit(64)::bigint)";

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static PGconn *connect_once(const char *database, struct fault *fault)
{
	const char *const keys[] = { "dbname", "application_name", "options", "connect_timeout",
		strchr(database, ',') ? "target_session_attrs" : NULL, NULL };
	const char *const values[] = { database, "deploy-gated/migrate", verify_options, "5", "read-write", NULL };
	PGconn *connection = or_die(PQconnectdbParams(keys, values, 1));

	if (PQstatus(connection) == CONNECTION_OK)
		return connection;
	verify_explain_failure(connection, fault);
	PQfinish(connection);
	return NULL;
}

/* A connection string that cannot be read does not get better by waiting. A bare word is the name of a database. */
static enum outcome check_conninfo(const char *database, struct fault *fault)
{
	enum outcome outcome = OUTCOME_OK;
	char *why = NULL;

	if (!strchr(database, '=') && !strstr(database, "://"))
		return OUTCOME_OK;
	PQconninfoFree(PQconninfoParse(database, &why));
	if (why)
		outcome = fault_set(fault, OUTCOME_FORBIDDEN, "database: %.*s", (int)strcspn(why, "\n"), why);
	PQfreemem(why);
	return outcome;
}

static void give_up(struct fault *fault)
{
	struct fault last = *fault;

	if (last.outcome == OUTCOME_UNAVAILABLE)
		(void)fault_set(fault, OUTCOME_UNAVAILABLE,
			"no database: %.300s; --database (DEPLOY_GATED_DATABASE) says where it is, and --start-timeout "
			"how long to wait for it",
			last.detail);
}

/* A database that is not there yet may come; one that must not be used stays that. */
static PGconn *connect_within(const char *database, int64_t timeout_ms, const struct log *log, struct fault *fault)
{
	const struct timespec pause = { .tv_nsec = ATTEMPT_PAUSE_MS * 1000000L };
	int64_t until = now_ms() + timeout_ms;
	PGconn *connection;

	if (check_conninfo(database, fault) != OUTCOME_OK)
		return NULL;
	while (!(connection = connect_once(database, fault))) {
		if (fault->outcome != OUTCOME_UNAVAILABLE || now_ms() >= until) {
			give_up(fault);
			return NULL;
		}
		log_write(log, LOG_DEBUG, "database_awaited", "why", fault->detail, NULL);
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return connection;
}

/* Runs statements, none of which returns anything of interest. UNAVAILABLE: the connection is gone, or another was in the way. */
static enum outcome run(PGconn *connection, const char *text, const char *what, struct fault *fault)
{
	PGresult *result = PQexec(connection, text);
	ExecStatusType status = PQresultStatus(result);
	bool passes = PQstatus(connection) != CONNECTION_OK || strcmp(result_sqlstate(result), "55P03") == 0;
	enum outcome outcome = OUTCOME_OK;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		outcome = fault_set(fault, passes ? OUTCOME_UNAVAILABLE : OUTCOME_FORBIDDEN,
			"the database could not be migrated (%s): %s", what, PQresultErrorMessage(result));
	PQclear(result);
	return outcome;
}

/* The first column of the first row as a number, fallback without one. */
static long long number_of(PGconn *connection, const char *text, long long fallback)
{
	PGresult *result = PQexec(connection, text);
	long long number = fallback;

	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		number = cell_number(result, 0, 0, fallback);
	PQclear(result);
	return number;
}

static long long schema_version(PGconn *connection)
{
	if (!number_of(connection, "select (to_regclass('deploy_gate.schema_version') is not null)::integer", 0))
		return 0;
	return number_of(connection, "select max(version) from deploy_gate.schema_version", 0);
}

/* "0001_foundation" is 1. */
static long long schema_number(const struct sql_file *file)
{
	return strtoll(file->name, NULL, 10);
}

static long long schema_known(void)
{
	long long known = 0;

	for (const struct sql_file *file = sql_schema; file->name; file++)
		known = schema_number(file);
	return known;
}

/* 0.1.0 is 100, 1.2.3 is 10203. */
static long long release_number(void)
{
	char *rest = (char *)DEPLOY_GATE_VERSION;
	long long number = 0;

	for (int part = 0; part < 3; part++) {
		number = 100 * number + strtoll(rest, &rest, 10);
		rest += *rest == '.';
	}
	return number;
}

static enum outcome refuse_newer(long long version, struct fault *fault)
{
	if (version <= schema_known())
		return OUTCOME_OK;
	return fault_set(fault, OUTCOME_FORBIDDEN,
		"the schema of this database has version %lld, and this release (%s) knows %lld: use a newer release",
		version, DEPLOY_GATE_VERSION, schema_known());
}

static enum outcome apply_schema(PGconn *connection, const struct log *log, struct fault *fault)
{
	long long version = schema_version(connection);
	char note[128];

	if (refuse_newer(version, fault) != OUTCOME_OK)
		return fault->outcome;
	for (const struct sql_file *file = sql_schema; file->name; file++) {
		if (schema_number(file) <= version)
			continue;
		snprintf(note, sizeof(note),
			"insert into deploy_gate.schema_version (version, applied_by) values (%lld, '%s')",
			schema_number(file), DEPLOY_GATE_VERSION);
		if (run(connection, file->text, file->name, fault) != OUTCOME_OK ||
			run(connection, note, file->name, fault) != OUTCOME_OK)
			return fault->outcome;
		log_write(log, LOG_INFO, "schema_migrated", "to", file->name, NULL);
	}
	return OUTCOME_OK;
}

static void functions_digest(char hex[static DIGEST_HEX_LEN + 1])
{
	char *all = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&all, &size));

	for (const struct sql_file *file = sql_functions; file->name; file++)
		fputs(file->text, out);
	fclose(out);
	digest_hex(or_die(all), hex);
	free(all);
}

static enum outcome apply_functions(PGconn *connection, const struct log *log, struct fault *fault)
{
	char digest[DIGEST_HEX_LEN + 1], text[512];
	long long release = release_number(), installed;

	functions_digest(digest);
	snprintf(text, sizeof(text),
		"select release * 10 + (digest = '%s')::integer from deploy_gate.functions_version", digest);
	installed = number_of(connection, text, -1);
	if (installed / 10 > release || installed == release * 10 + 1)
		return OUTCOME_OK;
	for (const struct sql_file *file = sql_functions; file->name; file++)
		if (run(connection, file->text, file->name, fault) != OUTCOME_OK)
			return fault->outcome;
	snprintf(text, sizeof(text),
		"insert into deploy_gate.functions_version (release, digest) values (%lld, '%s') on conflict (one) do "
		"update "
		"set release = excluded.release, digest = excluded.digest, applied_at = clock_timestamp()",
		release, digest);
	log_write(log, LOG_INFO, "functions_installed", "release", DEPLOY_GATE_VERSION, NULL);
	return run(connection, text, "functions_version", fault);
}

static enum outcome migrate_once(PGconn *connection, const struct log *log, struct fault *fault)
{
	enum outcome outcome = run(connection, begin_text, "waiting for another replica that migrates", fault);
	struct fault ignored;

	if (outcome == OUTCOME_OK)
		outcome = apply_schema(connection, log, fault);
	if (outcome == OUTCOME_OK)
		outcome = apply_functions(connection, log, fault);
	if (outcome == OUTCOME_OK)
		outcome = run(connection, "commit", "commit", fault);
	if (outcome != OUTCOME_OK)
		(void)run(connection, "rollback", "rollback", &ignored);
	return outcome;
}

/* A connection that was judged fit; the caller's to finish. NULL where there is none: the fault says why. */
static PGconn *connect_verified(const char *database, int64_t timeout_ms, const struct log *log, struct fault *fault)
{
	PGconn *connection = connect_within(database, timeout_ms, log, fault);
	char cluster[VERIFY_CLUSTER_MAX];
	enum outcome outcome;
	PGresult *row;

	if (!connection)
		return NULL;
	row = PQexec(connection, query_text("verify"));
	outcome = verify_judge(connection, row, cluster, fault);
	PQclear(row);
	if (outcome == OUTCOME_OK)
		return connection;
	PQfinish(connection);
	return NULL;
}

enum outcome migrate(const char *database, int64_t timeout_ms, const struct log *log, struct fault *fault)
{
	PGconn *connection = connect_verified(database, timeout_ms, log, fault);
	enum outcome outcome;
	int attempts = 0;

	if (!connection)
		return fault->outcome;
	do
		outcome = migrate_once(connection, log, fault);
	while (outcome == OUTCOME_UNAVAILABLE && PQstatus(connection) == CONNECTION_OK && ++attempts < LOCK_ATTEMPTS);
	PQfinish(connection);
	return outcome;
}

enum outcome migrate_check(const char *database, int64_t timeout_ms, const struct log *log, struct fault *fault)
{
	PGconn *connection = connect_verified(database, timeout_ms, log, fault);
	enum outcome outcome;

	if (!connection)
		return fault->outcome;
	outcome = refuse_newer(schema_version(connection), fault);
	PQfinish(connection);
	return outcome;
}
