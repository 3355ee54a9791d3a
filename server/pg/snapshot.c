#include "pg/snapshot.h"

#include <libpq-fe.h>
#include <search.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/die.h"
#include "base/log.h"
#include "base/names.h"
#include "pg/cells.h"
#include "pg/session.h"

enum { DEADLINE_MS = 5000, KEYS_MAX = 500 };

/* A gate of the snapshot in flight. If you move the name, also mind compare_names. */
struct seen_gate {
	struct sight sight;
	bool facts;
	char *copied[3];		/* by, lease, facts */
	struct seen_gate *next;
	char name[];
};

struct looks {
	struct look *first, **last;
};

struct snapshot {
	struct session *session;
	const struct log *log;
	struct looks waiting, aboard;
	struct seen_gate *first, **last; /* its gates, in the order asked */
	void *by_name;			 /* the same: a tree of search.h */
	unsigned keys;			/* that will be probed: of the gates and their ancestors */
	bool in_flight;
	struct flight flight, inquiry;	/* the snapshot, and who is in the way where a probe failed */
};

static void looks_init(struct looks *list)
{
	list->first = NULL;
	list->last = &list->first;
}

struct snapshot *snapshot_new(struct session *session, const struct log *log)
{
	struct snapshot *s = or_die(calloc(1, sizeof(*s)));

	s->session = session;
	s->log = log;
	looks_init(&s->waiting);
	looks_init(&s->aboard);
	s->last = &s->first;
	return s;
}

void snapshot_free(struct snapshot *s)
{
	free(s);
}

void snapshot_join(struct snapshot *s, struct look *look)
{
	look->next = NULL;
	*s->waiting.last = look;
	s->waiting.last = &look->next;
}

/* Boarding. */

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct seen_gate *find(const struct snapshot *s, const char *name)
{
	const char *const *node = tfind(name, &s->by_name, compare_names);

	return node ? (struct seen_gate *)(*node - offsetof(struct seen_gate, name)) : NULL;
}

static void want(struct snapshot *s, const char *name, bool facts)
{
	struct seen_gate *gate = find(s, name);

	if (!gate) {
		gate = or_die(calloc(1, sizeof(*gate) + strlen(name) + 1));
		memcpy(gate->name, name, strlen(name));
		*s->last = gate;
		s->last = &gate->next;
		or_die(tsearch(gate->name, &s->by_name, compare_names));
		s->keys += gate_depth(name);
	}
	gate->facts |= facts;
}

/* Whole looks only: a set of gates has to be open at one instant. */
static void board(struct snapshot *s)
{
	while (s->waiting.first && s->keys + s->waiting.first->gates->count * GATE_SEGMENTS_MAX <= KEYS_MAX) {
		struct look *look = s->waiting.first;

		s->waiting.first = look->next;
		look->next = NULL;
		*s->aboard.last = look;
		s->aboard.last = &look->next;
		for (unsigned i = 0; i < look->gates->count; i++)
			want(s, gates_name(look->gates, i), look->facts);
	}
	if (!s->waiting.first)
		looks_init(&s->waiting);
}

/* The names go with their gates. */
static void keep_names(void *name)
{
	(void)name;
}

static void forget_gates(struct snapshot *s)
{
	struct seen_gate *gate = s->first, *next;

	tdestroy(s->by_name, keep_names);
	s->by_name = NULL;
	s->first = NULL;
	s->last = &s->first;
	s->keys = 0;
	for (; gate; gate = next) {
		next = gate->next;
		for (int i = 0; i < 3; i++)
			free(gate->copied[i]);
		free(gate);
	}
}

/* Handing out. */

static void show(const struct snapshot *s, struct look *look)
{
	const struct sight *sights[GATES_MAX];

	for (unsigned i = 0; i < look->gates->count; i++)
		sights[i] = &find(s, gates_name(look->gates, i))->sight;
	look->seen(look, sights);
}

static void hand_out(struct snapshot *s, bool seen)
{
	struct looks aboard = s->aboard;

	looks_init(&s->aboard);
	for (struct look *look = aboard.first, *next; look; look = next) {
		next = look->next;
		if (seen)
			show(s, look);
		else
			look->seen(look, NULL);
	}
	forget_gates(s);
	s->in_flight = false;
	snapshot_send(s);
}

/* Who is in the way. */

static const char *keep(struct seen_gate *gate, int place, const PGresult *rows, int row, int column)
{
	free(gate->copied[place]);
	return gate->copied[place] = cell_copy(rows, row, column);
}

static void inquiry_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct snapshot *s = container_of(flight, struct snapshot, inquiry);
	int row = 0;

	(void)index;
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return;
	for (struct seen_gate *gate = s->first; gate; gate = gate->next)
		if (gate->sight.state == SIGHT_BLOCKED && row < PQntuples(result))
			gate->sight.facts = keep(gate, 2, result, row++, 0);
}

static void inquiry_landed(struct flight *flight, bool arrived)
{
	hand_out(container_of(flight, struct snapshot, inquiry), arrived && !flight->failed);
}

/* The names of the blocked gates, in their order, as an array literal. */
static char *blocked_literal(const struct snapshot *s)
{
	char *text = NULL;
	const char *comma = "";
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));

	fputc('{', out);
	for (const struct seen_gate *gate = s->first; gate; gate = gate->next) {
		if (gate->sight.state != SIGHT_BLOCKED)
			continue;
		fprintf(out, "%s%s", comma, gate->name);
		comma = ",";
	}
	fputc('}', out);
	fclose(out);
	return or_die(text);
}

/* {"a,a.b,a.b.c","d"}: each gate with its ancestors before it. Names need no escape. */
static char *paths_literal(const struct snapshot *s)
{
	char *text = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));

	fputc('{', out);
	for (const struct seen_gate *gate = s->first; gate; gate = gate->next) {
		fputc('"', out);
		for (const char *dot = strchr(gate->name, '.'); dot; dot = strchr(dot + 1, '.'))
			fprintf(out, "%.*s,", (int)(dot - gate->name), gate->name);
		fprintf(out, "%s\"%s", gate->name, gate->next ? "," : "}");
	}
	fclose(out);
	return or_die(text);
}

static char *facts_literal(const struct snapshot *s)
{
	char *text = or_die(malloc(2 * (size_t)s->keys + 3)), *end = text;

	*end++ = '{';
	for (const struct seen_gate *gate = s->first; gate; gate = gate->next) {
		*end++ = gate->facts ? 't' : 'f';
		*end++ = gate->next ? ',' : '}';
	}
	*end = 0;
	return text;
}

static void inquire(struct snapshot *s)
{
	char *names = blocked_literal(s);

	s->inquiry = (struct flight){ .deadline_ms = DEADLINE_MS, .result = inquiry_result, .landed = inquiry_landed };
	session_fly(s->session, &s->inquiry);
	session_add(s->session, "outsiders", 1, (const char *const[]){ names });
	session_depart(s->session);
	free(names);
}

/* The snapshot. */

static void note_gate(struct seen_gate *gate, const PGresult *rows, int row)
{
	enum { BY, LEASE, FREE, KNOWN, FACTS };

	gate->sight.by = keep(gate, 0, rows, row, BY);
	gate->sight.lease = keep(gate, 1, rows, row, LEASE);
	gate->sight.facts = keep(gate, 2, rows, row, FACTS);
	gate->sight.known = cell_true(rows, row, KNOWN);
	gate->sight.state = gate->sight.lease ? SIGHT_SHUT : cell_true(rows, row, FREE) ? SIGHT_OPEN : SIGHT_BLOCKED;
}

static void snapshot_result(struct flight *flight, unsigned index, const PGresult *result)
{
	struct snapshot *s = container_of(flight, struct snapshot, flight);
	int row = 0;

	(void)index;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		log_write(s->log, LOG_ERROR, "snapshot_failed", "sqlstate", result_sqlstate(result), "why",
			result_message(result), NULL);
		return;
	}
	for (struct seen_gate *gate = s->first; gate; gate = gate->next)
		note_gate(gate, result, row++);
}

static void snapshot_landed(struct flight *flight, bool arrived)
{
	struct snapshot *s = container_of(flight, struct snapshot, flight);
	bool seen = arrived && !flight->failed, blocked = false;

	for (const struct seen_gate *gate = s->first; seen && gate; gate = gate->next)
		blocked |= gate->sight.state == SIGHT_BLOCKED;
	if (blocked)
		inquire(s);
	else
		hand_out(s, seen);
}

void snapshot_send(struct snapshot *s)
{
	char *paths, *facts;

	if (!s->waiting.first || s->in_flight)
		return;
	board(s);
	s->in_flight = true;
	if (!session_serves(s->session)) {
		hand_out(s, false);
		return;
	}
	paths = paths_literal(s);
	facts = facts_literal(s);
	s->flight = (struct flight){ .deadline_ms = DEADLINE_MS, .result = snapshot_result, .landed = snapshot_landed };
	session_fly(s->session, &s->flight);
	session_add(s->session, "snapshot", 2, (const char *const[]){ paths, facts });
	session_depart(s->session);
	free(paths);
	free(facts);
}
