/* members: the three sessions of a replica, how each registers, and what follows when one is lost. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/log.h"
#include "config.h"
#include "gate/parts.h"
#include "gate/waiters.h"
#include "pg/batch.h"
#include "pg/cells.h"

enum { REGISTRATION_MS = 10000, AGAIN_MS = 100 };

static const char *const locks_statements[] = { "register_locks", "held_locks", "begin", "settle", "after",
	"plain_close", "plain_open", "plain_pass", "change_close", "change_pass", "change_open", "change_force_open",
	"change_renew", "change_release", "change_amend", "change_settings", "change_forget_settings", "change_attach",
	"change_renew_attached", "change_detach", "change_unclaim", "change_tick", "change_jobs_wait", "change_leave",
	"change_forget", "change_reap", NULL };
static const char *const reads_statements[] = { "register_helper", "snapshot", "outsiders", "read_gates", "read_gate",
	"read_lease", "read_attach", "read_events", "read_replicas", "read_settings", "clear_way", NULL };
static const char *const listen_statements[] = { "register_helper", "listen", NULL };

static void locks_up(struct member *);
static void listen_up(struct member *);

static const struct seat_row {
	const char *role;
	const char *const *statements;
	void (*up)(struct member *);		/* registered; may be NULL */
} seats[SEAT_COUNT] = {
	[SEAT_LOCKS] = { "locks", locks_statements, locks_up },
	[SEAT_READS] = { "reads", reads_statements, NULL },
	[SEAT_LISTEN] = { "listen", listen_statements, listen_up },
};

static void locks_up(struct member *m)
{
	batch_start(m->keeper->batch, m->number, m->locks_max);
	ticking_begin_anew(m->keeper);
	rounds_begin_anew(m->keeper);
}

/* What was announced while nobody listened is lost: all look for themselves. */
static void listen_up(struct member *m)
{
	waiters_wake(m->keeper->waiters, "*");
}

static void registration_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct member *m = container_of(flight, struct member, registration);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);

	if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
		snprintf(m->why, sizeof(m->why), "%s%s%s", result_message(result), hint ? "; " : "", hint ? hint : "");
	} else if (m->seat == SEAT_LOCKS && index == 0 && PQntuples(result) == 1) {
		m->number = cell_number(result, 0, 0, 0);
		m->locks_max = cell_number(result, 0, 2, 0);
		snprintf(m->why, sizeof(m->why), "%s", PQgetvalue(result, 0, 1));
	}
}

static void register_member(struct member *);

static void register_again(uv_timer_t *timer)
{
	struct member *m = timer->data;

	if (session_verified(m->session))
		register_member(m);
}

static void registered(struct flight *flight, bool arrived)
{
	struct member *m = container_of(flight, struct member, registration);

	if (!arrived)
		return;
	if (flight->failed) {
		session_drop(m->session, m->why);
	} else if (m->seat == SEAT_LOCKS && !m->number) {
		log_write(m->keeper->log, m->waits ? LOG_DEBUG : LOG_INFO, "session_waits", "why", m->why, NULL);
		m->waits = true;
		uv_timer_start(&m->again, register_again, AGAIN_MS, 0);
	} else {
		session_serve(m->session);
		if (seats[m->seat].up)
			seats[m->seat].up(m);
	}
}

static void register_member(struct member *m)
{
	const struct keeper *k = m->keeper;
	const char *const words[] = { seats[m->seat].role, k->replica, k->config->name, DEPLOY_GATE_VERSION, k->host };

	m->registration =
		(struct flight){ .deadline_ms = REGISTRATION_MS, .result = registration_result, .landed = registered };
	session_fly(m->session, &m->registration);
	if (m->seat == SEAT_LOCKS)
		session_add(m->session, "register_locks", 4, words + 1);
	else
		session_add(m->session, "register_helper", 5, words);
	if (m->seat == SEAT_LISTEN)
		session_add(m->session, "listen", 0, NULL);
	session_depart(m->session);
}

/* All three must speak with the same cluster on the same timeline: after a failover one may still be with the old primary. */
static void verified(void *context)
{
	struct member *m = context;
	struct keeper *k = m->keeper;

	for (int i = 0; i < SEAT_COUNT; i++) {
		struct session *sibling = k->members[i].session;

		if (session_verified(sibling) && strcmp(session_cluster(sibling), session_cluster(m->session)) != 0) {
			session_drop(sibling, "another session of this replica found a different PostgreSQL");
			session_drop(m->session, "another session of this replica found a different PostgreSQL");
			return;
		}
	}
	register_member(m);
}

static void lost(void *context)
{
	struct member *m = context;

	uv_timer_stop(&m->again);
	m->waits = false;
	if (m->seat == SEAT_LOCKS)
		batch_halt(m->keeper->batch);
	keeper_nudge(m->keeper);
}

static void notified(void *context, const char *payload, int pid)
{
	struct keeper *k = ((struct member *)context)->keeper;

	/* What this replica announced it knows already. */
	if (pid != session_pid(k->members[SEAT_LOCKS].session))
		ticking_hear(k, payload, true);
}

void members_init(struct keeper *k)
{
	for (int i = 0; i < SEAT_COUNT; i++) {
		struct member *m = &k->members[i];

		m->keeper = k;
		m->seat = i;
		m->session = session_new(k->loop,
			&(struct session_terms){ .role = seats[i].role,
				.database = k->config->database,
				.statements = seats[i].statements,
				.log = k->log,
				.context = m,
				.verified = verified,
				.lost = lost,
				.notified = notified });
		uv_timer_init(k->loop, &m->again);
		m->again.data = m;
	}
}

void members_start(struct keeper *k)
{
	for (int i = 0; i < SEAT_COUNT; i++)
		session_start(k->members[i].session);
}

void members_stop(struct keeper *k)
{
	for (int i = 0; i < SEAT_COUNT; i++) {
		session_stop(k->members[i].session);
		uv_close((uv_handle_t *)&k->members[i].again, NULL);
	}
}

void members_free(struct keeper *k)
{
	for (int i = 0; i < SEAT_COUNT; i++)
		session_free(k->members[i].session);
}
