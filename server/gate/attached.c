#include "gate/attached.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "pg/batch.h"

enum { PATIENCE_MS = 15000 };

static const char *const words[STANDING_COUNT] = { "renewed", "closing", "stop", "lost", "replaced" };

/* A word that nobody here knows is of a later release: the lease itself says all. */
static enum standing standing_of(const char *word, size_t length)
{
	for (int i = 0; i < STANDING_COUNT; i++)
		if (strlen(words[i]) == length && memcmp(words[i], word, length) == 0)
			return (enum standing)i;
	return RENEWED;
}

bool line_read(const char **text, struct line *line)
{
	const char *end = strchrnul(*text, '\n'), *word = *text + LEASE_ID_LEN + 1;
	char *lease;
	size_t length;

	if (end < word)
		return false;
	length = strcspn(word, " ");
	memcpy(line->id, *text, LEASE_ID_LEN);
	line->id[LEASE_ID_LEN] = 0;
	line->standing = standing_of(word, length);
	line->ttl_ms = strtoull(word + length, &lease, 10);
	line->lease = lease + 1;
	line->size = (size_t)(end - line->lease);
	*text = *end ? end + 1 : end;
	return true;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct attached *)a)->id, ((const struct attached *)b)->id);
}

struct attached *attached_find(const struct attachments *all, const char id[static LEASE_ID_LEN + 1])
{
	struct attached key;
	struct attached *const *node;

	memcpy(key.id, id, sizeof(key.id));
	node = tfind(&key, &all->by_id, compare_ids);
	return node ? *node : NULL;
}

static void tell(struct attached *a, const char *kind, const struct line *line, uint64_t of_ns)
{
	a->task.call->told(a->task.call, &(struct news){ kind, line->lease, line->size, of_ns });
}

void attached_stay(struct attached *a)
{
	a->task.call->told(a->task.call, &(struct news){ .kind = NULL });
}

/* Takes it out of all lists. What the rows say is not touched. */
static void part(struct attached *a)
{
	struct attachments *all = a->task.keeper->attachments;

	tdelete(a, &all->by_id, compare_ids);
	TAILQ_REMOVE(&all->list, a, entry);
	all->count--;
	all->due &= all->count > 0;
	waiters_part(a->task.keeper->waiters, &a->waiter);
}

void attached_finish(struct attached *a)
{
	part(a);
	task_answer(&a->task, OUTCOME_OK, NULL, NULL);
}

/* The rows are to be told that its stream broke; those that break together are told of in one change. */
static void note_broken(struct attached *a)
{
	struct attachments *all = a->task.keeper->attachments;

	if (!all->broken)
		all->broken = or_die(cJSON_CreateObject());
	json_add_text(all->broken, a->id, a->stream);
	rounds_plan(all);
}

static void release(struct task *task)
{
	struct attached *a = (struct attached *)task;

	free(a->gates);
	free(a->request);
	free(a);
}

/* One that is just being attached is let go once it is known how that came out. */
static void hang_up(struct task *task)
{
	struct attached *a = (struct attached *)task;

	if (!a->gates)
		return;
	log_write(task->keeper->log, LOG_INFO, "stream_broken", "lease", a->id, NULL);
	note_broken(a);
	part(a);
	task_end(task);
}

static void leave(struct task *task)
{
	struct attached *a = (struct attached *)task;

	if (!a->gates)
		return;
	note_broken(a);
	attached_finish(a);
}

static const struct task_verbs verbs = { .hang_up = hang_up, .leave = leave, .release = release };

/* That a deploy wants in, or that the job has to stop, is an event once; later renewals say it too. */
void attached_hear(struct attached *a, const struct line *line, uint64_t of_ns)
{
	enum standing standing = line->standing;

	a->ttl_ms = line->ttl_ms;
	if (standing != REPLACED) {
		tell(a, words[standing == a->told ? RENEWED : standing], line, of_ns);
		a->told = standing;
	}
	if (standing == LOST || standing == REPLACED)
		attached_finish(a);
}

static struct gates *gates_of(const struct line *line)
{
	cJSON *lease = or_die(cJSON_ParseWithLength(line->lease, line->size));
	struct gates *gates = gates_of_list(cJSON_GetObjectItemCaseSensitive(lease, "gates"));

	cJSON_Delete(lease);
	return gates;
}

static void wake(struct waiter *waiter)
{
	rounds_hasten(container_of(waiter, struct attached, waiter));
}

static void list(struct attached *a)
{
	struct keeper *k = a->task.keeper;

	or_die(tsearch(a, &k->attachments->by_id, compare_ids));
	a->waiter = (struct waiter){ .gates = a->gates, .below = true, .wake = wake };
	waiters_join(k->waiters, &a->waiter);
	rounds_join(a);
}

/* The lease is attached to this stream now, and to no other. */
static void stand(struct attached *a, const char *body)
{
	struct keeper *k = a->task.keeper;
	struct attached *before = attached_find(k->attachments, a->id);
	struct line line;

	if (!line_read(&body, &line))
		die("a lease was attached, and is not told");
	if (before)
		attached_finish(before);
	a->gates = gates_of(&line);
	a->ttl_ms = line.ttl_ms;
	list(a);
	tell(a, "attached", &line, a->asked_ns);
	if (line.standing != RENEWED)
		attached_hear(a, &line, a->asked_ns);
	/* A hint that came while its gates were not known here may have been for it. */
	if (k->hints != a->hints)
		rounds_hasten(a);
}

static void came_out(struct change *change, enum outcome outcome, const char *body)
{
	struct attached *a = container_of(change, struct attached, change);
	bool wanted = a->task.call && !a->task.keeper->leaving;

	task_sleep(&a->task);
	if (outcome == OUTCOME_OK && wanted) {
		stand(a, body);
		return;
	}
	if (outcome == OUTCOME_OK)
		note_broken(a);
	if (!wanted)
		task_answer(&a->task, OUTCOME_UNAVAILABLE, NULL, task_leaving);
	else
		task_answer(&a->task, outcome, body, outcome == OUTCOME_UNAVAILABLE ? task_unreachable : NULL);
}

static void give_up(uv_timer_t *timer)
{
	task_abandon(timer->data);
}

void attached_start(struct keeper *k, struct call *call, cJSON *terms)
{
	struct attached *a = or_die(calloc(1, sizeof(*a)));

	snprintf(a->id, sizeof(a->id), "%s", json_text(terms, "id"));
	token_make(a->stream);
	json_add_text(terms, "stream", a->stream);
	a->request = json_finish(terms);
	a->change = (struct change){
		.statement = change_statement(CHANGE_ATTACH), .request = a->request, .done = came_out
	};
	a->asked_ns = uv_hrtime();
	a->hints = k->hints;
	task_start(&a->task, k, &verbs, call);
	task_wake_in(&a->task, PATIENCE_MS, give_up);
	batch_add(k->batch, &a->change);
	keeper_nudge(k);
}
