#include "pg/account.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/text.h"
#include "pg/literal.h"

void account_init(struct account *a)
{
	*a = (struct account){ 0 };
}

void account_release(struct account *a)
{
	free(a->locks);
	account_init(a);
}

void account_clear(struct account *a)
{
	a->count = 0;
}

static struct held_lock *find(const struct account *a, int64_t key, char mode)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->locks[i].key == key && a->locks[i].mode == mode)
			return &a->locks[i];
	return NULL;
}

void account_add(struct account *a, int64_t key, char mode)
{
	if (find(a, key, mode))
		return;
	if (a->count == a->room) {
		a->room = a->room ? 2 * a->room : 16;
		a->locks = or_die(reallocarray(a->locks, a->room, sizeof(*a->locks)));
	}
	a->locks[a->count++] = (struct held_lock){ key, mode };
}

void account_remove(struct account *a, int64_t key, char mode)
{
	struct held_lock *held = find(a, key, mode);

	if (held)
		*held = a->locks[--a->count];
}

char *account_literal(const struct account *a, char mode)
{
	struct text literal = { 0 };

	for (size_t i = 0; i < a->count; i++) {
		if (a->locks[i].mode != mode)
			continue;
		literal_next(&literal);
		text_count(&literal, a->locks[i].key);
	}
	return literal_end(&literal);
}
