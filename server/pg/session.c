#include "pg/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "pg/cells.h"
#include "pg/dial.h"
#include "pg/socket.h"
#include "pg/verify.h"

enum {
	DIAL_MS = 10000,
	GREET_MS = 10000 /* to verify, and to prepare the last statement */
};

enum session_state { SESSION_RESTING, SESSION_DIALLING, SESSION_VERIFYING, SESSION_VERIFIED, SESSION_STOPPED };

struct session {
	struct session_terms terms;
	struct uv_loop_s *loop;
	enum session_state state;
	bool serves, dropped;
	PGconn *connection;
	uv_poll_t *poll;		/* on the connection's socket, NULL without */
	uv_timer_t timer;		/* next attempt, or the deadline of what is under way */
	struct dial *dial;
	struct flight *first, **last;	/* under way, oldest first */
	struct flight *boarding;
	struct flight greeting;		/* verifies and prepares */
	unsigned failures;		/* attempts since it last served */
	char name[64];			/* application_name */
	char why[SESSION_WHY_MAX];
	char cluster[VERIFY_CLUSTER_MAX];
};

static void attempt(uv_timer_t *);
static void on_socket(uv_poll_t *, int status, int events);

struct session *session_new(struct uv_loop_s *loop, const struct session_terms *terms)
{
	struct session *s = or_die(calloc(1, sizeof(*s)));

	s->terms = *terms;
	s->loop = loop;
	s->last = &s->first;
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	snprintf(s->name, sizeof(s->name), "deploy-gated/%s", terms->role);
	snprintf(s->why, sizeof(s->why), "not connected yet");
	return s;
}

void session_start(struct session *s)
{
	uv_timer_start(&s->timer, attempt, 0, 0);
}

void session_free(struct session *s)
{
	free(s);
}

/* Losing it. */

static void land(struct session *s, bool arrived)
{
	struct flight *flight = s->first;

	s->first = flight->next;
	/* The time of the next begins now: it could not go on before. */
	if (s->first)
		s->first->due_ms = uv_now(s->loop) + s->first->deadline_ms;
	else
		s->last = &s->first;
	flight->landed(flight, arrived);
}

static void lose(struct session *s, const char *why)
{
	bool told = s->state == SESSION_VERIFIED;

	/* What failed first is why; what it leads to is not news. */
	log_write(s->terms.log, told || s->failures < 3 ? LOG_WARN : LOG_DEBUG, "session_lost", "role", s->terms.role,
		"why", why, NULL);
	if (why != s->why)
		snprintf(s->why, sizeof(s->why), "%.*s", SESSION_WHY_MAX - 1, why);
	s->state = SESSION_RESTING;
	s->serves = s->dropped = false;
	socket_unwatch(&s->poll);
	PQfinish(s->connection);
	s->connection = NULL;
	while (s->first)
		land(s, false);
	uv_timer_start(&s->timer, attempt, dial_pause_ms(s->failures++), 0);
	if (told)
		s->terms.lost(s->terms.context);
}

static void lose_dropped(uv_timer_t *timer)
{
	struct session *s = timer->data;

	lose(s, s->why);
}

void session_drop(struct session *s, const char *why)
{
	if (s->state < SESSION_VERIFYING || s->state == SESSION_STOPPED)
		return;
	/* A message of libpq ends in a line break, and the first line says it. */
	snprintf(s->why, sizeof(s->why), "%.*s", (int)strcspn(why, "\n"), why);
	s->serves = false;
	s->dropped = true;
	/* libpq may have closed it, and its number may soon be somebody else's. */
	if (PQsocket(s->connection) < 0)
		socket_unwatch(&s->poll);
	uv_timer_start(&s->timer, lose_dropped, 0, 0);
}

static void lose_connection(struct session *s)
{
	struct fault fault;

	verify_explain_failure(s->connection, &fault);
	lose(s, fault.detail);
}

static void overdue(uv_timer_t *);

static void watch_deadline(struct session *s)
{
	uint64_t now = uv_now(s->loop);

	if (s->dropped)
		return;
	if (s->first)
		uv_timer_start(&s->timer, overdue, s->first->due_ms > now ? s->first->due_ms - now : 0, 0);
	else
		uv_timer_stop(&s->timer);
}

static void overdue(uv_timer_t *timer)
{
	struct session *s = timer->data;
	struct flight *flight = s->first;
	uint64_t more_ms = flight->overdue ? flight->overdue(flight) : 0;

	flight->due_ms = uv_now(s->loop) + more_ms;
	if (more_ms)
		watch_deadline(s);
	else
		lose(s, "no answer from PostgreSQL within the deadline");
}

/* Flights. */

void session_fly(struct session *s, struct flight *flight)
{
	flight->next = NULL;
	flight->statements = flight->results = 0;
	flight->failed = false;
	flight->due_ms = uv_now(s->loop) + flight->deadline_ms;
	s->boarding = flight;
}

void session_add(struct session *s, const char *statement, int count, const char *const *values)
{
	if (!PQsendQueryPrepared(s->connection, statement, count, values, NULL, NULL, 0))
		session_drop(s, PQerrorMessage(s->connection));
	s->boarding->statements++;
}

static void flush(struct session *s)
{
	int left = PQflush(s->connection);

	/* A write that meets the end of the connection, here or before, closes the socket: no event will ever tell. */
	if (left < 0 || PQstatus(s->connection) == CONNECTION_BAD)
		session_drop(s, PQerrorMessage(s->connection));
	else
		socket_watch(s->loop, &s->poll, PQsocket(s->connection), left ? UV_READABLE | UV_WRITABLE : UV_READABLE,
			on_socket, s);
}

void session_depart(struct session *s)
{
	bool only = !s->first;

	PQpipelineSync(s->connection);
	*s->last = s->boarding;
	s->last = &s->boarding->next;
	s->boarding = NULL;
	flush(s);
	if (only)
		watch_deadline(s);
}

/* Hands on what has arrived. A result may make the owner drop the session: the loop goes on, for the drop comes from a timer. */
static void read_results(struct session *s)
{
	for (int blanks = 0; s->first && blanks < 2 && !PQisBusy(s->connection);) {
		PGresult *result = PQgetResult(s->connection);
		ExecStatusType status = PQresultStatus(result);
		struct flight *flight = s->first;

		if (result && status == PGRES_PIPELINE_SYNC) {
			/* What came with a doubt is not known to have come. */
			land(s, !s->dropped);
			if (s->state >= SESSION_VERIFYING)
				watch_deadline(s);
		} else if (result) {
			flight->failed |= status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED;
			flight->result(flight, flight->results++, result);
		}
		/* One blank ends a statement's results; two in a row, and there is nothing to come. */
		blanks = result ? 0 : blanks + 1;
		PQclear(result);
	}
}

static void read_notifications(struct session *s)
{
	PGnotify *notification;

	while ((notification = PQnotifies(s->connection))) {
		if (s->terms.notified)
			s->terms.notified(s->terms.context, notification->extra, notification->be_pid);
		PQfreemem(notification);
	}
}

/* Connecting. */

static void greet_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct session *s = container_of(flight, struct session, greeting);
	struct fault fault;

	if (index == 0) {
		if (verify_judge(s->connection, result, s->cluster, &fault) != OUTCOME_OK)
			session_drop(s, fault.detail);
	} else if (PQresultStatus(result) == PGRES_FATAL_ERROR) {
		session_drop(s, PQresultErrorMessage(result));
	}
}

static void greeted(struct flight *flight, bool arrived)
{
	struct session *s = container_of(flight, struct session, greeting);

	if (!arrived || flight->failed || !*s->cluster)
		return;
	s->state = SESSION_VERIFIED;
	s->terms.verified(s->terms.context);
}

/* The first flight: look, then prepare everything. */
static void greet(struct session *s)
{
	s->state = SESSION_VERIFYING;
	*s->cluster = 0;
	PQsetnonblocking(s->connection, 1);
	PQenterPipelineMode(s->connection);
	s->greeting = (struct flight){ .deadline_ms = GREET_MS, .result = greet_result, .landed = greeted };
	session_fly(s, &s->greeting);
	PQsendQueryParams(s->connection, query_text("verify"), 0, NULL, NULL, NULL, NULL, 0);
	s->greeting.statements++;
	for (const char *const *name = s->terms.statements; *name; name++) {
		PQsendPrepare(s->connection, *name, query_text(*name), 0, NULL);
		s->greeting.statements++;
	}
	session_depart(s);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct session *s = poll->data;

	/* An error of the socket comes without events, and only reading tells libpq of it. */
	if (status < 0 || events & UV_READABLE) {
		bool broken = !PQconsumeInput(s->connection);

		read_results(s);
		read_notifications(s);
		if (broken || PQstatus(s->connection) == CONNECTION_BAD) {
			lose_connection(s);
			return;
		}
	}
	if (s->poll)
		flush(s);
}

/* Messages come in many languages, the places in the source do not. */
static void hear_notice(void *context, const PGresult *result)
{
	struct session *s = context;
	const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);

	/* The commit came back, but perhaps it is not on the standby: that is not known, so nothing may be said of it. */
	if (function && strcmp(function, "SyncRepWaitForLSN") == 0)
		session_drop(s, "a commit may not have been replicated");
}

static void dialled(void *context, PGconn *connection, const char *why)
{
	struct session *s = context;

	s->dial = NULL;
	if (!connection) {
		lose(s, why);
		return;
	}
	s->connection = connection;
	PQsetNoticeReceiver(connection, hear_notice, s);
	greet(s);
}

static void attempt_overdue(uv_timer_t *timer)
{
	struct session *s = timer->data;

	if (s->dial)
		dial_cancel(s->dial);
	s->dial = NULL;
	lose(s, "PostgreSQL did not take the connection within the deadline");
}

static void attempt(uv_timer_t *timer)
{
	struct session *s = timer->data;

	s->state = SESSION_DIALLING;
	uv_timer_start(&s->timer, attempt_overdue, DIAL_MS, 0);
	s->dial = dial_start(s->loop,
		&(struct dial_terms){ .database = s->terms.database, .name = s->name, .context = s, .done = dialled });
}

/* The owner's view. */

void session_serve(struct session *s)
{
	s->serves = true;
	s->failures = 0;
	*s->why = 0;
	log_write(s->terms.log, LOG_INFO, "session_up", "role", s->terms.role, "pid", LOG_NUMBER(session_pid(s)), NULL);
}

bool session_verified(const struct session *s)
{
	return s->state == SESSION_VERIFIED;
}

bool session_serves(const struct session *s)
{
	return s->serves;
}

const char *session_why(const struct session *s)
{
	return s->why;
}

int session_pid(const struct session *s)
{
	return s->connection ? PQbackendPID(s->connection) : 0;
}

const char *session_cluster(const struct session *s)
{
	return s->cluster;
}

void session_stop(struct session *s)
{
	if (s->dial)
		dial_cancel(s->dial);
	socket_unwatch(&s->poll);
	PQfinish(s->connection);
	s->connection = NULL;
	s->state = SESSION_STOPPED;
	s->serves = false;
	while (s->first)
		land(s, false);
	uv_close((uv_handle_t *)&s->timer, NULL);
}
