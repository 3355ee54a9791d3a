#include "pg/snapshot.h"

#include <libpq-fe.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "base/names.h"
#include "pg/cells.h"
#include "pg/session.h"
#include "pg/sights.h"

enum { DEADLINE_MS = 5000 };

struct looks {
	struct look *first, **last;
};

struct snapshot {
	struct session *session;
	const struct log *log;
	void (*more)(void *);
	void *context;
	struct looks waiting, aboard;
	struct sights sights;		/* of the gates of those aboard */
	bool in_flight;
	struct flight flight, inquiry;	/* the snapshot, and who is in the way where a probe failed */
};

static void looks_init(struct looks *list)
{
	list->first = NULL;
	list->last = &list->first;
}

static void looks_add(struct looks *list, struct look *look)
{
	look->next = NULL;
	*list->last = look;
	list->last = &look->next;
}

struct snapshot *snapshot_new(struct session *session, const struct log *log, void (*more)(void *), void *context)
{
	struct snapshot *s = or_die(calloc(1, sizeof(*s)));

	s->session = session;
	s->log = log;
	s->more = more;
	s->context = context;
	looks_init(&s->waiting);
	looks_init(&s->aboard);
	return s;
}

void snapshot_free(struct snapshot *s)
{
	sights_release(&s->sights);
	free(s);
}

void snapshot_join(struct snapshot *s, struct look *look)
{
	looks_add(&s->waiting, look);
}

/* Whole looks only: a set of gates has to be open at one instant. */
static void board(struct snapshot *s)
{
	while (s->waiting.first && sights_fit(&s->sights, s->waiting.first->gates->count)) {
		struct look *look = s->waiting.first;

		s->waiting.first = look->next;
		looks_add(&s->aboard, look);
		for (unsigned i = 0; i < look->gates->count; i++)
			sights_want(&s->sights, gates_name(look->gates, i), look->facts);
	}
	if (!s->waiting.first)
		looks_init(&s->waiting);
}

static void show(const struct snapshot *s, struct look *look)
{
	const struct sight *sights[GATES_MAX];

	for (unsigned i = 0; i < look->gates->count; i++)
		sights[i] = sights_find(&s->sights, gates_name(look->gates, i));
	look->seen(look, sights);
}

static void hand_out(struct snapshot *s, bool seen)
{
	for (struct look *look = s->aboard.first, *next; look; look = next) {
		next = look->next;
		if (seen)
			show(s, look);
		else
			look->seen(look, NULL);
	}
	looks_init(&s->aboard);
	sights_forget(&s->sights);
	s->in_flight = false;
	if (s->waiting.first)
		s->more(s->context);
}

/* Who is in the way. */

static void inquiry_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct snapshot *s = container_of(flight, struct snapshot, inquiry);

	(void)index;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		sights_note_blocked(&s->sights, result);
}

static void inquiry_landed(struct flight *flight, bool arrived)
{
	hand_out(container_of(flight, struct snapshot, inquiry), arrived && !flight->failed);
}

static void inquire(struct snapshot *s, const char *names)
{
	s->inquiry = (struct flight){ .deadline_ms = DEADLINE_MS, .result = inquiry_result, .landed = inquiry_landed };
	session_fly(s->session, &s->inquiry);
	session_add(s->session, "outsiders", 1, &names);
	session_depart(s->session);
}

/* The snapshot. */

static void snapshot_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct snapshot *s = container_of(flight, struct snapshot, flight);

	(void)index;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		sights_note(&s->sights, result);
	else
		log_write(s->log, LOG_ERROR, "snapshot_failed", "sqlstate", result_sqlstate(result), "why",
			result_message(result), NULL);
}

static void snapshot_landed(struct flight *flight, bool arrived)
{
	struct snapshot *s = container_of(flight, struct snapshot, flight);
	bool seen = arrived && !flight->failed;
	const char *blocked = seen ? sights_ask_blocked(&s->sights) : NULL;

	if (blocked)
		inquire(s, blocked);
	else
		hand_out(s, seen);
}

static void depart(struct snapshot *s)
{
	const char *parameters[3];

	sights_ask(&s->sights, parameters);
	s->flight = (struct flight){ .deadline_ms = DEADLINE_MS, .result = snapshot_result, .landed = snapshot_landed };
	session_fly(s->session, &s->flight);
	session_add(s->session, "snapshot", 3, parameters);
	session_depart(s->session);
}

void snapshot_send(struct snapshot *s)
{
	while (s->waiting.first && !s->in_flight) {
		board(s);
		s->in_flight = true;
		if (session_serves(s->session))
			depart(s);
		else
			hand_out(s, false);
	}
}
