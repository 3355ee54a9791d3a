/* The scene of the trade: jobs and deploys by the real client, at gates in a tree, through two servers on one database; and a
 * checker that decides from what their commands wrote down whether the gates kept their promises. That checker is first shown
 * histories that never should be.
 *
 * TRADE_SECONDS (20) says how long clients go on coming; with 120 there are over 100 jobs. TRADE_SEED repeats what was left to
 * chance. TRADE_KEEP=1 keeps the history, as a fault does, and names its file. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

#include "support/trade_check.h"
#include "support/trade_play.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Histories. Tables stand in rows. */
/* clang-format off */

#define ASKED(kind, name, gates, terms, number) "1 asked " kind " " name " " gates " " terms " " number "\n"
#define RAN(kind, name, gates, lease, from, how, until) \
	from " began " kind " " name " " gates " " lease " 0\n" \
	until " " how " " kind " " name " " gates " " lease " 0\n"
#define LEFT(kind, name, gates, code) "900 exited " kind " " name " " gates " - " code "\n"
#define OVERRUN(name, gates, lease) "950 overrun job " name " " gates " " lease " 0\n"

/* What runs once, from and until. */
#define WHOLE(kind, name, gates, lease, from, until) \
	RAN(kind, name, gates, lease, from, "ended", until) LEFT(kind, name, gates, "0")
#define JOB(name, gates, lease, from, until) \
	ASKED("job", name, gates, "plain", "1") WHOLE("job", name, gates, lease, from, until)
#define DEPLOY(name, gates, lease, from, until) \
	ASKED("deploy", name, gates, "plain", "5000") WHOLE("deploy", name, gates, lease, from, until)
#define PROCEEDING(name, gates, lease, from, until) \
	ASKED("deploy", name, gates, "proceed", "0") WHOLE("deploy", name, gates, lease, from, until)

/* What runs a second time: how the first came to its end. */
#define AGAIN(terms, tries, how, until) \
	ASKED("job", "a", "x", terms, tries) RAN("job", "a", "x", "1", "10", how, until) \
	WHOLE("job", "a", "x", "2", "30", "40")

#define NONE TRADE_RULES

static const struct {
	const char *what;
	enum trade_rule rule; /* that is broken, as the only one */
	const char *text;
} histories[] = {
	{ "a job, a window, a job", NONE,
	  JOB("a", "x", "1", "10", "20") DEPLOY("b", "x", "2", "20", "30") JOB("c", "x", "3", "30", "40") },
	{ "jobs beside each other, and above a window", NONE,
	  JOB("a", "x", "1", "10", "20") JOB("b", "x.y", "2", "10", "20") DEPLOY("c", "x.z", "3", "10", "20") },
	{ "windows of siblings", NONE,
	  DEPLOY("a", "x.y", "1", "10", "20") DEPLOY("b", "x.yy", "2", "10", "20") },
	{ "a job that is overrun as asked", NONE,
	  PROCEEDING("a", "x", "1", "10", "20") JOB("b", "x", "2", "5", "25") OVERRUN("b", "x", "2") },
	{ "a job that was overrun, and another window over it", NONE,
	  PROCEEDING("a", "x", "1", "10", "12") JOB("b", "x", "2", "5", "25") OVERRUN("b", "x", "2")
	  DEPLOY("c", "x", "3", "15", "20") },
	{ "a job that was overrun, and a window beside it that began a little earlier", NONE,
	  PROCEEDING("a", "x", "1", "13", "20") JOB("b", "x,y", "2", "5", "25") OVERRUN("b", "x,y", "2")
	  DEPLOY("c", "y", "3", "12", "20") },
	{ "a job that was run again as asked", NONE, AGAIN("rerun", "3", "cut", "15") },
	{ "a job that was done when a deploy came, and was run again", NONE,
	  AGAIN("rerun", "3", "ended", "15") DEPLOY("b", "x", "3", "20", "25") },
	{ "a job that broke and was run again", NONE, AGAIN("fragile", "3", "broke", "15") OVERRUN("a", "x", "1") },
	{ "a job that waited for two windows", NONE,
	  JOB("queue-1", "x.y", "1", "50", "60") DEPLOY("queue-2", "x", "2", "10", "20")
	  DEPLOY("queue-3", "x", "3", "30", "40") DEPLOY("queue-4", "x.z", "4", "42", "44") },

	{ "a job in a window", RULE_INSIDE,
	  DEPLOY("a", "x", "1", "10", "20") JOB("b", "x", "2", "19", "21") },
	{ "a job below a window, and around it", RULE_INSIDE,
	  DEPLOY("a", "x", "1", "10", "20") JOB("b", "x.y.z", "2", "5", "25") },
	{ "a job of two gates, of which one is shut", RULE_INSIDE,
	  DEPLOY("a", "y", "1", "10", "20") JOB("b", "x,y", "2", "12", "14") },
	{ "a job that is overrun by a deploy that was to wait", RULE_INSIDE,
	  DEPLOY("a", "x", "1", "10", "20") JOB("b", "x", "2", "5", "25") OVERRUN("b", "x", "2") },
	{ "a job that is overrun later", RULE_INSIDE,
	  PROCEEDING("a", "x", "1", "15", "20") JOB("b", "x", "2", "5", "25") OVERRUN("b", "x", "2")
	  DEPLOY("c", "x", "3", "10", "12") },
	{ "a job that such a deploy did not overrun", RULE_INSIDE,
	  PROCEEDING("a", "x", "1", "10", "20") JOB("b", "x", "2", "5", "25") },

	{ "two windows of a gate", RULE_WINDOWS,
	  DEPLOY("a", "x", "1", "10", "20") DEPLOY("b", "x", "2", "19", "30") },
	{ "a window below another", RULE_WINDOWS,
	  DEPLOY("a", "x.y", "1", "10", "20") DEPLOY("b", "x", "2", "12", "18") },
	{ "windows over sets that meet", RULE_WINDOWS,
	  DEPLOY("a", "w,x.y", "1", "10", "20") DEPLOY("b", "z,x", "2", "12", "18") },

	{ "a job that ran twice", RULE_ONCE, AGAIN("rerun", "3", "ended", "15") },
	{ "a job that ran twice, which no deploy was to end", RULE_ONCE,
	  AGAIN("plain", "3", "ended", "15") DEPLOY("b", "x", "3", "20", "25") },
	{ "a job that never ran", RULE_ONCE, ASKED("job", "a", "x", "plain", "1") LEFT("job", "a", "x", "0") },
	{ "a job that was ended without being asked", RULE_ONCE, AGAIN("plain", "3", "cut", "15") },
	{ "a job that failed by itself and was run again", RULE_ONCE, AGAIN("fragile", "3", "broke", "15") },
	{ "a job that was run again too often", RULE_ONCE, AGAIN("rerun", "1", "cut", "15") },
	{ "a job that is run again beside itself", RULE_ONCE, AGAIN("rerun", "3", "cut", "35") },
	{ "two commands in one lease", RULE_ONCE,
	  ASKED("job", "a", "x", "plain", "1") "5 began job a x 1 0\n" WHOLE("job", "a", "x", "1", "10", "20") },

	{ "a client that failed", RULE_EXIT,
	  ASKED("deploy", "a", "x", "plain", "5000") RAN("deploy", "a", "x", "1", "10", "ended", "20")
	  LEFT("deploy", "a", "x", "70") },
	{ "a client that never ended", RULE_EXIT,
	  ASKED("job", "a", "x", "plain", "1") RAN("job", "a", "x", "1", "10", "ended", "20") },
	{ "a starved job", RULE_STARVED,
	  JOB("queue-1", "x.y", "1", "50", "60") DEPLOY("queue-2", "x", "2", "10", "20")
	  DEPLOY("queue-3", "x", "3", "30", "40") DEPLOY("queue-4", "x.y", "4", "42", "44") },
	{ "a drain that took too long", RULE_DRAIN,
	  DEPLOY("a", "x", "1", "6000000010", "6000000020") JOB("b", "x", "2", "0", "6000000000")
	  "950 drained deploy a x 1 5001\n" },
	{ "a drain for nobody", RULE_IDLE,
	  ASKED("deploy", "a", "x", "plain", "15000") WHOLE("deploy", "a", "x", "1", "15000000000", "15000000001")
	  JOB("b", "x", "2", "0", "2999999999") JOB("c", "y", "3", "0", "14000000000") "950 drained deploy a x 1 14000\n" },
};
/* clang-format on */

static void test_checker__finds_what_never_should_be(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(histories); i++) {
		struct trade_history history;
		struct trade_findings found;

		trade_parse(&history, histories[i].text);
		trade_check(&history, &found);
		trade_history_release(&history);
		for (enum trade_rule rule = 0; rule < TRADE_RULES; rule++)
			if ((found.broken[rule] > 0) != (rule == histories[i].rule))
				fail_msg("%s: \"%s\" found %u times: %s", histories[i].what, trade_rule_says(rule),
					found.broken[rule], found.faults);
	}
}

/* The scene. */

/* A drain is longer than any job, and shorter than the shortest time in which jobs come without a pause. */
enum { TRIES = 99, DRAIN_MS = 7500, SHORT_DRAIN_MS = 300 };

struct range {
	int least, most;
};

/* A stretch of the scene: who comes how often, where, and for how long. Times in ms. */
struct phase {
	const char *name;
	int percent;			/* of the whole */
	struct range jobs_every, jobs_take, deploys_every, deploys_take;
	unsigned deploys_queued;	/* so many at least are kept under way */
	bool mixed;			/* terms are */
	const char *jobs_at[6], *deploys_at[6];
};

static const struct phase phases[] = {
	{ .name = "mix-",
		.percent = 35,
		.jobs_every = { 100, 1300 },
		.jobs_take = { 50, 2500 },
		.deploys_every = { 200, 2000 },
		.deploys_take = { 50, 700 },
		.mixed = true,
		.jobs_at = { "shop", "shop.web", "shop.web.cart", "shop.mail", "depot", "depot,shop.mail" },
		.deploys_at = { "shop", "shop.web", "shop.web.cart", "shop.mail", "depot", "depot,shop.mail" } },
	{ .name = PHASE_QUEUE,
		.percent = 25,
		.jobs_every = { 200, 1400 },
		.jobs_take = { 50, 500 },
		.deploys_take = { 200, 500 },
		.deploys_queued = 4,
		.jobs_at = { "shop", "shop.web", "shop.web.cart", "shop", "shop.web", "shop.mail" },
		.deploys_at = { "shop", "shop", "shop", "shop", "shop", "shop" } },
	{ .name = "flood-",
		.percent = 40,
		.jobs_every = { 300, 500 },
		.jobs_take = { 700, 2000 },
		.deploys_every = { 1500, 3000 },
		.deploys_take = { 50, 300 },
		.jobs_at = { "shop", "shop.web", "shop.web.cart", "shop", "shop.web", "shop.mail" },
		.deploys_at = { "shop", "shop", "shop.web", "shop", "shop", "shop" } },
};

static int within(struct trade *trade, struct range range)
{
	return trade_chance(trade, range.least, range.most);
}

/* One more job or deploy of a phase. */
static void send(struct trade *trade, const struct phase *phase, bool is_deploy)
{
	static const char *const job_terms[] = { TERMS_PLAIN, TERMS_RERUN, TERMS_PLAIN, TERMS_FRAGILE };
	static const char *const deploy_terms[] = { TERMS_PLAIN, TERMS_PLAIN, TERMS_PROCEED };
	const char *const *gates = is_deploy ? phase->deploys_at : phase->jobs_at;
	struct trade_order order = {
		.is_deploy = is_deploy,
		.gates = gates[trade_chance(trade, 0, 5)],
		.terms = TERMS_PLAIN,
		.takes_ms = within(trade, is_deploy ? phase->deploys_take : phase->jobs_take),
	};
	char name[24];

	snprintf(name, sizeof(name), "%s%u", phase->name, trade->started);
	order.name = name;
	if (phase->mixed && is_deploy)
		order.terms = deploy_terms[trade_chance(trade, 0, COUNT(deploy_terms) - 1)];
	else if (phase->mixed)
		order.terms = job_terms[trade_chance(trade, 0, COUNT(job_terms) - 1)];
	if (is_deploy)
		order.number = strcmp(order.terms, TERMS_PROCEED) == 0 ? SHORT_DRAIN_MS : DRAIN_MS;
	else
		order.number = strcmp(order.terms, TERMS_PLAIN) == 0 ? 1 : TRIES;
	trade_start(trade, &order);
}

/* Whether one is due; then it says when the next is. */
static bool is_due(struct trade *trade, int64_t *due_ns, struct range every)
{
	if (every.most == 0 || clock_ns() < *due_ns || trade->live == TRADE_PLAYERS)
		return false;
	*due_ns = clock_ns() + within(trade, every) * 1000000LL;
	return true;
}

static void play(struct trade *trade, const struct phase *phase, long seconds)
{
	int64_t begin_ns = clock_ns(), end_ns = begin_ns + seconds * phase->percent * 10000000LL;
	int64_t job_ns = begin_ns, deploy_ns = begin_ns;

	while (clock_ns() < end_ns) {
		if (is_due(trade, &job_ns, phase->jobs_every))
			send(trade, phase, false);
		if (is_due(trade, &deploy_ns, phase->deploys_every) ||
			(trade_deploys(trade) < phase->deploys_queued && trade->live < TRADE_PLAYERS))
			send(trade, phase, true);
		trade_turn(trade);
	}
	trade_finish(trade);
}

/* What chance might leave out: a job that makes way, and one that breaks because a deploy does not wait for it. */
static void play_certain(struct trade *trade)
{
	static const struct trade_order orders[] = {
		{ .name = "sure-1", .gates = "shop.web", .terms = TERMS_RERUN, .number = TRIES },
		{ .name = "sure-2", .gates = "shop.web.cart", .terms = TERMS_FRAGILE, .number = TRIES },
		{ .name = "sure-3",
			.gates = "shop",
			.terms = TERMS_PROCEED,
			.takes_ms = 500,
			.number = SHORT_DRAIN_MS,
			.is_deploy = true },
	};

	for (size_t i = 0; i < COUNT(orders); i++) {
		trade_start(trade, &orders[i]);
		trade_await(trade, orders[i].name);
	}
	trade_finish(trade);
}

static void report(const struct trade_findings *found)
{
	print_message(
		"%u jobs, %u of them came to a window; %u windows, %u behind another, %u waited for jobs to leave\n",
		found->jobs, found->jobs_behind, found->windows, found->windows_behind, found->windows_drained);
	print_message("%u runs again; between queued deploys a job let %u windows pass at most\n", found->runs_again,
		found->most_windows);
	print_message("the longest drain took %lld ms; %lld ms at most from the last job to the window\n",
		found->longest_drain_ms, found->longest_idle_ms);
	print_message("%u overrun:\n%s", found->runs_overrun, found->overrun);
}

/* A scene in which too little happened proves nothing. */
static void check_counts(const struct trade_findings *found, long seconds)
{
	unsigned tens = (unsigned)seconds / 10;

	assert_in_range(found->jobs, tens * 9, UINT32_MAX);
	assert_in_range(found->windows, tens * 5, UINT32_MAX);
	assert_in_range(found->jobs_behind, tens * 3, UINT32_MAX);
	assert_in_range(found->windows_behind, tens * 2, UINT32_MAX);
	assert_in_range(found->windows_drained, tens, UINT32_MAX);
	assert_in_range(found->runs_again, 2, UINT32_MAX);
	assert_in_range(found->runs_overrun, 1, UINT32_MAX);
	assert_in_range(found->most_windows, 1, WINDOWS_AT_MOST);
}

static long setting(const char *name, long fallback)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : fallback;
}

static void test_trade__jobs_and_deploys_take_turns(void **state)
{
	long seconds = setting("TRADE_SECONDS", 20), seed = setting("TRADE_SEED", (long)(clock_ns() / 1000000));
	struct trade trade;
	struct trade_history history;
	struct trade_findings found;

	print_message("TRADE_SECONDS=%ld TRADE_SEED=%ld\n", seconds, seed);
	trade_open(&trade, *state, (uint64_t)seed);
	play_certain(&trade);
	for (size_t i = 0; i < COUNT(phases); i++)
		play(&trade, &phases[i], seconds);
	trade_gather(&trade, &history);
	trade_check(&history, &found);
	trade_history_release(&history);
	trade_close(&trade, found.faults[0] || getenv("TRADE_KEEP"));
	report(&found);
	if (found.faults[0])
		fail_msg("%s", found.faults);
	check_counts(&found, seconds);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checker__finds_what_never_should_be),
		STAGE_TEST(test_trade__jobs_and_deploys_take_turns),
	};

	trade_as_command(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
