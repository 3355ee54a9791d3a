/* Linearizable answers: what was answered once is not contradicted by what is asked later, at whichever server, however many
 * ask. One clock, that of this machine, orders all. */
#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>

enum { CYCLES = 60, STREAMS = 24, BALLAST = 8, FRESH = 8, CHECKS_MAX = 40000 };

/* A check as it came out. */
struct seen {
	int64_t sent_ns, came_ns;
	long status;
};

/* When a window was certainly there, and when certainly none was. */
struct span {
	int64_t from_ns, until_ns;
	long status;
};

struct history {
	struct stage *stage;
	struct ask *streams[STREAMS], *ballast[BALLAST];
	struct seen *seen;
	unsigned seen_count;
	struct span spans[2 * CYCLES];
	unsigned span_count;
};

static const char *const asked[] = { "GET /v1/gates/answer/check", "GET /v1/gates/answer.below/check",
	"GET /v1/gates/other,answer/check", "GET /v1/gates/answer/wait?timeout=0s" };

static void note(struct history *h, const struct ask *ask)
{
	assert_true(ask->status == 200 || ask->status == 423);
	if (h->seen_count < CHECKS_MAX)
		h->seen[h->seen_count++] = (struct seen){ ask->sent_ns, ask->came_ns, ask->status };
}

/* Each stream asks again as soon as it is answered; and looks are made to take long, so that many questions come while one is
 * under way whose answer is already old. */
static void keep_asking(struct history *h)
{
	for (int i = 0; i < BALLAST; i++)
		if (!h->ballast[i] || h->ballast[i]->done)
			h->ballast[i] = begin_ballast(h->stage, i % 2 ? &h->stage->one : &h->stage->two);
	for (int i = 0; i < STREAMS; i++) {
		struct ask *ask = h->streams[i];

		if (ask && !ask->done)
			continue;
		if (ask)
			note(h, ask);
		h->streams[i] =
			http_begin(&h->stage->http, i % 2 ? &h->stage->one : &h->stage->two, asked[i / 2 % 4], NULL);
	}
}

static struct ask *answered(struct history *h, struct ask *ask)
{
	while (!http_done(ask))
		keep_asking(h);
	return ask;
}

/* Goes on for a while, so that checks fall into the span: some at once, while what the streams asked before is still under way. */
static void linger(struct history *h)
{
	unsigned enough = h->seen_count + STREAMS * 2;
	struct ask *fresh[FRESH];

	for (int i = 0; i < FRESH; i++)
		fresh[i] = http_begin(&h->stage->http, i % 2 ? &h->stage->one : &h->stage->two, asked[i / 2 % 4], NULL);
	for (int i = 0; i < FRESH; i++)
		note(h, answered(h, fresh[i]));
	while (h->seen_count < enough) {
		http_done(h->streams[0]);
		keep_asking(h);
	}
}

static void one_cycle(struct history *h, int cycle)
{
	struct stage *stage = h->stage;
	const struct server *here = cycle & 1 ? &stage->one : &stage->two,
			    *there = cycle & 2 ? &stage->one : &stage->two;
	struct ask *ask = answered(h, http_begin(&stage->http, here, "POST /v1/gates/answer/close", NULL));
	struct span *span = &h->spans[h->span_count];
	char token[64];

	assert_answer(ask, 201, NULL);
	snprintf(token, sizeof(token), "%s", ask_text(ask, "token"));
	span[0] = (struct span){ .from_ns = ask->came_ns, .status = 423 };
	linger(h);
	ask = http_begin(&stage->http, there, "POST /v1/gates/answer/open", "token=%s", token);
	span[0].until_ns = ask->sent_ns;
	answered(h, ask);
	assert_answer(ask, 200, NULL);
	span[1] = (struct span){ .from_ns = ask->came_ns, .status = 200 };
	linger(h);
	span[1].until_ns = clock_ns();
	h->span_count += 2;
}

/* Each check that began and ended within a span must have said what held all through it. */
static void judge(const struct history *h)
{
	unsigned judged[2] = { 0, 0 };

	for (unsigned s = 0; s < h->span_count; s++)
		for (unsigned i = 0; i < h->seen_count; i++) {
			const struct span *span = &h->spans[s];
			const struct seen *seen = &h->seen[i];

			if (seen->sent_ns < span->from_ns || seen->came_ns > span->until_ns)
				continue;
			judged[span->status == 200]++;
			if (seen->status != span->status)
				fail_msg("cycle %u: a check sent %lld us after it was %s said %ld", s / 2,
					(long long)(seen->sent_ns - span->from_ns) / 1000,
					span->status == 423 ? "closed" : "opened", seen->status);
		}
	print_message("%u checks beside a window, %u without one\n", judged[0], judged[1]);
	assert_true(judged[0] > CYCLES && judged[1] > CYCLES);
}

static void test_answers__no_check_contradicts_a_close_or_an_open_before_it(void **state)
{
	struct history *h = calloc(1, sizeof(*h));

	h->stage = *state;
	h->seen = calloc(CHECKS_MAX, sizeof(*h->seen));
	h->stage->http.together = true;
	keep_asking(h);
	for (int cycle = 0; cycle < CYCLES; cycle++)
		one_cycle(h, cycle);
	judge(h);
	h->stage->http.together = false;
	http_forget(&h->stage->http);
	free(h->seen);
	free(h);
}

/* Without any load beside it: a check right behind the answer, at the other server. */
static void test_answers__a_check_right_behind_the_answer_agrees(void **state)
{
	struct stage *stage = *state;

	for (int cycle = 0; cycle < 100; cycle++) {
		const struct server *here = cycle % 2 ? &stage->one : &stage->two,
				    *there = cycle % 2 ? &stage->two : &stage->one;
		struct ask *window = http_ask(&stage->http, here, "POST /v1/gates/behind/close", NULL);

		assert_answer(window, 201, NULL);
		assert_answer(http_ask(&stage->http, there, "GET /v1/gates/behind/check", NULL), 423, "closed");
		assert_answer(http_ask(&stage->http, there, "POST /v1/gates/behind/open", "token=%s",
				      ask_text(window, "token")),
			200, NULL);
		assert_answer(http_ask(&stage->http, here, "GET /v1/gates/behind/check", NULL), 200, NULL);
		http_forget(&stage->http);
	}
}

/* No waiter is left asleep beside an open gate: whoever waits, at either server, gets through each time. */
static void test_answers__all_who_wait_are_woken_each_time(void **state)
{
	struct stage *stage = *state;

	for (int cycle = 0; cycle < 10; cycle++) {
		struct ask *window = post(stage, "/v1/gates/wake/close", NULL), *jobs[60];
		int64_t opened_ns;

		stage->http.together = true;
		for (int i = 0; i < 60; i++)
			jobs[i] = http_begin(&stage->http, i % 2 ? &stage->one : &stage->two,
				i % 3 ? "GET /v1/gates/wake/wait?timeout=50s"
				      : "GET /v1/gates/wake.below/wait?timeout=50s",
				NULL);
		/* Some have been put to sleep by then, some are just being asked for: none may miss it. */
		for (int i = 0; i < cycle; i++)
			http_done(jobs[0]);
		stage->http.together = false;
		opened_ns = post(stage, "/v1/gates/wake/open", "token=%s", ask_text(window, "token"))->came_ns;
		for (int i = 0; i < 60; i++) {
			http_finish(jobs[i]);
			assert_answer(jobs[i], 200, NULL);
			assert_true(jobs[i]->came_ns - opened_ns < 10000000000);
		}
		http_forget(&stage->http);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers__no_check_contradicts_a_close_or_an_open_before_it),
		cmocka_unit_test(test_answers__a_check_right_behind_the_answer_agrees),
		cmocka_unit_test(test_answers__all_who_wait_are_woken_each_time),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
