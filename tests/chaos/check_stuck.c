/* Rule 5, and what it looked like beside each fault: gates shut for longer than they may be, waiters asleep beside open ones. */
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "chaos/judge.h"
#include "support/gates.h"

static int64_t later(int64_t one, int64_t other)
{
	return one > other ? one : other;
}

/* Tolls. */

static struct toll *toll_of(struct findings *found, const char *name)
{
	for (size_t i = 0; i < found->toll_count; i++)
		if (strcmp(found->tolls[i].name, name) == 0)
			return &found->tolls[i];
	if (found->toll_count == FAULT_KINDS_MAX)
		die("more kinds of faults than there is room for");
	memcpy(found->tolls[found->toll_count].name, name, WORD_SIZE);
	return &found->tolls[found->toll_count++];
}

static int64_t end_of(const struct judge *judge, const struct strike_line *strike)
{
	return strike->well_ns ? strike->well_ns : judge->history->end_ns;
}

/* The first of that kind, or of any (NULL). */
static const struct strike_line *strike_beside(
	const struct judge *judge, const char *name, int64_t from_ns, int64_t to_ns)
{
	const struct history *history = judge->history;

	for (const struct strike_line *s = history->strikes; s < history->strikes + history->strike_count; s++)
		if (s->effective_ns && s->begun_ns < to_ns && end_of(judge, s) > from_ns &&
			(!name || strcmp(s->name, name) == 0))
			return s;
	return NULL;
}

struct toll *judge_toll_at(struct judge *judge, int64_t ns)
{
	const struct strike_line *strike = strike_beside(judge, NULL, ns, ns + 1);

	return strike ? toll_of(judge->found, strike->name) : NULL;
}

static void add_to_toll(struct toll *toll, const struct op *op)
{
	bool waits = op->verb == VERB_WAIT || op->verb == VERB_WAIT_OPEN || op->wait_ms;

	toll->unknown += op->done_ns == NEVER || op->answer == ANSWER_UNKNOWN;
	toll->open += op->answer == ANSWER_OPEN;
	toll->shut += op->answer == ANSWER_SHUT;
	toll->granted += op->answer == ANSWER_LIVE;
	toll->refused += op->answer == ANSWER_REFUSED;
	if (op->done_ns != NEVER && !waits)
		toll->slowest_ns = later(toll->slowest_ns, op->done_ns - op->called_ns);
}

void judge_tolls(struct judge *judge)
{
	const struct history *history = judge->history;

	for (const struct strike_line *s = history->strikes; s < history->strikes + history->strike_count; s++) {
		struct toll *toll = toll_of(judge->found, s->name);

		toll->strikes++;
		toll->effective += s->effective_ns != 0;
		if (s->healed_ns)
			toll->unwell_ns = later(toll->unwell_ns, end_of(judge, s) - s->healed_ns);
	}
	for (const struct op *op = history->ops; op < history->ops + history->count; op++) {
		struct toll *toll = op->verb == VERB_PROBE ? NULL : judge_toll_at(judge, op->called_ns);

		if (toll)
			add_to_toll(toll, op);
	}
}

/* Gates that are shut too long. */

/* The latest instant before the question until which somebody could keep the gates shut by right; NEVER: somebody still can. */
static int64_t shut_by_right_until(const struct judge *judge, const struct op *op, const struct hold **whose)
{
	int64_t latest = 0;

	*whose = NULL;
	for (const struct hold *h = judge->holds.list; h < judge->holds.list + judge->holds.count; h++) {
		if (h->wanted_ns > op->done_ns)
			break;
		if (h->due_ns <= latest || !hold_shuts(h) || !gates_shut(h->gates, op->gates))
			continue;
		if (h->due_ns >= op->called_ns)
			return NEVER;
		latest = h->due_ns;
		*whose = h;
	}
	return latest;
}

static void note_shut(struct judge *judge, const struct op *op, const struct hold *hold, int64_t since_ns)
{
	struct findings *found = judge->found;
	struct toll *toll = judge_toll_at(judge, op->called_ns);
	int64_t length = op->called_ns - since_ns, served = health_service_ns(&judge->health, since_ns, op->called_ns);

	found->shut_ns = later(found->shut_ns, length);
	if (toll)
		toll->shut_ns = later(toll->shut_ns, length);
	if (served > (STUCK_MS + judge->slack_ms) * MS)
		judge_op(judge, RULE_STUCK, op, hold, served / MS);
}

/* A lease that is there although its time is over and nobody prolonged it. */
static void judge_leftovers(struct judge *judge, const struct hold *hold)
{
	for (size_t i = 0; i < hold->op_count; i++)
		if (hold->ops[i]->verb == VERB_LOOK && hold->ops[i]->answer == ANSWER_LIVE &&
			hold->ops[i]->called_ns > hold->due_ns)
			note_shut(judge, hold->ops[i], hold, hold->due_ns);
}

void judge_stuck(struct judge *judge)
{
	const struct history *history = judge->history;
	const struct hold *hold;

	for (const struct op *op = history->ops; op < history->ops + history->count; op++)
		if (op->answer == ANSWER_SHUT) {
			int64_t since_ns = shut_by_right_until(judge, op, &hold);

			if (hold && since_ns < op->called_ns)
				note_shut(judge, op, hold, since_ns);
		}
	for (hold = judge->holds.list; hold < judge->holds.list + judge->holds.count; hold++)
		judge_leftovers(judge, hold);
}

/* Waiters. */

static bool sleeps(const struct op *op)
{
	bool waits = op->verb == VERB_WAIT || op->verb == VERB_WAIT_OPEN || op->verb == VERB_ENTER ||
		(op->verb == VERB_PASS && op->wait_ms);

	return waits && op->done_ns != NEVER &&
		(op->answer == ANSWER_OPEN || op->answer == ANSWER_SHUT || op->answer == ANSWER_LIVE ||
			op->answer == ANSWER_REFUSED);
}

/* When, from an instant on, something may shut the gates, and until when. False: nothing does before the answer. */
static bool next_shut(const struct judge *judge, const struct op *op, int64_t at_ns, struct span *shut)
{
	*shut = (struct span){ NEVER, 0 };
	for (const struct hold *h = judge->holds.list; h < judge->holds.list + judge->holds.count; h++) {
		if (h->wanted_ns >= op->done_ns || h->wanted_ns > shut->from_ns)
			break;
		if (h->over_ns > at_ns && hold_shuts(h) && strcmp(h->mark, op->inside) != 0 &&
			gates_shut(h->gates, op->gates))
			*shut = (struct span){ h->wanted_ns, h->over_ns };
	}
	return shut->from_ns != NEVER;
}

/* A replica that does not get on keeps the lock of a window that is over for up to 5 s, until others end its session: so long
 * the gate is open only where all are well. */
static int64_t slept_ns(const struct judge *judge, const struct op *op, int64_t from_ns, int64_t to_ns)
{
	int64_t free_ns = from_ns + STUCK_MS * MS, soon_ns = to_ns < free_ns ? to_ns : free_ns;
	int64_t own = health_longest_ns(&judge->health, op->at, from_ns, soon_ns);
	int64_t all = health_all_ns(&judge->health, from_ns, soon_ns), slept = own < all ? own : all;

	return to_ns > free_ns ? later(slept, health_longest_ns(&judge->health, op->at, free_ns, to_ns)) : slept;
}

/* Whether nothing passed between a replica and its clients for a while: who was woken then could not be told. */
static bool was_silent(const struct judge *judge, int64_t from_ns, int64_t to_ns)
{
	return strike_beside(judge, "clients-silent", from_ns, to_ns) != NULL;
}

static void note_asleep(struct judge *judge, const struct op *op, int64_t from_ns, int64_t to_ns)
{
	int64_t slept = was_silent(judge, from_ns, to_ns) ? 0 : slept_ns(judge, op, from_ns, to_ns);
	struct toll *toll = judge_toll_at(judge, from_ns);

	if (!slept)
		return;
	judge->found->slept_judged++;
	judge->found->asleep_ns = later(judge->found->asleep_ns, slept);
	if (toll)
		toll->asleep_ns = later(toll->asleep_ns, slept);
	if (slept > (ASLEEP_MS + judge->slack_ms) * MS)
		judge_op(judge, RULE_ASLEEP, op, NULL, slept / MS);
}

/* From one time that its gates may be shut to the next, whoever waits for them is to be woken. */
static void judge_sleeper(struct judge *judge, const struct op *op)
{
	struct span shut;
	int64_t at_ns = op->called_ns;

	while (next_shut(judge, op, at_ns, &shut)) {
		if (shut.from_ns > at_ns)
			note_asleep(judge, op, at_ns, shut.from_ns);
		if (shut.to_ns >= op->done_ns)
			return;
		at_ns = shut.to_ns;
	}
	note_asleep(judge, op, at_ns, op->done_ns);
}

void judge_asleep(struct judge *judge)
{
	const struct history *history = judge->history;

	for (const struct op *op = history->ops; op < history->ops + history->count; op++)
		if (sleeps(op)) {
			judge->found->waited++;
			judge_sleeper(judge, op);
		}
}
