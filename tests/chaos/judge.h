/* judge: what the parts of the checker share. */
#ifndef CHAOS_JUDGE_H
#define CHAOS_JUDGE_H

#include "chaos/check.h"
#include "chaos/health.h"
#include "chaos/holds.h"

struct judge {
	const struct history *history;
	int64_t slack_ms;	/* beside what may take long */
	struct health health;
	struct holds holds;
	struct findings *found;
};

/* Each decides the rules that it is called for, and counts what it had to judge. */
void judge_exclusion(struct judge *);
void judge_answers(struct judge *);
void judge_leases(struct judge *);
void judge_fences(struct judge *);
void judge_stuck(struct judge *);
void judge_asleep(struct judge *);
void judge_tolls(struct judge *);

/* Notes that a rule was broken, by one op, or by two holds. ms: by how much; about a hold whose facts show it, or NULL. */
void judge_op(struct judge *, enum rule, const struct op *, const struct hold *about, int64_t ms);
void judge_two(struct judge *, enum rule, const struct hold *, const struct hold *, int64_t ms);

/* The toll of the fault beside which an instant lies; NULL for none. */
struct toll *judge_toll_at(struct judge *, int64_t ns);

#endif
