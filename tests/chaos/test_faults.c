/* Every fault of the menu by itself: it has its effect, nobody is let in meanwhile, and after it leases, locks, the queue and
 * waiters are right again. Promised are 5 s of service; what it took is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chaos/arena.h"
#include "chaos/faults.h"
#include "chaos/places.h"
#include "support/stage.h"

enum { REPLICAS = 3, CASES_MAX = 64, PATIENCE_MS = 60000 };

/* A fault, and what lives through it, at gates of its own: kept-NAME, with a window that has waiters and a place in the queue
 * behind it, and used-NAME, with a pass inside. */
struct trial {
	const struct fault *fault;
	struct arena *arena;
	struct http *http;
	char name[48];
	char window[40], pass[40];	/* their ids */
	long long fence;
	struct ask *waits[REPLICAS], *queued;
};

/* In the request @ stands for the fault's name. The body is followed by a word and that name, so that it ends with a token. */
static struct ask *begin_at(struct trial *trial, int at, const char *request, const char *body, const char *word)
{
	const char *place = strchr(request, '@');
	char line[160];

	snprintf(line, sizeof(line), "%.*s%s%s", (int)(place - request), request, trial->fault->name, place + 1);
	return http_begin(trial->http, &trial->arena->posts[at].server, line, body ? "%s-%s-%s" : NULL, body, word,
		trial->fault->name);
}

static struct ask *ask_at(struct trial *trial, int at, const char *request, const char *body, const char *word)
{
	struct ask *ask = begin_at(trial, at, request, body, word);

	http_finish(ask);
	return ask;
}

#define TOKEN_OF "token=0123456789abcdef"
#define LONG_LIFE "ttl=10m&wait=5m&" TOKEN_OF

static void begin_living(struct trial *trial)
{
	struct ask *window = ask_at(trial, 0, "POST /v1/gates/kept-@/close", LONG_LIFE, "kept");
	struct ask *pass = ask_at(trial, 2, "POST /v1/gates/used-@/pass", LONG_LIFE, "used");

	assert_answer(window, 201, NULL);
	assert_answer(pass, 201, NULL);
	trial->fence = ask_number(window, "fence");
	snprintf(trial->window, sizeof(trial->window), "%s", ask_text(window, "id"));
	snprintf(trial->pass, sizeof(trial->pass), "%s", ask_text(pass, "id"));
	for (int i = 0; i < REPLICAS; i++)
		trial->waits[i] = begin_at(trial, i, "GET /v1/gates/kept-@.below/wait?timeout=5m", NULL, NULL);
	trial->queued = begin_at(trial, 1, "POST /v1/gates/kept-@/close", LONG_LIFE, "next");
	while (!arena_true(trial->arena,
		"select count(*) = 1 from deploy_gate.lease where state = 'queued' and gates = '{kept-%s}'",
		trial->fault->name))
		http_turn(trial->http);
}

static bool is_seen_at(struct trial *trial, int at)
{
	struct ask *gate = ask_at(trial, at, "GET /v1/gates/kept-@", NULL, NULL);
	struct ask *check = ask_at(trial, at, "GET /v1/gates/kept-@.below/check", NULL, NULL);
	struct ask *used = ask_at(trial, at, "GET /v1/gates/used-@", NULL, NULL);

	assert_int_not_equal(check->status, 200);
	if (gate->status != 200 || check->status != 423 || used->status != 200)
		return false;
	assert_text(gate, "state", "closed");
	assert_text(gate, "window.id", trial->window);
	assert_number(gate, "window.fence", trial->fence);
	assert_number(used, "passes.count", 1);
	return true;
}

static bool is_guarded(struct trial *trial)
{
	return arena_true(trial->arena,
		"select count(*) = 2 from deploy_gate.locks l join deploy_gate.session s on s.pid = l.pid and "
		"s.ended_at is null"
		" where (l.gate, l.mode) in (('kept-%s', 'exclusive'), ('used-%s', 'shared'))",
		trial->fault->name, trial->fault->name);
}

static void await_right(struct trial *trial, int64_t since_ns)
{
	int64_t deadline_ns = since_ns + PATIENCE_MS * 1000000LL;

	for (int right = 0; right < REPLICAS || !is_guarded(trial);) {
		if (clock_ns() > deadline_ns)
			fail_msg("after %s it is not right again", trial->fault->name);
		if (right < REPLICAS && is_seen_at(trial, right))
			right++;
		else
			places_pause(10);
	}
}

/* A waiter is still waiting, or it was told that nothing is known. */
static void assert_nobody_was_let_in(struct trial *trial)
{
	for (int i = 0; i < REPLICAS; i++)
		if (http_done(trial->waits[i]) && trial->waits[i]->status != 0)
			assert_answer(trial->waits[i], 503, "unavailable");
}

static void open_window(struct trial *trial, int at, const char *word)
{
	assert_answer(ask_at(trial, at, "POST /v1/gates/kept-@/open",
			      strchr(LONG_LIFE, 't') ? "token=0123456789abcdef" : "", word),
		200, NULL);
}

/* All go on: who waited, who stood in the queue, or comes back to its place there, who is inside. */
static void end_living(struct trial *trial)
{
	struct ask *next;

	open_window(trial, 1, "kept");
	for (int i = 0; i < REPLICAS; i++) {
		if (trial->waits[i]->done)
			continue;
		http_finish(trial->waits[i]);
		assert_answer(trial->waits[i], 200, NULL);
	}
	next = ask_at(trial, 2, "POST /v1/gates/kept-@/close", LONG_LIFE, "next");
	assert_true(next->status == 200 || next->status == 201);
	assert_true(ask_number(next, "fence") > trial->fence);
	open_window(trial, 0, "next");
}

static void test_faults__pass(void **state)
{
	struct trial *trial = *state;
	struct dice dice = { 1 };
	struct strike strike;

	if (trial->fault->possible && !trial->fault->possible(trial->arena)) {
		print_message("it cannot be had here\n");
		skip();
	}
	begin_living(trial);
	fault_strike(trial->fault, trial->arena, &dice, &strike);
	if (!strike.effective_ns || !strike.well_ns)
		fail_msg("%s: %s", strike.effective_ns ? "does not become well" : "has no effect", strike.what);
	await_right(trial, strike.healed_ns);
	print_message("right again after %lld ms\n", (long long)(clock_ns() - strike.healed_ns) / 1000000);
	assert_nobody_was_let_in(trial);
	end_living(trial);
	http_forget(trial->http);
}

int main(void)
{
	struct CMUnitTest tests[CASES_MAX];
	struct trial trials[CASES_MAX];
	struct arena arena;
	struct http http;
	size_t count = 0;
	int failed;

	arena_start(&arena, &(struct arena_plan){ .replicas = REPLICAS });
	http_init(&http);
	for (const struct fault *fault; (fault = fault_number((unsigned)count)) && count < CASES_MAX; count++) {
		struct trial *trial = &trials[count];

		*trial = (struct trial){ .fault = fault, .arena = &arena, .http = &http };
		snprintf(trial->name, sizeof(trial->name), "test_faults__%s", fault->name);
		tests[count] = (struct CMUnitTest){ trial->name, test_faults__pass, NULL, NULL, trial };
	}
	failed = _cmocka_run_group_tests("faults", tests, count, NULL, NULL);
	http_release(&http);
	arena_stop(&arena, failed != 0);
	return failed;
}
