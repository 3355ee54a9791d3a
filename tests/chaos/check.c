#include "chaos/check.h"

#include <stdio.h>
#include <string.h>

#include "chaos/judge.h"

/* A rule that is broken often is told of so often, and then only counted. */
enum { TOLD_MAX = 12, CONTENDED_MS = 100 };

static const struct {
	unsigned number;
	const char *says;
} rules[RULES] = {
	[RULE_EXCLUSION] = { 1, "two that exclude each other were there at once" },
	[RULE_ANSWERS] = { 2, "an answer that was true at no instant" },
	[RULE_LOST] = { 4, "something was lost, or came back" },
	[RULE_STUCK] = { 5, "a gate was shut for longer than it may be" },
	[RULE_ASLEEP] = { 5, "a waiter slept beside an open gate" },
	[RULE_TTL] = { 6, "a lease ended for age too early" },
	[RULE_CONTRACT] = { 7, "an answer that the contract does not know" },
	[RULE_FENCES] = { 8, "fences did not grow in the order of the grants" },
};

unsigned rule_number(enum rule rule)
{
	return rules[rule].number;
}

const char *rule_says(enum rule rule)
{
	return rules[rule].says;
}

bool findings_any(const struct findings *found)
{
	for (enum rule rule = 0; rule < RULES; rule++)
		if (found->broken[rule])
			return true;
	return false;
}

static void tell(struct judge *judge, enum rule rule, const char *about, int64_t ms)
{
	struct findings *found = judge->found;
	size_t size = strlen(found->faults);

	if (found->broken[rule]++ < TOLD_MAX)
		snprintf(found->faults + size, sizeof(found->faults) - size, "rule %u: %s: %s (%lld ms)\n",
			rules[rule].number, rules[rule].says, about, (long long)ms);
}

void judge_op(struct judge *judge, enum rule rule, const struct op *op, const struct hold *about, int64_t ms)
{
	char text[320];

	snprintf(text, sizeof(text), "%lld %s %s %s answered %s%s%s%s%s code %lld", op->number, verb_word(op->verb),
		op->gates, op->lease, op->done_ns == NEVER ? "never" : answer_word(op->answer), op->by[0] ? " by " : "",
		op->by, about ? " beside " : "", about ? about->mark : "", op->code);
	tell(judge, rule, text, ms);
}

void judge_two(struct judge *judge, enum rule rule, const struct hold *one, const struct hold *other, int64_t ms)
{
	char text[320];

	snprintf(text, sizeof(text), "%s %s of %s fence %lld, and %s %s of %s fence %lld", verb_word(one->kind),
		one->mark, one->gates, one->fence, verb_word(other->kind), other->mark, other->gates, other->fence);
	tell(judge, rule, text, ms);
}

static void count_op(struct findings *found, const struct op *op)
{
	found->ops++;
	found->unknown += op->done_ns == NEVER || op->answer == ANSWER_UNKNOWN;
	found->open += op->answer == ANSWER_OPEN;
	found->shut += op->answer == ANSWER_SHUT;
	found->renewed += op->verb == VERB_RENEW && op->answer == ANSWER_LIVE;
}

static void count_hold(struct findings *found, const struct hold *hold)
{
	bool had = hold->had_ns != NEVER;

	found->windows += had && hold->kind == VERB_CLOSE;
	found->passes += had && hold->kind == VERB_PASS;
	found->sql_holds += had && !hold_is_lease(hold);
	found->commands += had && hold->ops[0]->at == 0 && hold_is_lease(hold);
	found->expired += strcmp(hold->end, "expired") == 0;
	found->forced += strcmp(hold->end, "forced") == 0;
	found->overrun += hold->overrun;
	found->inside += had && hold->inside[0];
	found->contended += hold->kind == VERB_CLOSE &&
		(hold->refused || (had && hold->had_ns - hold->wanted_ns > CONTENDED_MS * MS));
	found->repeated += hold->op_count > 1 && hold->ops[1]->verb == hold->kind;
}

static void count(struct judge *judge)
{
	const struct history *history = judge->history;

	for (const struct op *op = history->ops; op < history->ops + history->count; op++)
		if (op->verb != VERB_PROBE)
			count_op(judge->found, op);
	for (size_t i = 0; i < judge->holds.count; i++)
		count_hold(judge->found, &judge->holds.list[i]);
}

void check(const struct history *history, int64_t slack_ms, struct findings *found)
{
	struct judge judge = { .history = history, .slack_ms = slack_ms, .found = found };

	*found = (struct findings){ .ops = 0 };
	health_init(&judge.health, history);
	holds_init(&judge.holds, history, &judge.health);
	count(&judge);
	judge_tolls(&judge);
	judge_exclusion(&judge);
	judge_answers(&judge);
	judge_leases(&judge);
	judge_fences(&judge);
	judge_stuck(&judge);
	judge_asleep(&judge);
	holds_release(&judge.holds);
	health_release(&judge.health);
}
