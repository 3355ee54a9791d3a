#include "pg/dial.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uv.h>

#include "base/die.h"
#include "pg/resolve.h"
#include "pg/socket.h"
#include "pg/verify.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_LAST_MS = 800 };

struct dial {
	struct dial_terms terms;
	struct uv_loop_s *loop;
	struct resolve *resolve; /* while it looks hosts up */
	PGconn *connection;
	uv_poll_t *poll;     /* on the connection's socket */
	uv_timer_t *failure; /* for what fails before there is anything to wait for */
	char *why;
};

static void free_handle(uv_handle_t *handle)
{
	free(handle);
}

static void dial_free(struct dial *d)
{
	socket_unwatch(&d->poll);
	if (d->failure)
		uv_close((uv_handle_t *)d->failure, free_handle);
	PQfinish(d->connection);
	free(d->why);
	free(d);
}

static void finish(struct dial *d, const char *why)
{
	PGconn *connection = why ? NULL : d->connection;

	if (connection)
		d->connection = NULL;
	socket_unwatch(&d->poll);
	d->terms.done(d->terms.context, connection, why);
	dial_free(d);
}

static void finish_failed(struct dial *d)
{
	struct fault fault;

	verify_explain_failure(d->connection, &fault);
	finish(d, fault.detail);
}

static void fail_by_timer(uv_timer_t *timer)
{
	struct dial *d = timer->data;

	finish(d, d->why);
}

static void go_on(uv_poll_t *, int status, int events);

static void watch(struct dial *d, int events)
{
	socket_watch(d->loop, &d->poll, PQsocket(d->connection), events, go_on, d);
}

static void go_on(uv_poll_t *poll, int status, int events)
{
	struct dial *d = poll->data;
	PostgresPollingStatusType next;

	(void)status;
	(void)events;
	/* libpq may close one socket and open another of the same number: the loop must not watch meanwhile. */
	socket_unwatch(&d->poll);
	next = PQconnectPoll(d->connection);
	if (next == PGRES_POLLING_FAILED)
		finish_failed(d);
	else if (next == PGRES_POLLING_OK)
		finish(d, NULL);
	else
		watch(d, next == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE);
}

static void found(void *context, const struct endpoints *e, const char *why)
{
	struct dial *d = context;
	bool listed = *e->host, several = strchr(d->terms.database, ',') || strchr(e->host, ',');
	const char *const keys[] = { "dbname", "application_name", "options", "keepalives_idle", "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", several ? "target_session_attrs" : "keepalives",
		listed ? "host" : NULL, "hostaddr", "port", NULL };
	const char *const values[] = { d->terms.database, d->terms.name, verify_options, "5", "2", "3", "10000",
		several ? "read-write" : "1", e->host, e->hostaddr, e->port, NULL };

	d->resolve = NULL;
	if (why) {
		finish(d, why);
		return;
	}
	d->connection = or_die(PQconnectStartParams(keys, values, 1));
	if (PQstatus(d->connection) == CONNECTION_BAD)
		finish_failed(d);
	else
		watch(d, UV_WRITABLE);
}

struct dial *dial_start(struct uv_loop_s *loop, const struct dial_terms *terms)
{
	struct dial *d = or_die(calloc(1, sizeof(*d)));
	char *malformed = NULL;

	d->terms = *terms;
	d->loop = loop;
	d->resolve = resolve_start(loop, terms->database, d, found, &malformed);
	if (d->resolve)
		return d;
	d->why = or_die(strdup(malformed ? malformed : "the database setting is malformed"));
	PQfreemem(malformed);
	d->failure = or_die(calloc(1, sizeof(*d->failure)));
	d->failure->data = d;
	uv_timer_init(loop, d->failure);
	uv_timer_start(d->failure, fail_by_timer, 0, 0);
	return d;
}

void dial_cancel(struct dial *d)
{
	if (d->resolve)
		resolve_cancel(d->resolve);
	dial_free(d);
}

uint64_t dial_pause_ms(unsigned failures)
{
	uint64_t most = failures > 5 ? BACKOFF_LAST_MS : (uint64_t)BACKOFF_FIRST_MS << failures;
	uint16_t jitter = 0;

	(void)!getrandom(&jitter, sizeof(jitter), 0);
	return most / 2 + jitter % (most / 2 + 1);
}
