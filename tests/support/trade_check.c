#include "support/trade_check.h"

#include "unit/cases.h"

#include <inttypes.h>
#include <stdio.h>

#include "support/gates.h"

/* One run of a command. ended_ns is INT64_MAX while no line says how it ended. */
struct stay {
	const struct player *player;
	const char *lease;
	int64_t began_ns, ended_ns;
	enum trade_event how;
	bool overrun;
};

/* A client, and how its command fared. */
struct player {
	const struct trade_line *asked;
	int64_t waits_ns;	/* since when the service knows that it waits; at first: when it was started */
	bool exited;
	long long code, drained_ms;
	unsigned stays, complete, overruns;
};

enum { PLAYERS_MAX = 1500, STAYS_MAX = 3000 };

struct check {
	struct player players[PLAYERS_MAX];
	struct stay stays[STAYS_MAX];
	size_t player_count, stay_count;
	struct trade_findings *found;
};

const char *trade_rule_says(enum trade_rule rule)
{
	static const char *const says[] = {
		[RULE_INSIDE] = "a job ran inside a window",
		[RULE_WINDOWS] = "two windows that conflict were closed at once",
		[RULE_ONCE] = "not run exactly once",
		[RULE_EXIT] = "ended with another code than 0",
		[RULE_STARVED] = "a job let too many windows pass",
		[RULE_DRAIN] = "a deploy did not close within its drain",
		[RULE_IDLE] = "a deploy waited although nobody was inside",
	};

	return says[rule];
}

static void add_line(char *text, size_t room, const char *what, const char *about, long long number)
{
	size_t size = strlen(text);

	snprintf(text + size, room - size, "%s: %s (%lld)\n", what, about, number);
}

static void fault(struct check *check, enum trade_rule rule, const char *about, long long number)
{
	struct trade_findings *found = check->found;

	found->broken[rule]++;
	add_line(found->faults, sizeof(found->faults), trade_rule_says(rule), about, number);
}

/* A fault between two runs; its number is for how many ms. */
static void fault_of_two(struct check *check, enum trade_rule rule, const struct stay *a, const struct stay *b)
{
	int64_t from_ns = a->began_ns > b->began_ns ? a->began_ns : b->began_ns,
		until_ns = a->ended_ns < b->ended_ns ? a->ended_ns : b->ended_ns;
	char about[192];

	snprintf(about, sizeof(about), "%s of %s and %s of %s", a->player->asked->name, a->player->asked->gates,
		b->player->asked->name, b->player->asked->gates);
	fault(check, rule, about, (until_ns - from_ns) / 1000000);
}

/* From lines to runs. */

static struct player *player_of(struct check *check, const struct trade_line *line)
{
	for (size_t i = 0; i < check->player_count; i++) {
		struct player *player = &check->players[i];

		if (player->asked->is_deploy == line->is_deploy && strcmp(player->asked->name, line->name) == 0)
			return player;
	}
	fail_msg("%s was never asked for", line->name);
	return NULL;
}

static struct stay *stay_of(struct check *check, const struct trade_line *line)
{
	for (size_t i = 0; i < check->stay_count; i++)
		if (strcmp(check->stays[i].lease, line->mark) == 0)
			return &check->stays[i];
	fail_msg("%s: nothing began in lease %s", line->name, line->mark);
	return NULL;
}

static void begin_stay(struct check *check, struct player *player, const struct trade_line *line)
{
	for (size_t i = 0; i < check->stay_count; i++)
		if (strcmp(check->stays[i].lease, line->mark) == 0) {
			fault(check, RULE_ONCE, line->name, line->number);
			return;
		}
	assert_true(check->stay_count < STAYS_MAX);
	player->stays++;
	check->stays[check->stay_count++] = (struct stay){
		.player = player, .lease = line->mark, .began_ns = line->ns, .ended_ns = INT64_MAX, .how = TRADE_BEGAN
	};
}

static void end_stay(struct check *check, struct player *player, const struct trade_line *line)
{
	struct stay *stay = stay_of(check, line);

	stay->ended_ns = line->ns;
	stay->how = line->event;
	player->complete += line->event == TRADE_ENDED;
}

static void note_line(struct check *check, const struct trade_line *line)
{
	struct player *player;

	if (line->event == TRADE_ASKED) {
		assert_true(check->player_count < PLAYERS_MAX);
		check->players[check->player_count++] = (struct player){ .asked = line, .waits_ns = line->ns };
		return;
	}
	player = player_of(check, line);
	switch (line->event) {
	case TRADE_SHUT:
		player->waits_ns = line->ns;
		break;
	case TRADE_BEGAN:
		begin_stay(check, player, line);
		break;
	case TRADE_EXITED:
		player->exited = true;
		player->code = line->number;
		break;
	case TRADE_OVERRUN:
		stay_of(check, line)->overrun = true;
		player->overruns++;
		break;
	case TRADE_DRAINED:
		player->drained_ms = line->number;
		break;
	default:
		end_stay(check, player, line);
	}
}

/* The rules. */

static bool overlap(const struct stay *a, const struct stay *b)
{
	return a->began_ns < b->ended_ns && b->began_ns < a->ended_ns;
}

static bool has_terms(const struct player *player, const char *terms)
{
	return strcmp(player->asked->mark, terms) == 0;
}

static bool is_over(const struct stay *window, const struct stay *job)
{
	return window->player->asked->is_deploy && overlap(window, job) &&
		gates_shut(window->player->asked->gates, job->player->asked->gates);
}

/* Whether the service may have let the job be overrun by one window before another began. Those that conflict come one after
 * the other; others may begin together, as soon as the drain of the one is over. */
static bool overran_before(const struct stay *overran, const struct stay *other)
{
	const struct trade_line *asked = overran->player->asked;

	if (gates_conflict(asked->gates, other->player->asked->gates))
		return overran->began_ns <= other->began_ns;
	return asked->ns + asked->number * 1000000 <= other->began_ns;
}

/* Whether the job was overrun when the window began. From that moment on no window waits for it any more. */
static bool is_overrun(const struct check *check, const struct stay *job, const struct stay *window)
{
	for (const struct stay *s = check->stays; job->overrun && s < check->stays + check->stay_count; s++)
		if (is_over(s, job) && has_terms(s->player, TERMS_PROCEED) && overran_before(s, window))
			return true;
	return false;
}

static void check_window_and_job(struct check *check, const struct stay *window, const struct stay *job)
{
	if (is_over(window, job) && !is_overrun(check, job, window))
		fault_of_two(check, RULE_INSIDE, job, window);
}

static void check_windows(struct check *check, const struct stay *one, const struct stay *other)
{
	if (gates_conflict(one->player->asked->gates, other->player->asked->gates) && overlap(one, other))
		fault_of_two(check, RULE_WINDOWS, one, other);
}

static void check_pairs(struct check *check)
{
	for (const struct stay *a = check->stays; a < check->stays + check->stay_count; a++)
		for (const struct stay *b = check->stays; b < a; b++) {
			bool both = a->player->asked->is_deploy && b->player->asked->is_deploy;

			if (both)
				check_windows(check, a, b);
			else if (a->player->asked->is_deploy || b->player->asked->is_deploy)
				check_window_and_job(check, a->player->asked->is_deploy ? a : b,
					a->player->asked->is_deploy ? b : a);
			else if (a->player == b->player && overlap(a, b))
				fault_of_two(check, RULE_ONCE, b, a);
		}
}

/* Whether a run that did not come to its end was to be run again. */
static bool may_go_again(const struct stay *stay)
{
	if (stay->how == TRADE_CUT)
		return has_terms(stay->player, TERMS_RERUN);
	return stay->how == TRADE_BROKE && stay->overrun && has_terms(stay->player, TERMS_FRAGILE);
}

/* How many windows were in its way from when it waited until it ran. */
static unsigned windows_let_pass(const struct check *check, const struct player *player)
{
	struct stay wait = { .began_ns = player->waits_ns, .ended_ns = INT64_MAX };
	const struct trade_line *asked = player->asked;
	unsigned count = 0;

	for (const struct stay *s = check->stays; s < check->stays + check->stay_count; s++)
		if (s->player == player && s->began_ns < wait.ended_ns)
			wait.ended_ns = s->began_ns;
	for (const struct stay *s = check->stays; s < check->stays + check->stay_count; s++)
		if (s->player != player && s->player->asked->is_deploy && overlap(s, &wait))
			count += asked->is_deploy ? gates_conflict(s->player->asked->gates, asked->gates)
						  : gates_shut(s->player->asked->gates, asked->gates);
	return count;
}

static void check_job(struct check *check, const struct player *player)
{
	struct trade_findings *found = check->found;
	unsigned windows = windows_let_pass(check, player);
	bool is_queued = strncmp(player->asked->name, PHASE_QUEUE, strlen(PHASE_QUEUE)) == 0;

	found->jobs++;
	found->jobs_behind += windows > 0;
	if (player->stays > player->asked->number)
		fault(check, RULE_ONCE, player->asked->name, player->stays);
	if (!is_queued)
		return;
	if (windows > WINDOWS_AT_MOST)
		fault(check, RULE_STARVED, player->asked->name, windows);
	if (windows > found->most_windows)
		found->most_windows = windows;
}

static void check_deploy(struct check *check, const struct player *player)
{
	struct trade_findings *found = check->found;

	found->windows++;
	found->windows_behind += windows_let_pass(check, player) > 0;
	found->windows_drained += player->drained_ms > 0;
	if (has_terms(player, TERMS_PROCEED))
		return;
	if (player->drained_ms > player->asked->number)
		fault(check, RULE_DRAIN, player->asked->name, player->drained_ms);
	if (player->drained_ms > found->longest_drain_ms)
		found->longest_drain_ms = player->drained_ms;
}

/* How long nobody was inside before a window that drained began. */
static void check_idle(struct check *check, const struct stay *window)
{
	const struct player *player = window->player;
	int64_t empty_ns = window->began_ns - player->drained_ms * 1000000, idle_ms;

	for (const struct stay *s = check->stays; s < check->stays + check->stay_count; s++)
		if (!s->player->asked->is_deploy && s->ended_ns > empty_ns && s->began_ns < window->began_ns &&
			gates_shut(player->asked->gates, s->player->asked->gates))
			empty_ns = s->ended_ns;
	idle_ms = (window->began_ns - empty_ns) / 1000000;
	if (idle_ms > IDLE_MS)
		fault(check, RULE_IDLE, player->asked->name, idle_ms);
	if (idle_ms > check->found->longest_idle_ms)
		check->found->longest_idle_ms = idle_ms;
}

static void check_stay(struct check *check, const struct stay *stay)
{
	struct trade_findings *found = check->found;

	if (stay->how != TRADE_ENDED && !may_go_again(stay))
		fault(check, RULE_ONCE, stay->player->asked->name, stay->how);
	if (stay->overrun)
		add_line(found->overrun, sizeof(found->overrun), stay->player->asked->name, stay->lease,
			stay->ended_ns == INT64_MAX ? -1 : (stay->ended_ns - stay->began_ns) / 1000000);
	if (stay->player->asked->is_deploy && stay->player->drained_ms)
		check_idle(check, stay);
	found->runs_again += stay->how != TRADE_ENDED;
	found->runs_overrun += stay->overrun;
}

/* Whether it was run again although it had done its work, for it was told to go in the instant in which it was done: a deploy
 * wanted in then, and nobody could tell the one from the other. */
static bool was_told_when_done(const struct check *check, const struct stay *done)
{
	bool again = false, told = false;

	for (const struct stay *s = check->stays; s < check->stays + check->stay_count; s++) {
		again |= s->player == done->player && s->began_ns > done->ended_ns;
		told |= s->player->asked->is_deploy && s->player->asked->ns < done->ended_ns &&
			s->began_ns > done->ended_ns && gates_shut(s->player->asked->gates, done->player->asked->gates);
	}
	return again && told && has_terms(done->player, TERMS_RERUN);
}

static unsigned count_complete(const struct check *check, const struct player *player)
{
	unsigned count = player->complete;

	for (const struct stay *s = check->stays; s < check->stays + check->stay_count; s++)
		count -= s->player == player && s->how == TRADE_ENDED && was_told_when_done(check, s);
	return count;
}

static void check_player(struct check *check, const struct player *player)
{
	if (count_complete(check, player) != 1)
		fault(check, RULE_ONCE, player->asked->name, player->complete);
	if (!player->exited || player->code != 0)
		fault(check, RULE_EXIT, player->asked->name, player->exited ? player->code : -1);
	if (player->asked->is_deploy)
		check_deploy(check, player);
	else
		check_job(check, player);
}

void trade_check(const struct trade_history *history, struct trade_findings *found)
{
	struct check check = { .found = found };

	*found = (struct trade_findings){ .jobs = 0 };
	for (size_t i = 0; i < history->count; i++)
		note_line(&check, &history->lines[i]);
	check_pairs(&check);
	for (size_t i = 0; i < check.stay_count; i++)
		check_stay(&check, &check.stays[i]);
	for (size_t i = 0; i < check.player_count; i++)
		check_player(&check, &check.players[i]);
}
