/* Jobs and deploys at once through two servers: nobody is ever in there together, and nobody starves. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

/* Both at once, again and again: one of them gets in, and the other waits for it. */
static void test_race__of_a_pass_and_a_close(void **state)
{
	struct stage *stage = *state;

	for (int round = 0; round < 200; round++) {
		int here = round % 2, there = round % 3 ? 1 : 0;
		struct ask *job, *close;
		bool in;

		stage->http.together = true;
		job = begin_pass(stage, here, "race.pass.x", "");
		close = begin_close(stage, there, "race.pass", "");
		stage->http.together = false;
		http_finish(job);
		in = job->status == 201;
		if (in && http_done(close))
			fail_msg("round %d: %s\nand %s", round, job->text, close->text);
		if (!in)
			assert_answer(job, 423, "closed");
		if (in)
			release(stage, here, job);
		http_finish(close);
		assert_answer(close, 201, NULL);
		release(stage, there, close);
		http_forget(&stage->http);
	}
}

/* The run: jobs and deploys come and go at random through both servers, over gates of a tree. */

enum { JOBS = 12, DEPLOYS = 3, WINDOWS = 12, ENTRIES = 20000, REST_MS_MAX = 20 };

/* Who was inside, or had closed, from when till when; 0: still. */
struct entry {
	const char *gate;
	bool window, owes_gap;
	int64_t from_ns, till_ns, asked_ns;
	char id[33];
};

struct actor {
	bool deploys;
	enum { RESTING, ASKING, INSIDE, LEAVING } doing;
	const char *gate;
	struct ask *ask, *lease;
	int64_t until_ns;
	struct entry *entry;
	unsigned turns;
};

struct run {
	struct stage *stage;
	struct actor actors[JOBS + DEPLOYS];
	struct entry entries[ENTRIES];
	unsigned count;
	uint32_t chance;
};

/* Below a bound, and the same in each run. */
static unsigned any(struct run *run, unsigned bound)
{
	run->chance = run->chance * 1664525 + 1013904223;
	return (run->chance >> 16) % bound;
}

static const struct server *any_server(struct run *run)
{
	return any(run, 2) ? &run->stage->one : &run->stage->two;
}

static void begin_turn(struct run *run, struct actor *a)
{
	static const char *const jobs_gates[] = { "run", "run.a", "run.a.x", "run.b" };
	static const char *const deploys_gates[] = { "run", "run.a", "run.b" };
	char request[80];

	a->gate = a->deploys ? deploys_gates[any(run, 3)] : jobs_gates[any(run, 4)];
	snprintf(request, sizeof(request), "POST /v1/gates/%s/%s", a->gate, a->deploys ? "close" : "pass");
	a->ask = http_begin(&run->stage->http, any_server(run), request, "wait=50s");
	a->doing = ASKING;
}

static void get_in(struct run *run, struct actor *a)
{
	assert_answer(a->ask, 201, NULL);
	if (run->count == ENTRIES)
		fail_msg("more comings and goings than were reckoned with");
	a->lease = a->ask;
	a->entry = &run->entries[run->count++];
	*a->entry = (struct entry){
		.gate = a->gate, .window = a->deploys, .from_ns = a->ask->came_ns, .asked_ns = a->ask->sent_ns
	};
	snprintf(a->entry->id, sizeof(a->entry->id), "%s", ask_text(a->ask, "id"));
	a->until_ns = clock_ns() + any(run, REST_MS_MAX) * 1000000LL;
	a->doing = INSIDE;
}

static void begin_leaving(struct run *run, struct actor *a)
{
	char request[120];

	snprintf(request, sizeof(request), "POST /v1/leases/%s/release", ask_text(a->lease, "id"));
	a->entry->till_ns = clock_ns();
	a->ask = http_begin(&run->stage->http, any_server(run), request, "token=%s", ask_text(a->lease, "token"));
	a->doing = LEAVING;
}

static void rest(struct run *run, struct actor *a)
{
	assert_answer(a->ask, 200, NULL);
	a->turns++;
	a->until_ns = clock_ns() + any(run, REST_MS_MAX) * 1000000LL;
	a->doing = RESTING;
}

/* Whether it is through: with nothing under way, and enough windows. */
static bool act(struct run *run, struct actor *a, bool go_on)
{
	bool due = clock_ns() >= a->until_ns;

	if (a->doing == RESTING && !go_on)
		return true;
	if (a->doing == RESTING && due)
		begin_turn(run, a);
	else if (a->doing == ASKING && a->ask->done)
		get_in(run, a);
	else if (a->doing == INSIDE && due)
		begin_leaving(run, a);
	else if (a->doing == LEAVING && a->ask->done)
		rest(run, a);
	return false;
}

static bool conflict(const struct entry *window, const struct entry *other)
{
	size_t length = strlen(window->gate);
	bool below =
		strncmp(window->gate, other->gate, length) == 0 && (!other->gate[length] || other->gate[length] == '.');

	return below && window->from_ns < other->till_ns && other->from_ns < window->till_ns;
}

static void check_exclusion(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++)
		for (unsigned j = 0; j < run->count; j++)
			if (i != j && run->entries[i].window && conflict(&run->entries[i], &run->entries[j]))
				fail_msg("a window over %s and a %s at %s were there together", run->entries[i].gate,
					run->entries[j].window ? "window" : "pass", run->entries[j].gate);
}

/* A window leaves a gap to the jobs that waited, as the service noted, where a deploy stood in line when it ended. */
static void look_for_gaps(struct run *run)
{
	for (unsigned i = 0; i < run->count; i++)
		run->entries[i].owes_gap = run->entries[i].window &&
			psql_true(&run->stage->admin,
				"select l.jobs_waited and exists (select from deploy_gate.lease next"
				" where next.kind = 'window' and next.created_at < l.ended_at and next.closed_at > "
				"l.ended_at"
				" and (starts_with(next.gates[1] || '.', l.gates[1] || '.')"
				" or starts_with(l.gates[1] || '.', next.gates[1] || '.')))"
				" from deploy_gate.lease l where l.id = '%s'",
				run->entries[i].id);
}

/* How many windows with deploys behind them came between the asking and the getting in of each job. */
static void check_starvation(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		const struct entry *job = &run->entries[i];
		int before = 0;

		for (unsigned j = 0; j < run->count && !job->window; j++) {
			const struct entry *w = &run->entries[j];

			before += w->owes_gap && w->from_ns > job->asked_ns && w->from_ns < job->from_ns &&
				strncmp(w->gate, job->gate, strlen(w->gate)) == 0;
		}
		if (before > 2)
			fail_msg("a job at %s got in behind %d windows", job->gate, before);
	}
}

static void test_run__nobody_is_in_there_together_and_nobody_starves(void **state)
{
	struct run *run = calloc(1, sizeof(*run));
	unsigned busy = 1;

	assert_non_null(run);
	run->stage = *state;
	for (int i = 0; i < DEPLOYS; i++)
		run->actors[i].deploys = true;
	while (busy) {
		bool go_on = false;

		for (int i = 0; i < DEPLOYS; i++)
			go_on |= run->actors[i].turns < WINDOWS;
		busy = 0;
		for (int i = 0; i < JOBS + DEPLOYS; i++)
			busy += !act(run, &run->actors[i], go_on);
		http_turn(&run->stage->http);
	}
	check_exclusion(run);
	look_for_gaps(run);
	check_starvation(run);
	for (int i = 0; i < JOBS + DEPLOYS; i++)
		assert_true(run->actors[i].turns > 0);
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race__of_a_pass_and_a_close),
		cmocka_unit_test(test_run__nobody_is_in_there_together_and_nobody_starves),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
