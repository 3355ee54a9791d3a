#include "chaos/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "chaos/breakages.h"
#include "chaos/places.h"

enum { SQL_MAX = 4096, WELL_AT_START_MS = 60000 };

struct cluster *arena_primary(struct arena *arena)
{
	return &arena->clusters[arena->primary];
}

struct cluster *arena_standby(struct arena *arena)
{
	return &arena->clusters[1 - arena->primary];
}

static void be_quiet(void *context, const PGresult *notice)
{
	(void)context, (void)notice;
}

/* Connects where it is not; whether it is then. Nobody waits long for a postmaster that stands still. */
static bool meet(struct arena *arena)
{
	struct psql *admin = &arena->admin;
	char conninfo[640];

	if (admin->pg && PQstatus(admin->pg) == CONNECTION_OK)
		return true;
	psql_close(admin);
	snprintf(conninfo, sizeof(conninfo), "%s application_name=arena connect_timeout=2",
		arena_primary(arena)->db.conninfo);
	admin->pg = PQconnectdb(conninfo);
	PQsetNoticeReceiver(admin->pg, be_quiet, NULL);
	return PQstatus(admin->pg) == CONNECTION_OK;
}

static void ask_admin(struct arena *arena, const char *sql, va_list arguments)
{
	char text[SQL_MAX];

	vsnprintf(text, sizeof(text), sql, arguments);
	PQclear(arena->admin.last);
	arena->admin.last = NULL;
	if (meet(arena))
		arena->admin.last = PQexec(arena->admin.pg, text);
}

static const char *answer(const struct arena *arena)
{
	const PGresult *last = arena->admin.last;

	if (PQresultStatus(last) != PGRES_TUPLES_OK)
		return NULL;
	return PQntuples(last) > 0 ? PQgetvalue(last, 0, 0) : "";
}

const char *arena_value(struct arena *arena, const char *sql, ...)
{
	va_list arguments;

	va_start(arguments, sql);
	ask_admin(arena, sql, arguments);
	va_end(arguments);
	return answer(arena);
}

bool arena_true(struct arena *arena, const char *sql, ...)
{
	const char *value;
	va_list arguments;

	va_start(arguments, sql);
	ask_admin(arena, sql, arguments);
	va_end(arguments);
	value = answer(arena);
	return value && *value == 't';
}

const char *arena_state(struct arena *arena, const char *sql, ...)
{
	const char *state;
	va_list arguments;

	va_start(arguments, sql);
	ask_admin(arena, sql, arguments);
	va_end(arguments);
	state = PQresultErrorField(arena->admin.last, PG_DIAG_SQLSTATE);
	if (state)
		return state;
	return arena->admin.last && PQresultStatus(arena->admin.last) <= PGRES_TUPLES_OK ? "00000" : "lost";
}

/* A cluster that others can follow, and whose commits wait for one that does. */
static void start_primary(struct arena *arena)
{
	struct cluster *primary = arena_primary(arena);
	struct psql admin;

	snprintf(primary->listen, sizeof(primary->listen), "%s", arena->has_network ? "0.0.0.0" : "127.0.0.1");
	cluster_start(primary);
	psql_open(&admin, &primary->db, NULL);
	psql_run(&admin, "alter system set max_connections = 300");
	psql_run(&admin, "alter system set max_wal_size = '64MB'");
	psql_run(&admin, "alter system set wal_keep_size = '96MB'");
	psql_run(&admin, "alter system set wal_retrieve_retry_interval = '100ms'");
	psql_run(&admin, "copy (select 'host all all " PLACES_NETWORK ".0/24 trust') to program 'cat >>pg_hba.conf'");
	psql_close(&admin);
	cluster_restart(primary, "fast");
}

void arena_follow(struct arena *arena)
{
	struct cluster *primary = arena_primary(arena), *standby = arena_standby(arena);
	struct psql admin;

	snprintf(standby->listen, sizeof(standby->listen), "%s", primary->listen);
	if (standby->port)
		cluster_follow_anew(standby, primary);
	else
		cluster_follow(standby, primary);
	psql_open(&admin, &primary->db, NULL);
	psql_run(&admin, "alter system set synchronous_standby_names = '*'");
	psql_run(&admin, "select pg_reload_conf()");
	psql_close(&admin);
}

static void set_post(struct arena *arena, struct post *post, unsigned number)
{
	const struct cluster *one = &arena->clusters[0], *two = &arena->clusters[1];
	char hosts[128];

	snprintf(post->name, sizeof(post->name), "replica-%u", number);
	if (arena->has_network) {
		snprintf(post->address, sizeof(post->address), PLACES_NETWORK ".%u", number);
		snprintf(hosts, sizeof(hosts), "%s,%s", post->address, post->address);
		places_join(post->address);
	} else {
		snprintf(hosts, sizeof(hosts), "%s,%s", one->dir, two->dir);
	}
	snprintf(post->conninfo, sizeof(post->conninfo),
		"host=%s port=%u,%u user=postgres dbname=postgres target_session_attrs=read-write", hosts, one->port,
		two->port);
	post->port = places_free_port();
	snprintf(post->url, sizeof(post->url), "http://127.0.0.1:%u", post->port);
	proxy_start(&post->way, post->url);
}

/* The log of a process that has ended, or is to be, goes where those of all its lives are. */
static void keep_log(const struct arena *arena, struct post *post)
{
	char kept[96];

	snprintf(kept, sizeof(kept), "%s/%s.%u.log", arena->dir, post->name, post->lives);
	if (post->server.log[0] && rename(post->server.log, kept) != 0)
		fail_msg("the log of %s cannot be kept", post->name);
	post->server.log[0] = 0;
}

void arena_raise(struct arena *arena, struct post *post)
{
	char listen[32];

	keep_log(arena, post);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", post->port);
	server_launch(&post->server, post->conninfo, post->name, (const char *const[]){ "--listen", listen, NULL });
	post->lives++;
}

static bool is_ready(struct arena *arena, const struct post *post, int64_t deadline_ns)
{
	struct ask *ask = http_begin(&arena->http, &post->server, "GET /readyz", NULL);
	bool ready;

	while (!http_done(ask) && clock_ns() < deadline_ns)
		;
	ready = ask->done && ask->status == 200;
	http_forget(&arena->http);
	return ready;
}

bool arena_await_well(struct arena *arena, int64_t patience_ms)
{
	int64_t deadline_ns = clock_ns() + patience_ms * 1000000;
	unsigned ready = 0;

	while (ready < arena->count && clock_ns() < deadline_ns) {
		if (is_ready(arena, &arena->posts[ready], deadline_ns))
			ready++;
		else
			places_pause(20);
	}
	while (clock_ns() < deadline_ns) {
		if (arena_true(arena,
			    "select count(*) = 1 from pg_stat_replication"
			    " where state = 'streaming' and sync_state = 'sync'"))
			return ready == arena->count;
		places_pause(20);
	}
	return false;
}

/* The first replica brings the schema, so that a breakage has something to take the place of. */
static void start_replicas(struct arena *arena, const struct breakage *breakage)
{
	if (breakage && breakage->in_server) {
		const char *broken = getenv("DEPLOY_GATED_BROKEN_BIN");

		if (!broken)
			fail_msg("DEPLOY_GATED_BROKEN_BIN is not set: it names the server that can be broken");
		setenv("DEPLOY_GATED_BIN", broken, 1);
		setenv("DEPLOY_GATED_BREAKAGE", breakage->name, 1);
	}
	for (unsigned i = 0; i < arena->count; i++) {
		arena_raise(arena, &arena->posts[i]);
		if (i > 0)
			continue;
		server_await(&arena->posts[0].server, "event=ready");
		if (breakage && breakage->sql && strcmp(arena_state(arena, "%s", breakage->sql), "00000") != 0)
			fail_msg("%s: %s", breakage->name, PQerrorMessage(arena->admin.pg));
	}
}

void arena_start(struct arena *arena, const struct arena_plan *plan)
{
	const struct breakage *breakage = plan->breakage ? breakage_called(plan->breakage) : NULL;

	if (plan->breakage && !breakage)
		fail_msg("there is no breakage called %s", plan->breakage);
	*arena = (struct arena){ .count = plan->replicas };
	places_make(arena);
	http_init(&arena->http);
	start_primary(arena);
	arena_follow(arena);
	snprintf(arena->conninfo, sizeof(arena->conninfo),
		"host=%s,%s port=%u,%u user=postgres dbname=postgres target_session_attrs=read-write connect_timeout=3",
		arena->clusters[0].dir, arena->clusters[1].dir, arena->clusters[0].port, arena->clusters[1].port);
	for (unsigned i = 0; i < arena->count; i++)
		set_post(arena, &arena->posts[i], i + 1);
	start_replicas(arena, breakage);
	if (!arena_await_well(arena, WELL_AT_START_MS))
		fail_msg("the arena does not become well");
}

void arena_stop(struct arena *arena, bool keep)
{
	for (unsigned i = 0; i < arena->count; i++) {
		struct post *post = &arena->posts[i];

		if (keep)
			keep_log(arena, post);
		server_release(&post->server);
		proxy_release(&post->way);
	}
	http_release(&arena->http);
	psql_close(&arena->admin);
	places_unmake(arena, keep);
}
