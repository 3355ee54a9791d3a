/* sights: the gates that one snapshot asks about, each once and behind its ancestors, and how each was found. */
#ifndef PG_SIGHTS_H
#define PG_SIGHTS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

struct sight;

enum { SIGHTS_MAX = 500 };

struct sights {
	struct seen_gate *gates[SIGHTS_MAX];	/* in the order wanted, behind their ancestors */
	unsigned count;
	void *by_name;				/* the same: a tree of search.h */
	struct text names, paths, details;
};

/* All zero is empty. */
void sights_release(struct sights *);

/* Whether there is room for that many gates with all their ancestors. */
bool sights_fit(const struct sights *, unsigned gates);

/* Wants a gate to be looked at; facts of a shut one only where details says so. */
void sights_want(struct sights *, const char *name, bool details);

/* The parameters of the query "snapshot", valid until something more is wanted; then its result. */
void sights_ask(struct sights *, const char *parameters[static 3]);
void sights_note(struct sights *, const PGresult *);

/* The parameter of the query "outsiders", the names of what is blocked, or NULL where nothing is; then its result. */
const char *sights_ask_blocked(struct sights *);
void sights_note_blocked(struct sights *, const PGresult *);

/* How a gate that was wanted has been found; its texts are valid until sights_forget. */
const struct sight *sights_find(const struct sights *, const char *name);

/* Empty again; keeps its memory. */
void sights_forget(struct sights *);

#endif
