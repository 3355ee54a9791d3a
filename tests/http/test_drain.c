/* Deploys that find jobs inside: how they wait, what they do when nobody leaves, and that nobody is ever in there together. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

/* The id of the lease of a token, in SQL. */
#define ID_OF(word) "left(encode(sha256('" TOKEN(word) "'), 'hex'), 32)"

static struct ask *pass(struct stage *stage, const struct server *server, const char *gates)
{
	char request[160];
	struct ask *ask;

	snprintf(request, sizeof(request), "POST /v1/gates/%s/pass", gates);
	ask = http_ask(&stage->http, server, request, NULL);
	assert_answer(ask, 201, NULL);
	return ask;
}

static void release(struct stage *stage, const struct server *server, const struct ask *lease)
{
	char request[160];
	struct ask *ask;

	snprintf(request, sizeof(request), "POST /v1/leases/%s/release", ask_text(lease, "id"));
	ask = http_ask(&stage->http, server, request, "token=%s", ask_text(lease, "token"));
	assert_answer(ask, 200, NULL);
}

static struct ask *begin_close(struct stage *stage, const struct server *server, const char *gates, const char *body)
{
	char request[160];

	snprintf(request, sizeof(request), "POST /v1/gates/%s/close", gates);
	return http_begin(&stage->http, server, request, "%s", body);
}

static void await_state(struct stage *stage, const char *gate, const char *state)
{
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.lease where '%s' = any (gates) and kind = 'window' and state = "
		"'%s')",
		gate, state);
}

/* As if the time at that column of a live lease had come. */
static void let_come(struct stage *stage, const char *gate, const char *column)
{
	psql_run(&stage->admin,
		"update deploy_gate.lease set %s = clock_timestamp() where '%s' = any (gates) and ended_at is null",
		column, gate);
}

static struct ask *look_up(struct stage *stage, const struct ask *lease)
{
	char target[80];

	snprintf(target, sizeof(target), "/v1/leases/%s", ask_text(lease, "id"));
	return get(stage, target);
}

static void test_drain__closes_behind_the_last_job(void **state)
{
	struct stage *stage = *state;
	struct ask *first = pass(stage, &stage->one, "drain.last.x"), *second = pass(stage, &stage->two, "drain.last"),
		   *close, *ask;

	close = begin_close(stage, &stage->two, "drain.last", "drain=1m");
	await_state(stage, "drain.last", "draining");
	ask = get(stage, "/v1/gates/drain.last.y/check");
	assert_answer(ask, 423, "closed");
	assert_text(ask, "state", "draining");
	assert_contains(ask_text(ask, "detail"), "waits for those inside to leave");
	assert_answer(post(stage, "/v1/gates/drain.last/pass", NULL), 423, "closed");
	ask = get(stage, "/v1/gates/drain.last");
	assert_text(ask, "state", "draining");
	assert_number(ask, "passes.count", 2);
	assert_number(ask, "window.expires_in_ms", -1);
	assert_true(ask_number(ask, "window.drain_in_ms") > 30000);
	release(stage, &stage->one, second);
	assert_false(http_done(close));
	release(stage, &stage->two, first);
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_text(close, "state", "closed");
	assert_true(ask_number(close, "expires_in_ms") > 1000000);
}

static void test_drain__abort_is_409_and_opens_the_gate(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.abort"), *job, *close;

	close = begin_close(stage, &stage->two, "drain.abort", "drain=300ms&token=" TOKEN("abort"));
	await_state(stage, "drain.abort", "draining");
	job = http_begin(&stage->http, &stage->one, "POST /v1/gates/drain.abort/pass", "wait=50s");
	http_finish(close);
	assert_answer(close, 409, "drain_timeout");
	assert_true(close->came_ns - close->sent_ns >= 300000000);
	assert_contains(ask_text(close, "detail"),
		"drain.abort is open again, because jobs did not leave in time; inside now: ");
	http_finish(job);
	assert_answer(job, 201, NULL);
	assert_text(look_up(stage, inside), "state", "inside");
	close = post(stage, "/v1/gates/drain.abort/close", "token=" TOKEN("abort"));
	assert_answer(close, 410, "gone");
	assert_text(close, "lease.end", "drain_timeout");
}

static void test_drain__proceed_closes_over_them(void **state)
{
	struct stage *stage = *state;
	struct ask *one = pass(stage, &stage->one, "drain.over.x"), *two = pass(stage, &stage->two, "drain.over"),
		   *close;

	close = begin_close(stage, &stage->one, "drain.over", "drain=200ms&on_drain=proceed");
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_true(ask_true(look_up(stage, one), "overrun"));
	assert_true(ask_true(look_up(stage, two), "overrun"));
	assert_text(look_up(stage, two), "state", "inside");
	assert_number(get(stage, "/v1/gates/drain.over"), "passes.count", 2);
	release(stage, &stage->two, one);
	psql_until(&stage->admin,
		"select exists (select from deploy_gate.locks where gate = 'drain.over' and mode = 'exclusive')"
		" and not exists (select from deploy_gate.locks where gate = 'drain.over' and mode = 'shared')");
}

static void test_drain__stop_tells_them_first(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.stop"), *close;

	close = begin_close(stage, &stage->two, "drain.stop", "drain=100ms&on_drain=stop");
	psql_until(&stage->admin,
		"select count(*) = 2 from deploy_gate.lease where gates = '{drain.stop}' and stop_at is not null");
	assert_int_equal(strlen(ask_text(look_up(stage, inside), "stop_at")), strlen("2024-05-31T14:30:00.000Z"));
	assert_false(http_done(close));
	let_come(stage, "drain.stop", "drain_until");
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_true(ask_true(look_up(stage, inside), "overrun"));
}

static void test_drain__goes_on_behind_a_timeout(void **state)
{
	struct stage *stage = *state;
	struct ask *inside = pass(stage, &stage->one, "drain.time"), *close;

	close = post(stage, "/v1/gates/drain.time/close", "timeout=200ms&token=" TOKEN("time"));
	assert_answer(close, 409, "draining");
	assert_contains(ask_text(close, "detail"), "ask again with the same token");
	assert_answer(get(stage, "/v1/gates/drain.time/check"), 423, "closed");
	close = begin_close(stage, &stage->two, "drain.time", "token=" TOKEN("time"));
	psql_until(&stage->admin, "select claim_session is not null from deploy_gate.lease where id = " ID_OF("time"));
	release(stage, &stage->one, inside);
	http_finish(close);
	assert_answer(close, 201, NULL);
	assert_answer(post(stage, "/v1/gates/drain.time/close", "token=" TOKEN("time")), 200, NULL);
}

/* Nobody came back: whether it closed meanwhile or not, the gate opens. */
static void test_drain__that_nobody_comes_back_for_is_abandoned(void **state)
{
	static const char *const gates[] = { "drain.gone.still", "drain.gone.closed" };
	struct stage *stage = *state;

	for (int i = 0; i < 2; i++) {
		struct ask *inside = pass(stage, &stage->one, gates[i]), *close;

		close = begin_close(stage, &stage->two, gates[i], "");
		await_state(stage, gates[i], "draining");
		http_hang_up(close);
		psql_until(&stage->admin,
			"select unclaimed_at is not null from deploy_gate.lease where gates = '{%s}' and kind = "
			"'window'",
			gates[i]);
		if (i)
			release(stage, &stage->one, inside);
		if (i)
			await_state(stage, gates[i], "closed");
		psql_run(&stage->admin,
			"update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '16 s' where gates = "
			"'{%s}'",
			gates[i]);
		psql_until(&stage->admin,
			"select ending = 'abandoned' from deploy_gate.lease where gates = '{%s}' and kind = 'window'",
			gates[i]);
		pass(stage, &stage->two, gates[i]);
	}
}

static void test_drain__ends_by_force(void **state)
{
	struct stage *stage = *state;
	struct ask *close, *job;

	pass(stage, &stage->one, "drain.force");
	close = begin_close(stage, &stage->two, "drain.force", "");
	await_state(stage, "drain.force", "draining");
	job = http_begin(&stage->http, &stage->two, "POST /v1/gates/drain.force/pass", "wait=50s");
	assert_answer(post(stage, "/v1/gates/drain.force/force-open", "reason=urgent"), 200, NULL);
	http_finish(close);
	assert_answer(close, 410, "gone");
	assert_text(close, "lease.end", "forced");
	http_finish(job);
	assert_answer(job, 201, NULL);
}

static void test_drain__of_a_takeover_waits_for_what_the_other_let_in(void **state)
{
	struct stage *stage = *state;
	struct ask *inside, *close;

	post(stage, "/v1/gates/drain.take/close", "token=" TOKEN("take"));
	inside = http_ask_with(
		&stage->http, &stage->two, "X-Lease-Token: " TOKEN("take"), "POST /v1/gates/drain.take/pass", "ttl=1m");
	assert_answer(inside, 201, NULL);
	close = begin_close(stage, &stage->two, "drain.take", "takeover=true&reason=ann+is+ill&holder=bob");
	psql_until(&stage->admin, "select ending = 'taken_over' from deploy_gate.lease where id = " ID_OF("take"));
	assert_false(http_done(close));
	assert_answer(get(stage, "/v1/gates/drain.take/check"), 423, "closed");
	release(stage, &stage->one, inside);
	http_finish(close);
	assert_answer(close, 201, NULL);
}

/* Both at once, again and again: one of them gets in, and the other waits for it. */
static void test_race__of_a_pass_and_a_close(void **state)
{
	struct stage *stage = *state;

	for (int round = 0; round < 200; round++) {
		const struct server *here = round % 2 ? &stage->one : &stage->two,
				    *there = round % 3 ? &stage->one : &stage->two;
		struct ask *job, *close;
		bool in;

		stage->http.together = true;
		job = http_begin(&stage->http, here, "POST /v1/gates/race.pass.x/pass", NULL);
		close = http_begin(&stage->http, there, "POST /v1/gates/race.pass/close", NULL);
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

enum { JOBS = 12, DEPLOYS = 3, WINDOWS = 12, ENTRIES = 4000, REST_MS_MAX = 8 };

/* Who was inside, or had closed, from when till when; 0: still. */
struct entry {
	const char *gate;
	bool window;
	int64_t from_ns, till_ns, asked_ns;
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
};

static const struct server *any_server(const struct run *run)
{
	return rand() % 2 ? &run->stage->one : &run->stage->two;
}

static void begin_turn(struct run *run, struct actor *a)
{
	static const char *const jobs_gates[] = { "run", "run.a", "run.a.x", "run.b" };
	static const char *const deploys_gates[] = { "run", "run.a", "run.b" };
	char request[80];

	a->gate = a->deploys ? deploys_gates[rand() % 3] : jobs_gates[rand() % 4];
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
	*a->entry = (struct entry){ a->gate, a->deploys, a->ask->came_ns, 0, a->ask->sent_ns };
	a->until_ns = clock_ns() + rand() % REST_MS_MAX * 1000000LL;
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

static void rest(struct actor *a)
{
	assert_answer(a->ask, 200, NULL);
	a->turns++;
	a->until_ns = clock_ns() + rand() % REST_MS_MAX * 1000000LL;
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
		rest(a);
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

/* How many windows that shut its gate came between the asking and the getting in of each job. */
static void check_starvation(const struct run *run)
{
	for (unsigned i = 0; i < run->count; i++) {
		const struct entry *job = &run->entries[i];
		int before = 0;

		for (unsigned j = 0; j < run->count && !job->window; j++) {
			const struct entry *w = &run->entries[j];

			before += w->window && w->from_ns > job->asked_ns && w->from_ns < job->from_ns &&
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
	srand(1);
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
	check_starvation(run);
	for (int i = 0; i < JOBS + DEPLOYS; i++)
		assert_true(run->actors[i].turns > 0);
	free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drain__closes_behind_the_last_job),
		cmocka_unit_test(test_drain__abort_is_409_and_opens_the_gate),
		cmocka_unit_test(test_drain__proceed_closes_over_them),
		cmocka_unit_test(test_drain__stop_tells_them_first),
		cmocka_unit_test(test_drain__goes_on_behind_a_timeout),
		cmocka_unit_test(test_drain__that_nobody_comes_back_for_is_abandoned),
		cmocka_unit_test(test_drain__ends_by_force),
		cmocka_unit_test(test_drain__of_a_takeover_waits_for_what_the_other_let_in),
		cmocka_unit_test(test_race__of_a_pass_and_a_close),
		cmocka_unit_test(test_run__nobody_is_in_there_together_and_nobody_starves),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
