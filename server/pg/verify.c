#include "pg/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_VERSION = 140000 };

const char verify_options[] =
	"-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off -c "
	"synchronous_commit=on "
	"-c statement_timeout=0 -c lock_timeout=500ms -c idle_session_timeout=0 -c "
	"idle_in_transaction_session_timeout=0 "
	"-c client_connection_check_interval=1s -c TimeZone=UTC -c DateStyle=ISO,MDY -c search_path=pg_catalog,pg_temp "
	"-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000 "
	/* Every query finds few rows by an index, and is to go on doing so: a plan made while a table was empty must not last, nor
	 * may one walk a whole index because that looks cheap while it is short. Planning for each execution would take longer
	 * than executing. */
	"-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_material=off -c "
	"enable_bitmapscan=off "
	"-c plan_cache_mode=force_generic_plan -c jit=off";

/* The same, as pg_settings shows them, sorted by name. */
static const char pinned[] =
	"DateStyle=ISO, MDY TimeZone=UTC client_connection_check_interval=1000 default_transaction_isolation=read "
	"committed "
	"default_transaction_read_only=off idle_in_transaction_session_timeout=0 idle_session_timeout=0 "
	"lock_timeout=500 "
	"search_path=pg_catalog,pg_temp statement_timeout=0 synchronous_commit=on";

static const char *column(const PGresult *row, const char *name)
{
	int number = PQfnumber(row, name);

	return number < 0 ? "" : PQgetvalue(row, 0, number);
}

enum outcome verify_judge(
	const PGconn *connection, const PGresult *row, char cluster[static VERIFY_CLUSTER_MAX], struct fault *fault)
{
	if (PQresultStatus(row) != PGRES_TUPLES_OK || PQntuples(row) != 1)
		return fault_set(fault, OUTCOME_UNAVAILABLE, "the database did not answer the first question: %s",
			PQresultErrorMessage(row));
	if (strtoll(column(row, "version"), NULL, 10) < OLDEST_VERSION)
		return fault_set(fault, OUTCOME_FORBIDDEN, "PostgreSQL %s is too old: use version 14 or newer",
			PQparameterStatus(connection, "server_version"));
	if (strtoll(column(row, "pid"), NULL, 10) != PQbackendPID(connection))
		return fault_set(fault, OUTCOME_FORBIDDEN,
			"a pooler stands between us and PostgreSQL, and session locks do not survive that: "
			"connect to PostgreSQL itself (its own port, not that of pgbouncer)");
	if (strcmp(column(row, "standby"), "t") == 0)
		return fault_set(fault, OUTCOME_FORBIDDEN,
			"this PostgreSQL is a standby: name the primary, or all hosts (host=a,b), in the database "
			"setting");
	if (strcmp(column(row, "settings"), pinned) != 0)
		return fault_set(fault, OUTCOME_FORBIDDEN,
			"a role, a database, a proxy or PG… in the environment overrides the settings of our session: "
			"wanted %.200s; found %.200s",
			pinned, column(row, "settings"));
	snprintf(cluster, VERIFY_CLUSTER_MAX, "%s/%s", column(row, "system_identifier"), column(row, "timeline"));
	return OUTCOME_OK;
}

void verify_explain_failure(const PGconn *connection, struct fault *fault)
{
	const char *message = PQerrorMessage(connection);
	enum outcome outcome = OUTCOME_UNAVAILABLE;
	const char *advice = "";

	if (strstr(message, "unsupported startup parameter")) {
		outcome = OUTCOME_FORBIDDEN;
		advice = "; a pooler stands between us and PostgreSQL: connect to PostgreSQL itself";
	} else if (strstr(message, "unrecognized configuration parameter")) {
		outcome = OUTCOME_FORBIDDEN;
		advice = "; use PostgreSQL 14 or newer";
	} else if (strstr(message, "session is read-only") || strstr(message, "session is not read-write")) {
		advice = "; none of the hosts is a primary now";
	}
	(void)fault_set(fault, outcome, "%.*s%s", (int)strcspn(message, "\n"), message, advice);
}
