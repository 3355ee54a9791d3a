#include "gate/waiters.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/die.h"

/* One waiter at one gate: at each of its own, and at each of their ancestors. */
struct place {
	struct waiter *waiter;
	struct post *post;
	bool own;
	struct place *prev, *next;
};

/* All that stand at one gate. */
struct post {
	struct place *places;
	UT_hash_handle hh;
	char name[];
};

struct waiters {
	struct post *posts;
};

struct waiters *waiters_new(void)
{
	return or_die(calloc(1, sizeof(struct waiters)));
}

void waiters_free(struct waiters *w)
{
	free(w);
}

static struct post *find(const struct waiters *w, const char *name, size_t length)
{
	struct post *post;

	HASH_FIND(hh, w->posts, name, length, post);
	return post;
}

static struct post *find_or_add(struct waiters *w, const char *name, size_t length)
{
	struct post *post = find(w, name, length);

	if (post)
		return post;
	post = or_die(calloc(1, sizeof(*post) + length + 1));
	memcpy(post->name, name, length);
	HASH_ADD_KEYPTR(hh, w->posts, post->name, length, post);
	return post;
}

static unsigned count_places(const struct gates *gates)
{
	unsigned count = 0;

	for (unsigned i = 0; i < gates->count; i++)
		for (const char *name = gates_name(gates, i); name;
			name = strchr(name, '.'), name = name ? name + 1 : NULL)
			count++;
	return count;
}

void waiters_join(struct waiters *w, struct waiter *waiter)
{
	struct place *place = waiter->places = or_die(calloc(count_places(waiter->gates), sizeof(*place)));

	for (unsigned i = 0; i < waiter->gates->count; i++) {
		const char *name = gates_name(waiter->gates, i);

		for (size_t length = strlen(name), own = length; length;
			length = gate_parent_len(name, length), place++) {
			place->waiter = waiter;
			place->own = length == own;
			place->post = find_or_add(w, name, length);
			DL_APPEND(place->post->places, place);
		}
	}
	waiter->place_count = (unsigned)(place - waiter->places);
}

void waiters_part(struct waiters *w, struct waiter *waiter)
{
	for (unsigned i = 0; i < waiter->place_count; i++) {
		struct post *post = waiter->places[i].post;

		DL_DELETE(post->places, &waiter->places[i]);
		if (!post->places) {
			HASH_DEL(w->posts, post);
			free(post);
		}
	}
	free(waiter->places);
	waiter->places = NULL;
	waiter->place_count = 0;
}

static void wake_post(const struct post *post, bool from_below)
{
	for (struct place *place = post ? post->places : NULL; place; place = place->next)
		if (!from_below || (place->own && place->waiter->below))
			place->waiter->wake(place->waiter);
}

void waiters_wake(struct waiters *w, const char *gate)
{
	size_t length = strlen(gate);

	if (strcmp(gate, "*") == 0) {
		for (struct post *post = w->posts; post; post = post->hh.next)
			wake_post(post, false);
		return;
	}
	wake_post(find(w, gate, length), false);
	while ((length = gate_parent_len(gate, length)))
		wake_post(find(w, gate, length), true);
}
