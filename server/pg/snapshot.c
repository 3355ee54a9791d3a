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

enum { DEADLINE_MS = 5000, TRIPS = 2 };

struct looks {
	struct look *first, **last;
};

/* One snapshot on its way to PostgreSQL and back. */
struct trip {
	struct snapshot *snapshot;
	bool under_way;
	struct looks aboard;
	struct sights sights;		/* of their gates */
	struct flight flight, inquiry;	/* the snapshot, and who is in the way where a probe failed */
};

struct snapshot {
	struct session *session;
	const struct log *log;
	void (*more)(void *);
	void *context;
	struct looks waiting;
	struct trip trips[TRIPS];
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
	for (int i = 0; i < TRIPS; i++) {
		s->trips[i].snapshot = s;
		looks_init(&s->trips[i].aboard);
	}
	return s;
}

void snapshot_free(struct snapshot *s)
{
	for (int i = 0; i < TRIPS; i++)
		sights_release(&s->trips[i].sights);
	free(s);
}

void snapshot_join(struct snapshot *s, struct look *look)
{
	looks_add(&s->waiting, look);
}

/* Whole looks only: a set of gates has to be open at one instant. */
static void board(struct trip *trip)
{
	struct looks *waiting = &trip->snapshot->waiting;

	while (waiting->first && sights_fit(&trip->sights, waiting->first->gates->count)) {
		struct look *look = waiting->first;

		waiting->first = look->next;
		looks_add(&trip->aboard, look);
		for (unsigned i = 0; i < look->gates->count; i++)
			sights_want(&trip->sights, gates_name(look->gates, i), look->facts);
	}
	if (!waiting->first)
		looks_init(waiting);
}

static void show(const struct trip *trip, struct look *look)
{
	const struct sight *sights[GATES_MAX];

	for (unsigned i = 0; i < look->gates->count; i++)
		sights[i] = sights_find(&trip->sights, gates_name(look->gates, i));
	look->seen(look, sights);
}

static void hand_out(struct trip *trip, bool seen)
{
	struct snapshot *s = trip->snapshot;

	for (struct look *look = trip->aboard.first, *next; look; look = next) {
		next = look->next;
		if (seen)
			show(trip, look);
		else
			look->seen(look, NULL);
	}
	looks_init(&trip->aboard);
	sights_forget(&trip->sights);
	trip->under_way = false;
	if (s->waiting.first)
		s->more(s->context);
}

/* Who is in the way. */

static void inquiry_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct trip *trip = container_of(flight, struct trip, inquiry);

	(void)index;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		sights_note_blocked(&trip->sights, result);
}

static void inquiry_landed(struct flight *flight, bool arrived)
{
	hand_out(container_of(flight, struct trip, inquiry), arrived && !flight->failed);
}

static void inquire(struct trip *trip, const char *names)
{
	struct session *session = trip->snapshot->session;

	trip->inquiry =
		(struct flight){ .deadline_ms = DEADLINE_MS, .result = inquiry_result, .landed = inquiry_landed };
	session_fly(session, &trip->inquiry);
	session_add(session, "outsiders", 1, &names);
	session_depart(session);
}

/* The snapshot. */

static void snapshot_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct trip *trip = container_of(flight, struct trip, flight);

	(void)index;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		sights_note(&trip->sights, result);
	else
		log_write(trip->snapshot->log, LOG_ERROR, "snapshot_failed", "sqlstate", result_sqlstate(result), "why",
			result_message(result), NULL);
}

static void snapshot_landed(struct flight *flight, bool arrived)
{
	struct trip *trip = container_of(flight, struct trip, flight);
	bool seen = arrived && !flight->failed;
	const char *blocked = seen ? sights_ask_blocked(&trip->sights) : NULL;

	if (blocked)
		inquire(trip, blocked);
	else
		hand_out(trip, seen);
}

static void depart(struct trip *trip)
{
	struct session *session = trip->snapshot->session;
	const char *parameters[3];

	board(trip);
	trip->under_way = true;
	if (!session_serves(session)) {
		hand_out(trip, false);
		return;
	}
	sights_ask(&trip->sights, parameters);
	trip->flight =
		(struct flight){ .deadline_ms = DEADLINE_MS, .result = snapshot_result, .landed = snapshot_landed };
	session_fly(session, &trip->flight);
	session_add(session, "snapshot", 3, parameters);
	session_depart(session);
}

static struct trip *idle_trip(struct snapshot *s)
{
	for (int i = 0; i < TRIPS; i++)
		if (!s->trips[i].under_way)
			return &s->trips[i];
	return NULL;
}

void snapshot_send(struct snapshot *s)
{
	for (struct trip *trip; s->waiting.first && (trip = idle_trip(s));)
		depart(trip);
}
