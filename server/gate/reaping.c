/* reaping: one request that ends many leases, a piece at a time, so that nobody else waits for all of it. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "gate/parts.h"
#include "pg/batch.h"
#include "pg/change.h"

enum { PATIENCE_MS = 15000 };		/* for each piece */

static const char unfinished[] =
	"PostgreSQL is out of reach, or this replica is leaving: it is not known how many were ended. "
	"The history knows; ask again for the rest";

struct reaping {
	struct task task;
	struct change change;
	char *terms;			/* as asked for: an object … */
	char *request;			/* … and as the next piece asks */
	FILE *out;			/* writes the answer: piece by piece, for as a tree it would be large */
	char *answer;
	size_t size;
	bool some;			/* there is a lease in it */
};

static void release(struct task *task)
{
	struct reaping *r = (struct reaping *)task;

	fclose(r->out);
	free(r->answer);
	free(r->terms);
	free(r->request);
	free(r);
}

/* The piece under way is ended whether anybody listens or not; no other is begun. */
static void hang_up(struct task *task)
{
	(void)task;
}

static const struct task_verbs verbs = { .hang_up = hang_up, .leave = hang_up, .release = release };

/* The answer is the task's, and so comes before its end. */
static void finish(struct reaping *r)
{
	fputs("]}", r->out);
	fflush(r->out);
	task_answer_alone(&r->task, OUTCOME_OK, r->answer, NULL);
	task_end(&r->task);
}

static void give_up(uv_timer_t *timer)
{
	task_answer_alone(timer->data, OUTCOME_UNAVAILABLE, NULL, unfinished);
}

static void ask(struct reaping *r)
{
	r->change.request = r->request;
	task_wake_in(&r->task, PATIENCE_MS, give_up);
	batch_add(r->task.keeper->batch, &r->change);
	keeper_nudge(r->task.keeper);
}

/* before: what a piece said, so that what was made since the first one is left alone. */
static void ask_for_more(struct reaping *r, const char *before)
{
	free(r->request);
	if (asprintf(&r->request, "{\"before\":\"%s\",%s", before, r->terms + 1) < 0)
		die("out of memory");
	ask(r);
}

static void tell(struct reaping *r, const cJSON *piece)
{
	const cJSON *leases = cJSON_GetObjectItemCaseSensitive(piece, "leases");

	for (const cJSON *lease = leases ? leases->child : NULL; lease; lease = lease->next) {
		char *text = json_print(lease);

		fprintf(r->out, "%s%s", r->some ? "," : "", text);
		r->some = true;
		free(text);
	}
}

static void ended(struct change *change, enum outcome outcome, const char *body)
{
	struct reaping *r = container_of(change, struct reaping, change);
	cJSON *piece = body ? cJSON_Parse(body) : NULL;
	const char *before = json_text(piece, "before");

	task_sleep(&r->task);
	tell(r, piece);
	if (outcome == OUTCOME_UNAVAILABLE || (before && r->task.keeper->leaving))
		task_answer(&r->task, OUTCOME_UNAVAILABLE, NULL, unfinished);
	else if (outcome != OUTCOME_OK)
		task_answer(&r->task, outcome, NULL, NULL);
	else if (before && r->task.call)
		ask_for_more(r, before);
	else
		finish(r);
	cJSON_Delete(piece);
}

void reaping_start(struct keeper *k, struct call *call, cJSON *terms)
{
	struct reaping *r = or_die(calloc(1, sizeof(*r)));

	r->terms = json_finish(terms);
	r->request = or_die(strdup(r->terms));
	r->out = or_die(open_memstream(&r->answer, &r->size));
	fputs("{\"leases\":[", r->out);
	r->change = (struct change){ .statement = change_statement(CHANGE_REAP), .after_drop = true, .done = ended };
	task_start(&r->task, k, &verbs, call);
	ask(r);
}
