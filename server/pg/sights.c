#include "pg/sights.h"

#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/names.h"
#include "pg/cells.h"
#include "pg/literal.h"
#include "pg/snapshot.h"

/* If you move the name, also mind gate_of. */
struct seen_gate {
	struct sight sight;
	const struct seen_gate *parent;	/* NULL for one at the top */
	bool details;
	bool free;			/* its own lock was to be had */
	char *lease, *facts;		/* those of the sight */
	char name[];
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct seen_gate *gate_of(const char *name)
{
	return (struct seen_gate *)(name - offsetof(struct seen_gate, name));
}

static struct seen_gate *find(const struct sights *s, const char *name)
{
	const char *const *node = tfind(name, &s->by_name, compare_names);

	return node ? gate_of(*node) : NULL;
}

const struct sight *sights_find(const struct sights *s, const char *name)
{
	return &find(s, name)->sight;
}

/* Wanting. */

bool sights_fit(const struct sights *s, unsigned gates)
{
	return s->count + gates * GATE_SEGMENTS_MAX <= SIGHTS_MAX;
}

static struct seen_gate *add(struct sights *s, const char *name, const struct seen_gate *parent)
{
	size_t size = strlen(name) + 1;
	struct seen_gate *gate = or_die(calloc(1, sizeof(*gate) + size));

	memcpy(gate->name, name, size);
	gate->parent = parent;
	or_die(tsearch(gate->name, &s->by_name, compare_names));
	s->gates[s->count++] = gate;
	return gate;
}

/* Adds a gate behind its ancestors, as far as they are not there yet. */
static struct seen_gate *add_path(struct sights *s, const char *name)
{
	char path[GATE_NAME_MAX + 1] = "";
	struct seen_gate *gate = NULL;

	for (size_t i = 0;; i++) {
		if (name[i] == '.' || name[i] == '\0') {
			const struct seen_gate *parent = gate;

			gate = find(s, path);
			if (!gate)
				gate = add(s, path, parent);
		}
		if (name[i] == '\0')
			return gate;
		path[i] = name[i];
	}
}

void sights_want(struct sights *s, const char *name, bool details)
{
	struct seen_gate *gate = find(s, name);

	if (!gate)
		gate = add_path(s, name);
	gate->details |= details;
}

/* Asking. Names need no escape. */

/* Root first: "a,a.b,a.b.c". */
static void add_path_of(struct text *literal, const char *name)
{
	literal_next(literal);
	text_say(literal, "\"");
	for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		text_add(literal, name, (size_t)(dot - name));
		text_say(literal, ",");
	}
	text_say(literal, name);
	text_say(literal, "\"");
}

/* In quotes: unquoted, null would be none. */
static void add_name(struct text *literal, const char *name)
{
	literal_next(literal);
	literal_add_quoted(literal, name);
}

void sights_ask(struct sights *s, const char *parameters[static 3])
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct seen_gate *gate = s->gates[i];

		add_name(&s->names, gate->name);
		add_path_of(&s->paths, gate->name);
		literal_next(&s->details);
		text_say(&s->details, gate->details ? "t" : "f");
	}
	parameters[0] = literal_end(&s->names);
	parameters[1] = literal_end(&s->paths);
	parameters[2] = literal_end(&s->details);
}

const char *sights_ask_blocked(struct sights *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->gates[i]->sight.state == SIGHT_BLOCKED)
			add_name(&s->names, s->gates[i]->name);
	return s->names.length ? literal_end(&s->names) : NULL;
}

/* Noting. */

static void note(struct sights *s, const PGresult *rows, int row)
{
	enum { PLACE, LEASE, LIVE, FREE, KNOWN, FACTS };
	struct seen_gate *gate = s->gates[cell_number(rows, row, PLACE, 0) - 1];

	gate->sight.lease = gate->lease = cell_copy(rows, row, LEASE);
	gate->sight.facts = gate->facts = cell_copy(rows, row, FACTS);
	gate->sight.live = cell_true(rows, row, LIVE);
	gate->sight.known = cell_true(rows, row, KNOWN);
	gate->free = cell_true(rows, row, FREE);
}

/* Where the rows leave a gate open, they do so with its ancestors, which stand before it. */
static enum sight_state state_of(const struct seen_gate *gate)
{
	if (gate->lease)
		return SIGHT_SHUT;
	return gate->free && (!gate->parent || gate->parent->sight.state == SIGHT_OPEN) ? SIGHT_OPEN : SIGHT_BLOCKED;
}

void sights_note(struct sights *s, const PGresult *rows)
{
	for (int row = 0; row < PQntuples(rows); row++)
		note(s, rows, row);
	for (unsigned i = 0; i < s->count; i++)
		s->gates[i]->sight.state = state_of(s->gates[i]);
}

void sights_note_blocked(struct sights *s, const PGresult *rows)
{
	int row = 0;

	for (unsigned i = 0; i < s->count && row < PQntuples(rows); i++)
		if (s->gates[i]->sight.state == SIGHT_BLOCKED)
			s->gates[i]->sight.facts = s->gates[i]->facts = cell_copy(rows, row++, 0);
}

/* Forgetting. */

/* The names go with their gates. */
static void keep_names(void *name)
{
	(void)name;
}

void sights_forget(struct sights *s)
{
	tdestroy(s->by_name, keep_names);
	s->by_name = NULL;
	for (unsigned i = 0; i < s->count; i++) {
		free(s->gates[i]->lease);
		free(s->gates[i]->facts);
		free(s->gates[i]);
	}
	s->count = 0;
}

void sights_release(struct sights *s)
{
	sights_forget(s);
	free(s->names.bytes);
	free(s->paths.bytes);
	free(s->details.bytes);
}
