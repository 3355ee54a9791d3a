#include "pg/change.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"

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

struct change *change_run_end(const struct change *change)
{
	struct change *end = change->next;

	for (unsigned count = 1; end && end->plain == change->plain && count < RUN_MAX; count++)
		end = end->next;
	return end;
}

char *change_run_list(const struct change *change, const struct change *end)
{
	char *list = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&list, &size));

	for (const struct change *c = change; c != end; c = c->next)
		fprintf(out, "%c%s", c == change ? '[' : ',', c->request);
	fputc(']', out);
	fclose(out);
	return or_die(list);
}
