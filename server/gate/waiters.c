#include "gate/waiters.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/die.h"

/* One waiter at one gate: at each of its own, and at each of their ancestors. */
struct place {
	struct waiter *waiter;
	struct post *post;
	bool own;
	TAILQ_ENTRY(place) entry;
};

TAILQ_HEAD(place_list, place);

/* All that stand at one gate. */
struct post {
	const char *name; /* may be a part of a longer name while it is looked for */
	size_t length;
	struct place_list places; /* in the order they came */
};

struct waiters {
	void *posts; /* by name: a tree of search.h */
};

struct waiters *waiters_new(void)
{
	return or_die(calloc(1, sizeof(struct waiters)));
}

void waiters_free(struct waiters *w)
{
	free(w);
}

static int compare_posts(const void *a, const void *b)
{
	const struct post *one = a, *other = b;
	size_t common = one->length < other->length ? one->length : other->length;
	int order = memcmp(one->name, other->name, common);

	return order ? order : (one->length > other->length) - (one->length < other->length);
}

static struct post *find(const struct waiters *w, const char *name, size_t length)
{
	struct post key = { .name = name, .length = length };
	struct post *const *node = tfind(&key, &w->posts, compare_posts);

	return node ? *node : NULL;
}

static struct post *find_or_add(struct waiters *w, const char *name, size_t length)
{
	struct post *post = find(w, name, length);

	if (post)
		return post;
	post = or_die(calloc(1, sizeof(*post)));
	post->name = or_die(strndup(name, length));
	post->length = length;
	TAILQ_INIT(&post->places);
	or_die(tsearch(post, &w->posts, compare_posts));
	return post;
}

static void drop_if_empty(struct waiters *w, struct post *post)
{
	if (!TAILQ_EMPTY(&post->places))
		return;
	tdelete(post, &w->posts, compare_posts);
	free((char *)post->name);
	free(post);
}

static size_t count_places(const struct gates *gates)
{
	size_t count = 0;

	for (unsigned i = 0; i < gates->count; i++)
		count += gate_depth(gates_name(gates, i));
	return count;
}

void waiters_join(struct waiters *w, struct waiter *waiter)
{
	size_t room = count_places(waiter->gates);
	struct place *place = waiter->places = or_die(calloc(room ? room : 1, sizeof(*place)));

	for (unsigned i = 0; i < waiter->gates->count; i++) {
		const char *name = gates_name(waiter->gates, i);

		for (size_t length = strlen(name), own = length; length;
			length = gate_parent_len(name, length), place++) {
			place->waiter = waiter;
			place->own = length == own;
			place->post = find_or_add(w, name, length);
			TAILQ_INSERT_TAIL(&place->post->places, place, entry);
		}
	}
	waiter->place_count = (unsigned)(place - waiter->places);
}

void waiters_part(struct waiters *w, struct waiter *waiter)
{
	for (unsigned i = 0; i < waiter->place_count; i++) {
		struct post *post = waiter->places[i].post;

		TAILQ_REMOVE(&post->places, &waiter->places[i], entry);
		drop_if_empty(w, post);
	}
	free(waiter->places);
	waiter->places = NULL;
	waiter->place_count = 0;
}

static void wake_post(const struct post *post, bool from_below)
{
	for (struct place *place = post ? TAILQ_FIRST(&post->places) : NULL; place; place = TAILQ_NEXT(place, entry))
		if (!from_below || (place->own && place->waiter->below))
			place->waiter->wake(place->waiter);
}

static void wake_own(const void *node, VISIT visit, void *context)
{
	(void)context;
	if (visit == postorder || visit == leaf)
		wake_post(*(const struct post *const *)node, false);
}

void waiters_wake(struct waiters *w, const char *gate)
{
	size_t length = strlen(gate);

	if (strcmp(gate, "*") == 0) {
		twalk_r(w->posts, wake_own, NULL);
		return;
	}
	wake_post(find(w, gate, length), false);
	while ((length = gate_parent_len(gate, length)))
		wake_post(find(w, gate, length), true);
}
