#include "gate/steps.h"

#include <search.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

enum { REMEMBERED_MAX = 20000 }; /* of each age; what is beyond is a first step again */

struct step {
	int64_t since_ms;
	char *name;
};

/* Two ages, each a tree of search.h: what becomes of the younger is the older, and of that nothing. */
struct steps {
	void *young, *old;
	unsigned count;			/* of the young */
	uint64_t turned_ms;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct step *)a)->name, ((const struct step *)b)->name);
}

static void step_free(void *node)
{
	struct step *step = node;

	free(step->name);
	free(step);
}

struct steps *steps_new(void)
{
	return or_die(calloc(1, sizeof(struct steps)));
}

static void age(struct steps *s)
{
	tdestroy(s->old, step_free);
	s->old = s->young;
	s->young = NULL;
	s->count = 0;
}

void steps_free(struct steps *s)
{
	age(s);
	age(s);
	free(s);
}

static void turn(struct steps *s, uint64_t now_ms)
{
	if (now_ms - s->turned_ms < STEPS_KEPT_MS)
		return;
	age(s);
	if (now_ms - s->turned_ms >= 2 * STEPS_KEPT_MS)
		age(s);
	s->turned_ms = now_ms;
}

static struct step *find(void *const *tree, const char *name)
{
	const struct step wanted = { .name = (char *)name };
	void *found = tfind(&wanted, tree, compare);

	return found ? *(struct step **)found : NULL;
}

void steps_end(struct steps *s, const char *name, int64_t since_ms, uint64_t now_ms)
{
	struct step *step;

	turn(s, now_ms);
	step = find(&s->young, name);
	if (!step && s->count < REMEMBERED_MAX) {
		step = or_die(calloc(1, sizeof(*step)));
		step->name = or_die(strdup(name));
		or_die(tsearch(step, &s->young, compare));
		s->count++;
	}
	if (step)
		step->since_ms = since_ms;
}

int64_t steps_since(struct steps *s, const char *name, int64_t since_ms, uint64_t now_ms)
{
	const struct step *step;

	turn(s, now_ms);
	step = find(&s->young, name);
	if (!step)
		step = find(&s->old, name);
	return step ? step->since_ms : since_ms;
}
