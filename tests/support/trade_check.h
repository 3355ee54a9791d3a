/* trade_check: decides from the lines of a history whether the gate kept its promises. It knows neither the service nor the
 * scene, so that it can be shown histories that never should be. */
#ifndef SUPPORT_TRADE_CHECK_H
#define SUPPORT_TRADE_CHECK_H

#include <stddef.h>

#include "support/trade_lines.h"

/* Terms: what a client is asked to do, the mark of its line TRADE_ASKED. */
#define TERMS_PLAIN   "plain"	/* a job that stays to its end, a deploy that waits for jobs to leave */
#define TERMS_RERUN   "rerun"	/* a job that goes when a deploy comes, and is run again */
#define TERMS_FRAGILE "fragile" /* a job that breaks when a deploy runs while it does, and is run again */
#define TERMS_PROCEED "proceed" /* a deploy that closes over jobs after its drain */

/* Jobs of this phase meet deploys that are queued back to back, and get in after at most two windows. */
#define PHASE_QUEUE "queue-"

/* Promised is 1 s. The rest is for programs to come and go on a busy machine. */
enum { WINDOWS_AT_MOST = 2, IDLE_MS = 10000 };

enum trade_rule {
	RULE_INSIDE,	/* no job runs inside a window, unless that was to close over it */
	RULE_WINDOWS,	/* no two windows that conflict at once */
	RULE_ONCE,	/* each job and deploy runs to its end exactly once, and a second time only as asked */
	RULE_EXIT,	/* each client ends with 0 */
	RULE_STARVED,	/* jobs get in between deploys that are queued */
	RULE_DRAIN,	/* a deploy closes within its drain */
	RULE_IDLE,	/* … and soon after the last job has left */
	TRADE_RULES
};

struct trade_findings {
	unsigned broken[TRADE_RULES];	/* how often */
	char faults[8192];		/* a line each */
	char overrun[2048];		/* the jobs that a window closed over, a line each */
	/* What there was to judge. */
	unsigned jobs, windows;
	unsigned jobs_behind, windows_behind;	/* that came while a window was in their way */
	unsigned windows_drained;		/* that waited for jobs to leave */
	unsigned runs_again, runs_overrun;	/* of jobs */
	unsigned most_windows;			/* that a job let pass where deploys are queued */
	long long longest_drain_ms, longest_idle_ms;
};

void trade_check(const struct trade_history *, struct trade_findings *);

/* What a rule says. */
const char *trade_rule_says(enum trade_rule);

#endif
