/* Rules 4, 6, 7 and 8: what became of each lease, and the order of the fences. */
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "chaos/judge.h"

/* The clock of the database is not ours. */
enum { CLOCKS_DIFFER_MS = 100 };

/* A place whose client has gone is kept for it for 15 s. The rest is for a client that is slow to write down that it has gone. */
enum { PLACE_MS = 15000 - 5000 };

/* How a lease may end, and what must have been asked before. Whatever else ends one that somebody was told of is a loss. */
static const struct {
	const char *end;
	enum verb verb;
	bool holds;
} endings[] = {
	{ "opened", VERB_OPEN, false },
	{ "failed", VERB_OPEN, true },
	{ "released", VERB_RELEASE, false },
	{ "forced", VERB_FORCE, false },
};

static bool was_asked(const struct hold *hold, enum verb verb, bool holds, int64_t before_ns)
{
	for (size_t i = 0; i < hold->op_count; i++)
		if (hold->ops[i]->verb == verb && (hold->ops[i]->holds != 0) == holds &&
			hold->ops[i]->called_ns < before_ns)
			return true;
	return false;
}

static bool was_ended_by_somebody(const struct hold *hold, const struct op *op)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (!op->end[0] || strcmp(endings[i].end, op->end) == 0)
			if (was_asked(hold, endings[i].verb, endings[i].holds, op->done_ns))
				return true;
	return false;
}

/* Whether the service knows of a request: it answered, or its replica was well all the while. One that stood still may never have
 * read what a client gave up before it went on. */
static bool has_arrived(const struct judge *judge, const struct op *op)
{
	int64_t took_ns = op->done_ns - op->called_ns;

	return op->answer != ANSWER_UNKNOWN ||
		health_longest_ns(&judge->health, op->at, op->called_ns, op->done_ns) == took_ns;
}

/* When it was last asked for before that op. */
static int64_t last_asked(const struct judge *judge, const struct hold *hold, const struct op *before)
{
	int64_t last_ns = 0;

	for (size_t i = 0; i < hold->op_count; i++) {
		const struct op *op = hold->ops[i];

		if (op->verb == hold->kind && op != before && op->done_ns != NEVER &&
			op->called_ns < before->called_ns && op->done_ns > last_ns && has_arrived(judge, op))
			last_ns = op->done_ns;
	}
	return last_ns;
}

/* A place in the queue that was not kept for who came back to it in time. Of a client that is a program, nobody writes down in
 * time that it has gone. */
static void judge_place(struct judge *judge, const struct hold *hold, const struct op *op)
{
	int64_t ended_ns = op->done_ns - op->ago_ms * MS, asked_ns = last_asked(judge, hold, op);
	int64_t early_ns = asked_ns + PLACE_MS * MS - ended_ns;

	if (asked_ns && early_ns > 0 && !hold->ops[0]->sure)
		judge_op(judge, RULE_LOST, op, hold, early_ns / MS);
}

static void judge_end(struct judge *judge, const struct hold *hold, const struct op *op)
{
	int64_t ended_ns = op->done_ns - op->ago_ms * MS, early_ns = hold->lives_until_ns - ended_ns;
	bool is_early = early_ns > CLOCKS_DIFFER_MS * MS;

	if (strcmp(op->end, "abandoned") == 0)
		judge_place(judge, hold, op);
	if (hold->had_ns == NEVER || !hold_is_lease(hold) || was_ended_by_somebody(hold, op))
		return;
	if (strcmp(op->end, "expired") == 0) {
		if (is_early)
			judge_op(judge, RULE_TTL, op, hold, early_ns / MS);
	} else if (op->end[0] || is_early) {
		judge_op(judge, RULE_LOST, op, hold, early_ns / MS);
	}
}

/* Found live by what was asked after it had been found over; or not found, after somebody had been told of it. A place in the
 * queue may be forgotten: what is refused leaves no trace. */
static void judge_return(struct judge *judge, const struct hold *hold)
{
	int64_t over_ns = NEVER;

	for (size_t i = 0; i < hold->op_count; i++) {
		const struct op *op = hold->ops[i];

		if (op->answer == ANSWER_ENDED && op->done_ns < over_ns)
			over_ns = op->done_ns;
	}
	for (size_t i = 0; i < hold->op_count; i++) {
		const struct op *op = hold->ops[i];

		if (op->answer == ANSWER_LIVE && op->called_ns > over_ns)
			judge_op(judge, RULE_LOST, op, hold, (op->called_ns - over_ns) / MS);
		if (op->answer == ANSWER_MISSING && op->called_ns > hold->had_ns)
			judge_op(judge, RULE_LOST, op, hold, (op->called_ns - hold->had_ns) / MS);
	}
}

void judge_leases(struct judge *judge)
{
	const struct history *history = judge->history;

	for (const struct hold *hold = judge->holds.list; hold < judge->holds.list + judge->holds.count; hold++) {
		for (size_t i = 0; i < hold->op_count; i++) {
			const struct op *op = hold->ops[i];

			if (op->answer == ANSWER_ENDED)
				judge_end(judge, hold, op);
			if (op->fence && op->fence != hold->fence)
				judge_op(judge, RULE_LOST, op, hold, 0);
		}
		judge_return(judge, hold);
	}
	for (const struct op *op = history->ops; op < history->ops + history->count; op++)
		if (op->answer == ANSWER_ODD && op->done_ns != NEVER)
			judge_op(judge, RULE_CONTRACT, op, NULL, 0);
}

/* Fences. */

struct grant {
	const struct hold *hold;
	int64_t wanted_ns, told_ns;	/* before it was made, and after */
};

static int by_wanted(const void *one, const void *other)
{
	const struct grant *a = one, *b = other;

	return (a->wanted_ns > b->wanted_ns) - (a->wanted_ns < b->wanted_ns);
}

static int by_told(const void *one, const void *other)
{
	const struct grant *a = one, *b = other;

	return (a->told_ns > b->told_ns) - (a->told_ns < b->told_ns);
}

static int by_fence(const void *one, const void *other)
{
	long long a = ((const struct grant *)one)->hold->fence, b = ((const struct grant *)other)->hold->fence;

	return (a > b) - (a < b);
}

static int64_t told_of_fence(const struct hold *hold)
{
	int64_t told_ns = NEVER;

	for (size_t i = 0; i < hold->op_count; i++)
		if (hold->ops[i]->fence && hold->ops[i]->done_ns < told_ns)
			told_ns = hold->ops[i]->done_ns;
	return told_ns;
}

static struct grant *gather_grants(const struct holds *holds, size_t *count)
{
	struct grant *grants = or_die(calloc(holds->count + 1, sizeof(*grants)));

	*count = 0;
	for (const struct hold *hold = holds->list; hold < holds->list + holds->count; hold++)
		if (hold->kind == VERB_CLOSE && hold->fence)
			grants[(*count)++] = (struct grant){ hold, hold->wanted_ns, told_of_fence(hold) };
	return grants;
}

/* Who asked after another had been told has the larger one. */
static void judge_order(struct judge *judge, struct grant *asked, struct grant *told, size_t count)
{
	const struct hold *largest = NULL;

	qsort(asked, count, sizeof(*asked), by_wanted);
	qsort(told, count, sizeof(*told), by_told);
	for (size_t a = 0, t = 0; a < count; a++) {
		for (; t < count && told[t].told_ns < asked[a].wanted_ns; t++)
			if (!largest || told[t].hold->fence > largest->fence)
				largest = told[t].hold;
		if (largest && asked[a].hold->fence < largest->fence)
			judge_two(judge, RULE_FENCES, largest, asked[a].hold, 0);
	}
}

void judge_fences(struct judge *judge)
{
	size_t count;
	struct grant *asked = gather_grants(&judge->holds, &count), *told = gather_grants(&judge->holds, &count);

	judge->found->fences = (unsigned)count;
	judge_order(judge, asked, told, count);
	qsort(asked, count, sizeof(*asked), by_fence);
	for (size_t i = 1; i < count; i++)
		if (asked[i].hold->fence == asked[i - 1].hold->fence)
			judge_two(judge, RULE_FENCES, asked[i - 1].hold, asked[i].hold, 0);
	free(asked);
	free(told);
}
