#include "chaos/holds.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "support/gates.h"

/* A place that nobody asks for any more lives on for so long; what was attached keeps its gates shut for that after its expiry. */
enum { PLACE_MS = 15000, ATTACHED_GRACE_MS = 5000 };

bool hold_is_lease(const struct hold *hold)
{
	return hold->kind == VERB_CLOSE || hold->kind == VERB_PASS;
}

bool hold_shuts(const struct hold *hold)
{
	return hold->kind == VERB_CLOSE || hold->kind == VERB_CLOSE_HERE || hold->kind == VERB_LOCK;
}

static bool makes(enum verb verb)
{
	return verb >= VERB_CLOSE && verb <= VERB_LOCK_SHARED;
}

static bool ends(enum verb verb)
{
	return verb == VERB_OPEN || verb == VERB_RELEASE || verb == VERB_FORCE;
}

static int64_t later(int64_t one, int64_t other)
{
	return one > other ? one : other;
}

static int64_t sooner(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

static int64_t plus_ms(int64_t ns, long long ms)
{
	return ns == NEVER ? NEVER : ns + ms * MS;
}

/* Gathering: the ops of each hold side by side. */

static int by_lease(const void *one, const void *other)
{
	const struct op *a = *(const struct op *const *)one, *b = *(const struct op *const *)other;
	int order = strcmp(a->lease, b->lease);

	return order ? order : (a->called_ns > b->called_ns) - (a->called_ns < b->called_ns);
}

static int by_want(const void *one, const void *other)
{
	const struct hold *a = one, *b = other;

	return (a->wanted_ns > b->wanted_ns) - (a->wanted_ns < b->wanted_ns);
}

static int by_mark(const void *one, const void *other)
{
	return strcmp((*(struct hold *const *)one)->mark, (*(struct hold *const *)other)->mark);
}

static size_t gather_ops(struct holds *holds, const struct history *history)
{
	size_t count = 0;

	holds->ops = or_die(calloc(history->count + 1, sizeof(const struct op *)));
	for (const struct op *op = history->ops; op < history->ops + history->count; op++)
		if (op->lease[0] && op->verb != VERB_PROBE)
			holds->ops[count++] = op;
	qsort(holds->ops, count, sizeof(const struct op *), by_lease);
	return count;
}

/* What was only looked at, and never asked for here, is no hold of ours. */
static void gather(struct holds *holds, size_t op_count)
{
	holds->list = or_die(calloc(op_count + 1, sizeof(*holds->list)));
	for (size_t from = 0, to; from < op_count; from = to) {
		const struct op *first = NULL;

		for (to = from; to < op_count && strcmp(holds->ops[to]->lease, holds->ops[from]->lease) == 0; to++)
			if (!first && makes(holds->ops[to]->verb))
				first = holds->ops[to];
		if (first)
			holds->list[holds->count++] = (struct hold){ .kind = first->verb,
				.mark = first->lease,
				.gates = first->gates,
				.ops = holds->ops + from,
				.op_count = to - from,
				.wanted_ns = first->called_ns,
				.ttl_ms = first->ttl_ms,
				.grace_ms = first->grace_ms,
				.inside = first->inside,
				.end = "",
				.had_ns = NEVER,
				.seen_ended_ns = NEVER,
				.closes_over = first->drain[0] && strcmp(first->drain, "abort") != 0 };
	}
}

/* What each op tells of its hold. */

/* Whether the session of plain SQL had it still when it was told to let go. */
static bool proves_live(const struct hold *hold, const struct op *op)
{
	return op->answer == ANSWER_LIVE || (op->answer == ANSWER_ENDED && !hold_is_lease(hold) && ends(op->verb));
}

static void see_live(struct hold *hold, const struct op *op)
{
	hold->seen_live_ns = later(hold->seen_live_ns, op->called_ns);
	if (makes(op->verb)) {
		hold->had_ns = sooner(hold->had_ns, op->done_ns);
		hold->lives_until_ns = later(hold->lives_until_ns, plus_ms(hold->wanted_ns, hold->ttl_ms));
	}
	if (op->verb == VERB_RENEW)
		hold->lives_until_ns = later(hold->lives_until_ns, plus_ms(op->called_ns, op->ttl_ms));
	/* What a change says of the time left holds; a mere look may come before the service has made up for a stepped clock. */
	if (op->verb != VERB_LOOK && op->left_ms > 0)
		hold->lives_until_ns = later(hold->lives_until_ns, plus_ms(op->called_ns, op->left_ms));
}

static void see_ended(struct hold *hold, const struct op *op)
{
	hold->seen_ended_ns = sooner(hold->seen_ended_ns, op->done_ns - op->ago_ms * MS);
	if (op->end[0])
		hold->end = op->end;
}

static void learn(struct hold *hold, const struct op *op)
{
	if (proves_live(hold, op))
		see_live(hold, op);
	if (op->answer == ANSWER_ENDED)
		see_ended(hold, op);
	if (op->fence && !hold->fence)
		hold->fence = op->fence;
	hold->overrun |= op->overrun;
	hold->wait_ms = op->wait_ms > hold->wait_ms ? op->wait_ms : hold->wait_ms;
	hold->forced |= op->verb == VERB_FORCE && op->answer != ANSWER_REFUSED;
}

static bool is_answered(const struct op *op)
{
	return op->done_ns != NEVER && op->answer != ANSWER_UNKNOWN && op->answer != ANSWER_ODD;
}

/* The first instant from which on something that was asked may have ended it, once it was last seen live. What nobody knows the
 * outcome of may take effect at any time, also behind the return. */
static int64_t end_asked(const struct hold *hold)
{
	int64_t first = NEVER;

	for (size_t i = 0; i < hold->op_count; i++) {
		const struct op *op = hold->ops[i];

		if (ends(op->verb) && (!is_answered(op) || op->done_ns > hold->seen_live_ns))
			first = sooner(first, later(op->called_ns, hold->seen_live_ns));
	}
	return first;
}

/* Whose holder never outlives it has it for as long as it says so, unless somebody else ended it. */
static bool is_sure(const struct hold *hold)
{
	return hold->ops[0]->sure && !hold->forced && !hold->overrun;
}

static void find_sure_end(struct hold *hold)
{
	int64_t asked = end_asked(hold);

	hold->sure_until_ns = later(hold->seen_live_ns, sooner(hold->lives_until_ns, asked));
	if (is_sure(hold) && asked != NEVER)
		hold->sure_until_ns = later(hold->sure_until_ns, asked);
}

/* Whether it came to nothing: all that ever asked for it was refused, or there was no trace of it later. A window leaves one. */
static bool was_refused(const struct hold *hold)
{
	const struct op *last = hold->ops[hold->op_count - 1];

	if (hold->had_ns == NEVER && last->answer == ANSWER_MISSING && last->called_ns > hold->owner_last_ns)
		return true;
	for (size_t i = 0; i < hold->op_count; i++)
		if (makes(hold->ops[i]->verb) && hold->ops[i]->answer != ANSWER_REFUSED)
			return false;
	return true;
}

static bool prolongs(enum verb verb)
{
	return makes(verb) || verb == VERB_RENEW || verb == VERB_OPEN || verb == VERB_RELEASE;
}

static void find_owner_last(struct hold *hold, const struct health *health)
{
	for (size_t i = 0; i < hold->op_count; i++)
		if (prolongs(hold->ops[i]->verb))
			hold->owner_last_ns = later(hold->owner_last_ns, health_effect_until(health, hold->ops[i]));
}

static long long grace_of(const struct hold *hold)
{
	return hold->ops[0]->sure && hold->grace_ms < ATTACHED_GRACE_MS ? ATTACHED_GRACE_MS : hold->grace_ms;
}

/* When it shuts nothing any more: surely, and by right. */
static void find_over(struct hold *hold)
{
	bool expired = strcmp(hold->end, "expired") == 0;
	bool had = hold->had_ns != NEVER;
	long long lasts_ms = hold->ttl_ms + (hold->kind == VERB_CLOSE ? grace_of(hold) : 0);
	int64_t last = hold->owner_last_ns;

	hold->over_ns = hold->due_ns = NEVER;
	if (hold->refused) {
		hold->over_ns = hold->due_ns = last;
		return;
	}
	if (hold->seen_ended_ns != NEVER)
		hold->over_ns = plus_ms(hold->seen_ended_ns, expired ? grace_of(hold) : 0);
	if (hold_is_lease(hold))
		hold->due_ns =
			plus_ms(last, had ? lasts_ms : hold->wait_ms + (lasts_ms > PLACE_MS ? lasts_ms : PLACE_MS));
	if (!expired)
		hold->due_ns = sooner(hold->due_ns, hold->over_ns);
}

/* What crashed shuts its gates until somebody forces them open, or another window takes its place. */
static void find_over_of_crashed(struct hold *hold, const struct holds *holds)
{
	int64_t over = NEVER;

	for (size_t i = 0; i < hold->op_count; i++)
		if (hold->ops[i]->verb == VERB_FORCE && hold->ops[i]->answer == ANSWER_ENDED)
			over = sooner(over, hold->ops[i]->done_ns);
	for (const struct hold *h = holds->list; h < holds->list + holds->count; h++)
		if (h->kind == VERB_CLOSE && h != hold && h->had_ns != NEVER && h->had_ns > hold->sure_until_ns &&
			gates_conflict(h->gates, hold->gates))
			over = sooner(over, h->had_ns);
	hold->over_ns = hold->due_ns = over;
}

/* Whether it ended, or may have, so that its gates stay shut. */
static bool has_crashed(const struct hold *hold)
{
	bool by_expiry = hold->ops[0]->holds != 0, asked = false;

	for (size_t i = 0; i < hold->op_count; i++)
		asked |= hold->ops[i]->verb == VERB_OPEN && hold->ops[i]->holds;
	if (!hold->end[0])
		return by_expiry || asked;
	return strcmp(hold->end, "failed") == 0 || (by_expiry && strcmp(hold->end, "expired") == 0);
}

static void judge(struct hold *hold, const struct health *health)
{
	for (size_t i = 0; i < hold->op_count; i++)
		learn(hold, hold->ops[i]);
	find_sure_end(hold);
	find_owner_last(hold, health);
	hold->refused = was_refused(hold);
	hold->crashed = hold->kind == VERB_CLOSE && !hold->refused && has_crashed(hold);
	find_over(hold);
}

void holds_init(struct holds *holds, const struct history *history, const struct health *health)
{
	*holds = (struct holds){ .count = 0 };
	gather(holds, gather_ops(holds, history));
	qsort(holds->list, holds->count, sizeof(*holds->list), by_want);
	holds->by_mark = or_die(calloc(holds->count + 1, sizeof(struct hold *)));
	for (size_t i = 0; i < holds->count; i++) {
		struct hold *hold = holds->by_mark[i] = &holds->list[i];

		judge(hold, health);
		if (hold->had_ns != NEVER)
			holds->longest_ns = later(holds->longest_ns, hold->sure_until_ns - hold->had_ns);
	}
	for (struct hold *hold = holds->list; hold < holds->list + holds->count; hold++)
		if (hold->crashed)
			find_over_of_crashed(hold, holds);
	qsort(holds->by_mark, holds->count, sizeof(struct hold *), by_mark);
}

void holds_release(struct holds *holds)
{
	free(holds->list);
	free(holds->by_mark);
	free(holds->ops);
	*holds = (struct holds){ .count = 0 };
}

const struct hold *holds_find(const struct holds *holds, const char *mark)
{
	struct hold wanted = { .mark = mark }, *key = &wanted, **found;

	found = mark[0] ? bsearch(&key, holds->by_mark, holds->count, sizeof(struct hold *), by_mark) : NULL;
	return found ? *found : NULL;
}
