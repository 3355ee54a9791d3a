/* Rules 1 and 2: who was there at once, and which answers cannot be true. */
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "chaos/judge.h"
#include "support/gates.h"

/* For so long behind a fault the locks may not match the rows yet, so that who takes no look at the rows gets in. */
enum { SETTLES_MS = 6000 };

static bool is_of(const struct hold *hold, enum verb kind)
{
	return hold->kind == kind;
}

/* Whether a window, of the service or of plain SQL, excludes what somebody else holds. */
static bool window_excludes(const struct hold *window, const struct hold *other)
{
	switch (other->kind) {
	case VERB_CLOSE:
	case VERB_CLOSE_HERE:
		return gates_conflict(window->gates, other->gates);
	case VERB_PASS:
		return !other->overrun && strcmp(other->inside, window->mark) != 0 &&
			gates_shut(window->gates, other->gates);
	case VERB_ENTER:
		return !window->closes_over && gates_shut(window->gates, other->gates);
	case VERB_LOCK_SHARED:
		return !window->closes_over && gates_meet(window->gates, other->gates);
	default:
		return false;
	}
}

/* Whether somebody's plain lock does. It is that of one gate alone; whoever is at it or below has it shared. */
static bool lock_excludes(const struct hold *lock, const struct hold *other)
{
	if (is_of(other, VERB_PASS) && (other->overrun || other->inside[0]))
		return false;
	if (is_of(other, VERB_LOCK) || is_of(other, VERB_LOCK_SHARED))
		return gates_meet(lock->gates, other->gates);
	return gates_shut(lock->gates, other->gates);
}

static bool exclude(const struct hold *one, const struct hold *other)
{
	if (is_of(one, VERB_LOCK) || is_of(other, VERB_LOCK))
		return is_of(one, VERB_LOCK) ? lock_excludes(one, other) : lock_excludes(other, one);
	if (is_of(one, VERB_CLOSE) || is_of(one, VERB_CLOSE_HERE))
		return window_excludes(one, other);
	return (is_of(other, VERB_CLOSE) || is_of(other, VERB_CLOSE_HERE)) && window_excludes(other, one);
}

/* Whether who takes plain locks met a lease. Such a one does not look at the rows, and after a fault may be quicker than the
 * service: then the lease is contested, and stays so beside others who are quicker again. */
static bool is_plain(const struct hold *hold)
{
	return is_of(hold, VERB_LOCK) || is_of(hold, VERB_LOCK_SHARED);
}

static bool faulty_between(const struct history *history, int64_t from_ns, int64_t to_ns)
{
	for (const struct strike_line *s = history->strikes; s < history->strikes + history->strike_count; s++) {
		int64_t end_ns = s->well_ns ? s->well_ns : history->end_ns;

		if (s->begun_ns < to_ns && end_ns + SETTLES_MS * MS > from_ns)
			return true;
	}
	return false;
}

/* Until when a lease may be contested because of a plain lock: it is tried again for a while after that has gone. */
static int64_t contests_until(const struct hold *plain)
{
	return plain->over_ns == NEVER ? NEVER : plain->over_ns + SETTLES_MS * MS;
}

/* Whether somebody else may have had such a lock just before, of whom it is not known. */
static bool maybe_contested(const struct judge *judge, const struct hold *lease, const struct hold *plain)
{
	const struct holds *holds = &judge->holds;

	for (const struct hold *h = holds->list; h < holds->list + holds->count && h->wanted_ns < plain->had_ns; h++)
		if (is_plain(h) && h->had_ns == NEVER && !h->refused && contests_until(h) > plain->wanted_ns &&
			exclude(h, lease))
			return true;
	return false;
}

/* May be called for pairs in the order in which the later of the two was had. contested: for each lease until when it may be. */
static bool is_excused(const struct judge *judge, const struct hold *one, const struct hold *other, int64_t *contested)
{
	const struct hold *lease = hold_is_lease(one) ? one : other, *plain = lease == one ? other : one;
	const struct hold *later = one->had_ns > other->had_ns ? one : other;
	int64_t *until_ns = &contested[lease - judge->holds.list];

	if (!hold_is_lease(lease) || !is_plain(plain))
		return false;
	if (!faulty_between(judge->history, later->wanted_ns, later->had_ns) && later->wanted_ns > *until_ns &&
		!maybe_contested(judge, lease, plain))
		return false;
	if (contests_until(plain) > *until_ns)
		*until_ns = contests_until(plain);
	return true;
}

static int by_had(const void *one, const void *other)
{
	const struct hold *a = *(const struct hold *const *)one, *b = *(const struct hold *const *)other;

	return (a->had_ns > b->had_ns) - (a->had_ns < b->had_ns);
}

/* The holds that were surely had, in the order in which they were; the caller's (free). */
static const struct hold **sure_holds(const struct holds *holds, size_t *count)
{
	const struct hold **sure = or_die(calloc(holds->count + 1, sizeof(const struct hold *)));

	*count = 0;
	for (const struct hold *hold = holds->list; hold < holds->list + holds->count; hold++)
		if (hold->had_ns != NEVER && hold->had_ns < hold->sure_until_ns)
			sure[(*count)++] = hold;
	qsort(sure, *count, sizeof(const struct hold *), by_had);
	return sure;
}

static int64_t sooner(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

void judge_exclusion(struct judge *judge)
{
	size_t count;
	const struct hold **sure = sure_holds(&judge->holds, &count);
	int64_t *contested = or_die(calloc(judge->holds.count + 1, sizeof(*contested)));

	for (size_t b = 0; b < count; b++)
		for (size_t a = b; a-- > 0 && sure[a]->had_ns > sure[b]->had_ns - judge->holds.longest_ns;)
			if (sure[a]->sure_until_ns > sure[b]->had_ns && exclude(sure[a], sure[b]) &&
				!is_excused(judge, sure[a], sure[b], contested))
				judge_two(judge, RULE_EXCLUSION, sure[a], sure[b],
					(sooner(sure[a]->sure_until_ns, sure[b]->sure_until_ns) - sure[b]->had_ns) /
						MS);
	free(contested);
	free(sure);
}

/* Answers. */

/* Whether it said that its gates are open. A repeated pass only says that there is one. */
static bool says_open(const struct judge *judge, const struct op *op)
{
	if (op->answer == ANSWER_OPEN)
		return true;
	return op->answer == ANSWER_LIVE && (op->verb == VERB_PASS || op->verb == VERB_ENTER) &&
		holds_find(&judge->holds, op->lease)->ops[0] == op;
}

/* Whether a hold that is there keeps the asker out. */
static bool keeps_out(const struct hold *hold, const struct op *op)
{
	if (op->inside[0] && (strcmp(op->inside, hold->mark) == 0 || !hold_is_lease(hold)))
		return false;
	return gates_shut(hold->gates, op->gates);
}

/* The hold that surely shut the gates from before the question until behind the answer; NULL for none. */
static const struct hold *shut_throughout(
	const struct hold **sure, size_t count, const struct op *op, int64_t longest_ns)
{
	size_t from = 0, to = count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (sure[middle]->had_ns <= op->called_ns)
			from = middle + 1;
		else
			to = middle;
	}
	while (from-- > 0 && sure[from]->had_ns >= op->called_ns - longest_ns)
		if (sure[from]->sure_until_ns >= op->done_ns && hold_shuts(sure[from]) && keeps_out(sure[from], op))
			return sure[from];
	return NULL;
}

/* Whether this shows that the window shuts nothing any more. */
static bool opened_for_good(const struct hold *hold, const struct op *op)
{
	return hold->had_ns != NEVER && op->answer == ANSWER_ENDED &&
		(op->verb == VERB_FORCE || strcmp(op->end, "opened") == 0 || strcmp(op->end, "forced") == 0);
}

/* A refusal that names a window which had been opened before the question was asked. */
static void judge_refusal(struct judge *judge, const struct op *op)
{
	const struct hold *by = holds_find(&judge->holds, op->by);

	for (size_t i = 0; by && i < by->op_count; i++)
		if (opened_for_good(by, by->ops[i]) && by->ops[i]->done_ns < op->called_ns) {
			judge_op(judge, RULE_ANSWERS, op, by, (op->called_ns - by->ops[i]->done_ns) / MS);
			return;
		}
	if (by && strcmp(op->inside, op->by) == 0 && by->had_ns < op->called_ns && by->sure_until_ns > op->done_ns)
		judge_op(judge, RULE_ANSWERS, op, by, 0);
}

void judge_answers(struct judge *judge)
{
	const struct history *history = judge->history;
	size_t count;
	const struct hold **sure = sure_holds(&judge->holds, &count), *hold;

	for (const struct op *op = history->ops; op < history->ops + history->count; op++) {
		if (op->done_ns == NEVER || op->verb == VERB_PROBE)
			continue;
		if (op->answer == ANSWER_SHUT)
			judge_refusal(judge, op);
		if (op->answer != ANSWER_SHUT && !says_open(judge, op))
			continue;
		hold = shut_throughout(sure, count, op, judge->holds.longest_ns);
		judge->found->shut_judged += hold != NULL;
		if (hold && op->answer != ANSWER_SHUT)
			judge_op(judge, RULE_ANSWERS, op, hold, (op->done_ns - op->called_ns) / MS);
	}
	free(sure);
}
