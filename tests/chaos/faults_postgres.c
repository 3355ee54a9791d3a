/* What happens to PostgreSQL and to the sessions of the service in it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "chaos/faults.h"
#include "chaos/kinds.h"
#include "chaos/places.h"

static const char started[] = "select pg_postmaster_start_time()", my_session[] = "select pg_backend_pid()";

static void end_session(struct strike *strike)
{
	int pid = strike_backend(strike);

	arena_value(strike->arena, "select pg_terminate_backend(%d)", pid);
}

/* It has a successor. */
static bool session_was_lost(struct strike *strike)
{
	return strike->pid > 0 &&
		arena_true(strike->arena,
			"select bool_and(pid <> %d) and count(*) = 3 from deploy_gate.session where name = '%s' and "
			"ended_at is null",
			strike->pid, strike->post->name);
}

static void freeze_session(struct strike *strike)
{
	strike_freeze(strike, strike_backend(strike));
}

/* The postmaster then ends all the others, ours too. */
static void kill_backend(struct strike *strike)
{
	strike_note(strike, my_session);
	if (strike_backend(strike) > 0)
		kill(strike->pid, SIGKILL);
}

static bool all_sessions_were_lost(struct strike *strike)
{
	return strike_differs(strike, my_session);
}

static void restart(struct strike *strike)
{
	const char *how = dice_between(strike->dice, 0, 1) ? "fast" : "immediate";

	strike_say(strike, "%s", how);
	strike_note(strike, started);
	cluster_restart(arena_primary(strike->arena), how);
}

static bool was_restarted(struct strike *strike)
{
	return strike_differs(strike, started);
}

static void stop(struct strike *strike)
{
	cluster_stop(arena_primary(strike->arena), "immediate");
}

static bool is_away(struct strike *strike)
{
	return !arena_value(strike->arena, "select 1");
}

static void start(struct strike *strike)
{
	cluster_start_again(arena_primary(strike->arena));
}

static void freeze_postmaster(struct strike *strike)
{
	char path[80], line[32] = "";
	FILE *in;

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", arena_primary(strike->arena)->dir);
	in = fopen(path, "r");
	if (!in)
		return;
	if (fgets(line, sizeof(line), in))
		strike_freeze(strike, (int)strtol(line, NULL, 10));
	fclose(in);
}

/* It stands still, and nobody gets in any more. */
static bool nobody_gets_in(struct strike *strike)
{
	char conninfo[640];
	bool got_in;
	PGconn *probe;

	if (!strike_is_frozen(strike))
		return false;
	snprintf(conninfo, sizeof(conninfo), "%s connect_timeout=2", arena_primary(strike->arena)->db.conninfo);
	probe = PQconnectdb(conninfo);
	got_in = PQstatus(probe) == CONNECTION_OK;
	PQfinish(probe);
	return !got_in;
}

static void promote(struct strike *strike)
{
	strike_note(strike, "select deploy_gate.timeline()");
	cluster_stop(arena_primary(strike->arena), "immediate");
	psql_close(&strike->arena->admin);
	strike->arena->primary = 1 - strike->arena->primary;
	arena_value(strike->arena, "select 1 from pg_promote()");
}

static bool was_promoted(struct strike *strike)
{
	return arena_true(
		strike->arena, "select deploy_gate.timeline() > %s where not pg_is_in_recovery()", strike->before);
}

static void follow(struct strike *strike)
{
	arena_follow(strike->arena);
}

static void stop_standby(struct strike *strike)
{
	cluster_stop(arena_standby(strike->arena), "fast");
}

static bool commits_wait(struct strike *strike)
{
	return arena_true(strike->arena,
		"select exists (select from pg_stat_activity where wait_event = 'SyncRep' and application_name like"
		" 'deploy-gated/%%')");
}

static void start_standby(struct strike *strike)
{
	cluster_start_again(arena_standby(strike->arena));
}

static void take_all_locks(struct strike *strike)
{
	arena_value(strike->arena, "select pg_advisory_lock(key) from generate_series(1, 100000) key");
}

static bool no_lock_is_left(struct strike *strike)
{
	return strcmp(arena_state(
			      strike->arena, "select pg_advisory_lock(key) from generate_series(100000, 200000) key"),
		       "53200") == 0;
}

static void give_locks_back(struct strike *strike)
{
	psql_close(&strike->arena->admin);
}

static bool has_disks(const struct arena *arena)
{
	return arena->has_disks;
}

static void fill(struct strike *strike)
{
	places_fill(arena_primary(strike->arena));
}

/* Nothing can be stored: or it was tried, and PostgreSQL went down over it. */
static bool nothing_is_stored(struct strike *strike)
{
	const char *state = arena_state(strike->arena,
		"create table public.arena_%d as select repeat('x', 1000) from generate_series(1, 50000)",
		dice_between(strike->dice, 0, 1000000));

	strike_say(strike, "%s", state);
	return strcmp(state, "53100") == 0 || strcmp(state, "lost") == 0;
}

static void empty(struct strike *strike)
{
	places_empty(arena_primary(strike->arena));
	cluster_start_again(arena_primary(strike->arena));
}

/* To the database a step of its clock looks as if all it has stored had moved the other way. */
static void step_clock(struct strike *strike)
{
	int by_s = dice_between(strike->dice, 6, 600) * (dice_between(strike->dice, 0, 1) ? 1 : -1);

	strike_say(strike, "by %d s", by_s);
	strike_note(strike, "select serving_since from deploy_gate.service");
	arena_value(strike->arena,
		"begin; select from deploy_gate.service for update;"
		"update deploy_gate.service set stamped_at = stamped_at - interval '%d s',"
		" serving_since = serving_since - interval '%d s';"
		"select deploy_gate.shift_clocks(- interval '%d s'); commit",
		by_s, by_s, by_s);
}

/* The service has seen it, and moved all back. */
static bool clock_was_seen(struct strike *strike)
{
	return arena_true(strike->arena,
		"select serving_since > '%s'::timestamptz and abs(extract(epoch from clock_timestamp() - stamped_at)) "
		"< 5"
		" from deploy_gate.service",
		strike->before);
}

const struct fault postgres_faults[] = {
	{ "session-ends", "a session of a replica is terminated", NULL, end_session, session_was_lost, NULL, 0, 0,
		false },
	{ "session-hangs", "a backend of a replica stands still", NULL, freeze_session, strike_is_frozen, strike_thaw,
		500, 7000, false },
	{ "backend-dies", "KILL to a backend: PostgreSQL restarts all of them", NULL, kill_backend,
		all_sessions_were_lost, NULL, 0, 0, true },
	{ "restart", "PostgreSQL is restarted, fast or immediate", NULL, restart, was_restarted, NULL, 0, 0, true },
	{ "outage", "PostgreSQL is away", NULL, stop, is_away, start, 1000, 9000, true },
	{ "postmaster-hangs", "the postmaster stands still: nobody can connect", NULL, freeze_postmaster,
		nobody_gets_in, strike_thaw, 0, 4000, false },
	{ "failover", "the primary is lost and its standby promoted", NULL, promote, was_promoted, follow, 0, 0, true },
	{ "standby-away", "the synchronous standby is away: commits wait", NULL, stop_standby, commits_wait,
		start_standby, 500, 6000, true },
	{ "locks-full", "somebody takes every lock that PostgreSQL has", NULL, take_all_locks, no_lock_is_left,
		give_locks_back, 200, 3000, true },
	{ "disk-full", "the disk of the primary is full", has_disks, fill, nothing_is_stored, empty, 200, 3000, true },
	{ "clock-steps", "the clock of the database steps, forward or back", NULL, step_clock, clock_was_seen, NULL, 0,
		0, false },
	{ .name = NULL },
};
