#include "pg/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "pg/literal.h"

enum { RUN_MAX = 32 };

void changes_init(struct changes *list)
{
	list->first = NULL;
	list->last = &list->first;
}

void changes_add(struct changes *list, struct change *change)
{
	change->next = NULL;
	*list->last = change;
	list->last = &change->next;
}

struct change *changes_take(struct changes *list)
{
	struct change *change = list->first;

	if (!change)
		return NULL;
	list->first = change->next;
	if (!list->first)
		list->last = &list->first;
	return change;
}

void changes_put_back(struct changes *list, struct changes *before)
{
	if (!before->first)
		return;
	*before->last = list->first;
	if (!list->first)
		list->last = before->last;
	list->first = before->first;
	changes_init(before);
}

void change_answer(struct change *change)
{
	char *body = change->body;

	change->body = NULL;
	change->done(change, change->outcome, body);
	free(body);
}

void changes_answer(struct changes *list)
{
	struct changes taken = *list;

	if (!taken.first)
		return;
	/* An owner may add to the list again at once: that is for the next time. */
	changes_init(list);
	while (taken.first)
		change_answer(changes_take(&taken));
}

void changes_fail(struct changes *list, enum outcome outcome)
{
	for (struct change *change = list->first; change; change = change->next) {
		change->outcome = outcome;
		free(change->body);
		change->body = NULL;
	}
	changes_answer(list);
}

/* Whether one of those before it in the list, from the first on, is in its way. */
static bool is_near(const struct change *first, const struct change *change)
{
	for (; first != change; first = first->next)
		if (strcmp(first->lease, change->lease) == 0 ||
			(!change->shared && strcmp(first->gate, change->gate) == 0))
			return true;
	return false;
}

struct change *change_run_end(const struct change *change)
{
	struct change *end = change->next;

	for (unsigned count = 1; end && end->plain == change->plain && count < RUN_MAX && !is_near(change, end);
		count++)
		end = end->next;
	return end;
}

char *change_run_list(const struct change *change, const struct change *end)
{
	struct text list = { 0 };

	for (const struct change *c = change; c != end; c = c->next) {
		literal_next(&list);
		literal_add_quoted(&list, c->request);
	}
	return literal_end(&list);
}
