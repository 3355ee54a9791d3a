#include "pg/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "pg/literal.h"

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

/* Whether one of those from the first on, up to the end, is of the change's lease, or, where gates count, of its gate. */
static bool is_near(const struct change *first, const struct change *end, const struct change *change, bool gates_count)
{
	for (; first != end; first = first->next)
		if (strcmp(first->lease, change->lease) == 0 || (gates_count && strcmp(first->gate, change->gate) == 0))
			return true;
	return false;
}

struct change *change_run_end(const struct change *change)
{
	struct change *end = change->next;

	while (end && end->plain == change->plain && !is_near(change, end, end, !change->shared))
		end = end->next;
	return end;
}

bool changes_cross(const struct changes *list)
{
	for (const struct change *run = list->first, *end; run; run = end) {
		end = change_run_end(run);
		for (const struct change *change = end; change; change = change->next)
			if (is_near(run, end, change, true))
				return true;
	}
	return false;
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
