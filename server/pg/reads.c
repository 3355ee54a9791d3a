#include "pg/reads.h"

#include <libpq-fe.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "pg/cells.h"
#include "pg/session.h"

enum { DEADLINE_MS = 10000 };

struct reads {
	struct session *session;
	const struct log *log;
	struct read *first, **last;	/* the first is in flight, if one is */
	bool in_flight;
	struct flight flight;
	enum outcome outcome;
	char *body;
};

struct reads *reads_new(struct session *session, const struct log *log)
{
	struct reads *r = or_die(calloc(1, sizeof(*r)));

	r->session = session;
	r->log = log;
	r->last = &r->first;
	return r;
}

void reads_free(struct reads *r)
{
	free(r);
}

void reads_add(struct reads *r, struct read *read)
{
	read->next = NULL;
	*r->last = read;
	r->last = &read->next;
}

static void finish(struct reads *r, enum outcome outcome)
{
	struct read *read = r->first;
	char *body = r->body;

	r->body = NULL;
	r->in_flight = false;
	r->first = read->next;
	if (!r->first)
		r->last = &r->first;
	read->done(read, outcome, body);
	free(body);
}

static void read_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct reads *r = container_of(flight, struct reads, flight);

	(void)index;
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1) {
		log_write(r->log, LOG_ERROR, "read_failed", "statement", r->first->statement, "sqlstate",
			result_sqlstate(result), "why", result_message(result), NULL);
		/* Class 53: it has not enough of something, for a while. */
		r->outcome = strncmp(result_sqlstate(result), "53", 2) == 0 ? OUTCOME_UNAVAILABLE : OUTCOME_INTERNAL;
		return;
	}
	r->outcome = outcome_of_word(cell_text(result, 0, 0));
	r->body = cell_copy(result, 0, 1);
}

static void read_landed(struct flight *flight, bool arrived)
{
	struct reads *r = container_of(flight, struct reads, flight);

	finish(r, arrived ? r->outcome : OUTCOME_UNAVAILABLE);
	reads_send(r);
}

void reads_send(struct reads *r)
{
	if (!r->first || r->in_flight)
		return;
	if (!session_serves(r->session)) {
		while (r->first)
			finish(r, OUTCOME_UNAVAILABLE);
		return;
	}
	r->in_flight = true;
	r->outcome = OUTCOME_UNAVAILABLE;
	r->flight = (struct flight){ .deadline_ms = DEADLINE_MS, .result = read_result, .landed = read_landed };
	session_fly(r->session, &r->flight);
	session_add(r->session, r->first->statement, 1, &r->first->request);
	session_depart(r->session);
}
