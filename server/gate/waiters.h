/* waiters: who waits for which gates. Knows neither HTTP nor SQL.
 * A waiter is its owner's throughout; between waiters_join and waiters_part it is listed here, and woken when one of its gates,
 * or one that bears on them, is said to have changed. Waking is a hint: the owner looks for itself. */
#ifndef GATE_WAITERS_H
#define GATE_WAITERS_H

#include <stdbool.h>

#include "base/names.h"

struct gates;
struct waiters;

struct waiter {
	const struct gates *gates;	/* the owner's, unchanged while listed */
	/* Whether a change of a descendant bears on it too: so it is for a close, which conflicts with what is below. */
	bool below;
	void (*wake)(struct waiter *);	/* may neither join nor part any waiter */
	/* The list's: */
	struct place *places;
	unsigned place_count;
};

struct waiters *waiters_new(void);
void waiters_free(struct waiters *);

void waiters_join(struct waiters *, struct waiter *);
void waiters_part(struct waiters *, struct waiter *);

/* Wakes all that this gate, or "*" for all of them, bears on. */
void waiters_wake(struct waiters *, const char *gate);

#endif
