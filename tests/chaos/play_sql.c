/* Those who are in the database already: questions, jobs and deploys in plain SQL, plain locks, and fences. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/die.h"
#include "chaos/player.h"

enum { SQL_SIZE = 512, SHORT_MS = 3000, LOOKS_MAX = 200 };

static void be_quiet(void *context, const PGresult *notice)
{
	(void)context, (void)notice;
}

static void leave_session(struct player *player)
{
	PQfinish(player->pg);
	player->pg = NULL;
}

/* Waits for the result of what was sent; NULL where it does not come in time. */
static PGresult *await_result(PGconn *pg, int64_t deadline_ns)
{
	PGresult *last = NULL, *next;

	for (;;) {
		int64_t left_ns = deadline_ns - history_now();
		struct pollfd socket = { .fd = PQsocket(pg), .events = POLLIN };

		if (!PQisBusy(pg)) {
			next = PQgetResult(pg);
			if (!next)
				return last;
			PQclear(last);
			last = next;
		} else if (left_ns <= 0 || poll(&socket, 1, (int)(left_ns / MS) + 1) < 0 || !PQconsumeInput(pg)) {
			PQclear(last);
			return NULL;
		}
	}
}

static bool run(struct player *player, struct statement *statement)
{
	PGresult *result = NULL;
	const char *state;
	bool good;

	if (PQsendQuery(player->pg, statement->sql))
		result = await_result(player->pg, history_now() + statement->patience_ms * MS);
	good = PQresultStatus(result) == PGRES_TUPLES_OK || PQresultStatus(result) == PGRES_COMMAND_OK;
	state = good ? "00000" : PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(statement->state, STATE_SIZE, "%s", state && PQstatus(player->pg) == CONNECTION_OK ? state : "lost");
	snprintf(statement->value, VALUE_SIZE, "%s", good && PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	if (strcmp(statement->state, "lost") == 0)
		leave_session(player);
	PQclear(result);
	return good;
}

/* Connects where there is no session; whether there is one then. */
static bool have_session(struct player *player)
{
	struct statement who = { .sql = "select format('pid = %s and backend_start = %L', pid, backend_start)"
					" from pg_stat_activity where pid = pg_backend_pid()",
		.patience_ms = SHORT_MS };

	if (player->pg)
		return true;
	player->pg = or_die(PQconnectdb(player->crew->arena->conninfo));
	PQsetNoticeReceiver(player->pg, be_quiet, NULL);
	if (PQstatus(player->pg) != CONNECTION_OK || !run(player, &who)) {
		leave_session(player);
		return false;
	}
	snprintf(player->backend, sizeof(player->backend), "%.*s", (int)sizeof(player->backend) - 1, who.value);
	return true;
}

bool player_run(struct player *player, struct statement *statement)
{
	if (have_session(player))
		return run(player, statement);
	snprintf(statement->state, STATE_SIZE, "lost");
	return false;
}

/* What an error means. Whatever comes of a session or a cluster that dies leaves it unknown. */
static enum answer failure(const struct op *op, const char *state)
{
	static const char *const passing[] = { "lost", "08", "57", "53", "25006", "40", "58" };

	if (strcmp(state, "55P03") == 0)
		return op->verb == VERB_WAIT_OPEN ? ANSWER_SHUT : ANSWER_REFUSED;
	if (strcmp(state, "55000") == 0 && op->verb == VERB_ASSERT)
		return ANSWER_ENDED;
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
		if (strncmp(state, passing[i], strlen(passing[i])) == 0)
			return ANSWER_UNKNOWN;
	return ANSWER_ODD;
}

/* What a success means: of most a boolean, where "no" is another thing each time. */
static enum answer success(const struct op *op, const char *value)
{
	bool yes = value[0] == 't' || value[0] == '\0';

	switch (op->verb) {
	case VERB_IS_OPEN:
	case VERB_WAIT_OPEN:
		return yes ? ANSWER_OPEN : ANSWER_SHUT;
	case VERB_OPEN:
	case VERB_RELEASE:
		return yes ? ANSWER_ENDED : ANSWER_MISSING;
	case VERB_LOOK:
		return yes ? ANSWER_ENDED : ANSWER_UNKNOWN;
	default:
		return yes ? ANSWER_LIVE : ANSWER_REFUSED;
	}
}

static enum answer ask(struct player *player, struct op *op, int patience_ms, const char *sql)
{
	struct statement statement = { .sql = sql, .patience_ms = patience_ms };
	enum answer answer;

	player_call(player, op);
	if (player_run(player, &statement))
		answer = success(op, statement.value);
	else
		answer = failure(op, statement.state);
	if (answer == ANSWER_ODD)
		op->code = strtoll(statement.state, NULL, 36);
	player_done(player, op, answer);
	return answer;
}

static void ask_open(struct player *player, bool waits)
{
	struct op op = { .verb = waits ? VERB_WAIT_OPEN : VERB_IS_OPEN };
	int wait_ms = player_between(player, 100, 4000);
	char sql[SQL_SIZE];

	snprintf(op.gates, sizeof(op.gates), "%s", player_gate(player));
	if (waits)
		snprintf(sql, sizeof(sql), "call deploy_gate.wait_open('%s', '%d ms')", op.gates, wait_ms);
	else
		snprintf(sql, sizeof(sql), "select deploy_gate.is_open('%s')", op.gates);
	ask(player, &op, wait_ms + SHORT_MS, sql);
}

/* What a session can hold, and how: what stands before the gate's name, and behind it, there with the time to wait. */
struct grip {
	enum verb verb, end;
	const char *take, *behind, *let_go;
	bool waits;
};

static const struct grip grips[] = {
	{ VERB_ENTER, VERB_RELEASE, "call deploy_gate.enter(", "", "select deploy_gate.leave(", true },
	{ VERB_ENTER, VERB_RELEASE, "call deploy_gate.enter(", "", "select deploy_gate.leave(", true },
	{ VERB_CLOSE_HERE, VERB_OPEN, "call deploy_gate.close_here(", ", 'chaos'", "select deploy_gate.open_here(",
		true },
	{ VERB_LOCK, VERB_RELEASE, "select pg_try_advisory_lock(deploy_gate.key(", ")",
		"select pg_advisory_unlock(deploy_gate.key(", false },
	{ VERB_LOCK_SHARED, VERB_RELEASE, "select pg_try_advisory_lock_shared(deploy_gate.key(", ")",
		"select pg_advisory_unlock_shared(deploy_gate.key(", false },
};

/* A session that was lost: its backend may still be there, and hold what it held. Looks until it is gone. */
static void watch_backend(struct player *player, const struct op *grip, const char *backend)
{
	struct op look = { .verb = VERB_LOOK };
	char sql[SQL_SIZE];

	memcpy(look.lease, grip->lease, sizeof(look.lease));
	snprintf(sql, sizeof(sql), "select not exists (select from pg_stat_activity where %s)", backend);
	for (int looks = 0; looks < LOOKS_MAX && !player_is_done(player); looks++) {
		if (ask(player, &look, SHORT_MS, sql) == ANSWER_ENDED)
			return;
		player_pause(player, 100, 500);
	}
}

/* The session is asked now and then whether it still lives: as long as it does it has what it had. */
static void hold_on(struct player *player, const struct grip *grip, const struct op *had)
{
	struct op again = *had, end = *had;
	char sql[SQL_SIZE];

	again.verb = VERB_RENEW;
	end.verb = grip->end;
	for (int steps = player_between(player, 0, 4); steps; steps--) {
		player_pause(player, 10, 250);
		if (!player->pg || ask(player, &again, SHORT_MS, "select true") != ANSWER_LIVE)
			return;
	}
	if (player_chance(player, 10)) {
		leave_session(player);
		return;
	}
	snprintf(sql, sizeof(sql), "%s'%s'%s)", grip->let_go, had->gates, grip->waits ? "" : ")");
	if (ask(player, &end, SHORT_MS, sql) != ANSWER_ENDED)
		leave_session(player);
}

static void take_hold(struct player *player)
{
	const struct grip *grip = &grips[player_between(player, 0, (int)(sizeof(grips) / sizeof(grips[0])) - 1)];
	struct op op = { .verb = grip->verb };
	int wait_ms = player_between(player, 100, 3000);
	char sql[SQL_SIZE], wait[32] = "", backend[sizeof(player->backend)];

	if (!have_session(player))
		return;
	memcpy(backend, player->backend, sizeof(backend));
	op.wait_ms = grip->waits ? wait_ms : 0;
	snprintf(op.gates, sizeof(op.gates), "%s", player_gate(player));
	snprintf(op.lease, sizeof(op.lease), "sql-%u-%lld", player->index, player->numbers);
	if (grip->waits)
		snprintf(wait, sizeof(wait), ", '%d ms'", wait_ms);
	snprintf(sql, sizeof(sql), "%s'%s'%s%s)", grip->take, op.gates, grip->behind, wait);
	switch (ask(player, &op, wait_ms + SHORT_MS, sql)) {
	case ANSWER_LIVE:
		hold_on(player, grip, &op);
		break;
	case ANSWER_REFUSED:
		break;
	default:
		leave_session(player);
	}
	if (!player->pg)
		watch_backend(player, &op, backend);
}

/* A fence that a window has now, and a little later whether it still has it. */
static void ask_fence(struct player *player)
{
	struct statement find = { .sql = "select format('%s %s %s', id, gates[1], fence) from deploy_gate.lease"
					 " where kind = 'window' and state = 'closed' order by random() limit 1",
		.patience_ms = SHORT_MS };
	struct op op = { .verb = VERB_ASSERT };
	char sql[SQL_SIZE], *gate, *fence;

	if (!player_run(player, &find) || !(gate = strchr(find.value, ' ')) || !(fence = strchr(gate + 1, ' ')))
		return;
	*gate++ = *fence++ = '\0';
	player_pause(player, 0, 600);
	op.fence = strtoll(fence, NULL, 10);
	snprintf(op.lease, sizeof(op.lease), "%.*s", MARK_SIZE - 1, find.value);
	snprintf(op.gates, sizeof(op.gates), "%.*s", GATES_SIZE - 1, gate);
	snprintf(sql, sizeof(sql), "select deploy_gate.assert_fence('%s', %s)", op.gates, fence);
	ask(player, &op, SHORT_MS, sql);
}

void play_sql(struct player *player)
{
	player_pause(player, 10, 400);
	switch (player_between(player, 0, 9)) {
	case 0:
	case 1:
	case 2:
		ask_open(player, false);
		break;
	case 3:
	case 4:
		ask_open(player, true);
		break;
	case 5:
		ask_fence(player);
		break;
	default:
		take_hold(player);
	}
}
