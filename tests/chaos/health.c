#include "chaos/health.h"

#include <stdlib.h>

#include "base/die.h"

enum { AFTER_PROBE_MS = 1000 };

static bool is_good(const struct op *op)
{
	return op->answer == ANSWER_LIVE && op->done_ns != NEVER;
}

/* Adds a span to those of a replica, which come in order; what touches the last lengthens that. */
static void add(struct spans *spans, int64_t from_ns, int64_t to_ns)
{
	struct span *last = spans->count ? &spans->list[spans->count - 1] : NULL;

	if (last && from_ns <= last->to_ns) {
		last->to_ns = to_ns > last->to_ns ? to_ns : last->to_ns;
		return;
	}
	if ((spans->count & (spans->count - 1)) == 0)
		spans->list =
			or_die(realloc(spans->list, (spans->count ? spans->count * 2 : 1) * sizeof(*spans->list)));
	spans->list[spans->count++] = (struct span){ from_ns, to_ns };
}

static int by_start(const void *one, const void *other)
{
	const struct span *a = one, *b = other;

	return (a->from_ns > b->from_ns) - (a->from_ns < b->from_ns);
}

static void unite(struct health *health)
{
	struct span *all;
	size_t count = 0, filled = 0;

	for (size_t r = 1; r <= HEALTH_REPLICAS; r++)
		count += health->of[r].count;
	all = or_die(calloc(count + 1, sizeof(*all)));
	for (size_t r = 1; r <= HEALTH_REPLICAS; r++)
		for (size_t i = 0; i < health->of[r].count; i++)
			all[filled++] = health->of[r].list[i];
	qsort(all, count, sizeof(*all), by_start);
	for (size_t i = 0; i < count; i++)
		add(&health->of[0], all[i].from_ns, all[i].to_ns);
	free(all);
}

void health_init(struct health *health, const struct history *history)
{
	const struct op *last[HEALTH_REPLICAS + 1] = { NULL };

	*health = (struct health){ .history = history };
	for (const struct op *op = history->ops; op < history->ops + history->count; op++) {
		if (op->verb != VERB_PROBE || op->at < 1 || op->at > HEALTH_REPLICAS)
			continue;
		if (last[op->at] && is_good(op) && op->done_ns - last[op->at]->called_ns <= PROBE_GAP_MS * MS)
			add(&health->of[op->at], last[op->at]->called_ns, op->done_ns);
		last[op->at] = is_good(op) ? op : NULL;
	}
	unite(health);
}

void health_release(struct health *health)
{
	for (size_t r = 0; r <= HEALTH_REPLICAS; r++)
		free(health->of[r].list);
	*health = (struct health){ 0 };
}

static int64_t overlap(const struct span *span, int64_t from_ns, int64_t to_ns)
{
	from_ns = span->from_ns > from_ns ? span->from_ns : from_ns;
	to_ns = span->to_ns < to_ns ? span->to_ns : to_ns;
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

int64_t health_service_ns(const struct health *health, int64_t from_ns, int64_t to_ns)
{
	const struct spans *any = &health->of[0];
	int64_t total = 0;

	for (size_t i = 0; i < any->count; i++)
		total += overlap(&any->list[i], from_ns, to_ns);
	return total;
}

int64_t health_longest_ns(const struct health *health, long long replica, int64_t from_ns, int64_t to_ns)
{
	const struct spans *spans = &health->of[replica < 0 || replica > HEALTH_REPLICAS ? 0 : replica];
	int64_t longest = 0;

	for (size_t i = 0; i < spans->count; i++) {
		int64_t length = overlap(&spans->list[i], from_ns, to_ns);

		longest = length > longest ? length : longest;
	}
	return longest;
}

static int64_t all_from(const struct health *health, size_t replica, int64_t from_ns, int64_t to_ns)
{
	int64_t longest = 0;

	while (replica <= HEALTH_REPLICAS && !health->of[replica].count)
		replica++;
	if (replica > HEALTH_REPLICAS)
		return to_ns - from_ns;
	for (size_t i = 0; i < health->of[replica].count; i++) {
		const struct span *span = &health->of[replica].list[i];
		int64_t length;

		if (!overlap(span, from_ns, to_ns))
			continue;
		length = all_from(health, replica + 1, span->from_ns > from_ns ? span->from_ns : from_ns,
			span->to_ns < to_ns ? span->to_ns : to_ns);
		longest = length > longest ? length : longest;
	}
	return longest;
}

int64_t health_all_ns(const struct health *health, int64_t from_ns, int64_t to_ns)
{
	return all_from(health, 1, from_ns, to_ns);
}

/* The end of the first good probe of a replica that was sent after an instant. */
static int64_t next_good(const struct history *history, long long replica, int64_t after_ns)
{
	for (const struct op *op = history_after(history, after_ns); op < history->ops + history->count; op++)
		if (op->verb == VERB_PROBE && op->at == replica && is_good(op))
			return op->done_ns + AFTER_PROBE_MS * MS;
	return NEVER;
}

int64_t health_effect_until(const struct health *health, const struct op *op)
{
	int64_t latest = 0;

	if (op->answer != ANSWER_UNKNOWN && op->answer != ANSWER_ODD && op->done_ns != NEVER)
		return op->done_ns;
	for (long long r = 1; r <= HEALTH_REPLICAS; r++) {
		int64_t until;

		if (!health->of[r].count || (op->at && op->at != r))
			continue;
		until = next_good(health->history, r, op->done_ns == NEVER ? op->called_ns : op->done_ns);
		latest = until > latest ? until : latest;
	}
	return latest ? latest : NEVER;
}
