/* attached leases: what their streams are told, and when; that the service renews while a stream stands, and notices its end. */
#include "support/stage.h"

#include <signal.h>
#include <stdio.h>

#include "support/stream.h"

static const int64_t second_ns = 1000000000;

/* A lease, its token and its id. */
struct held {
	struct ask *made;
	char token[64], id[40];
};

/* Makes a window, or a pass, at the first server: verb is "close?ttl=5s". */
static struct held hold(struct stage *stage, const char *gate, const char *verb)
{
	struct held held;
	char target[128];

	snprintf(held.token, sizeof(held.token), "%.*s-%s", (int)strcspn(gate, "."), gate, TOKEN("attach"));
	snprintf(target, sizeof(target), "/v1/gates/%s/%s", gate, verb);
	held.made = post(stage, target, "holder=ann&token=%s", held.token);
	assert_answer(held.made, 201, NULL);
	snprintf(held.id, sizeof(held.id), "%s", ask_text(held.made, "id"));
	return held;
}

static struct ask *attach(struct stage *stage, const struct server *server, const struct held *held)
{
	return stream_attach(&stage->http, server, held->id, held->token);
}

static struct ask *let_go(struct stage *stage, const struct held *held)
{
	char target[64];

	snprintf(target, sizeof(target), "/v1/leases/%s/release", held->id);
	return post(stage, target, "token=%s", held->token);
}

static void let_pass(struct stage *stage, int64_t ns)
{
	for (int64_t until_ns = clock_ns() + ns; clock_ns() < until_ns;)
		http_done(stage->http.asks);
}

/* Whether the row of the lease is so. */
#define is_so(stage, held, condition) \
	psql_true(&(stage)->admin, "select " condition " from deploy_gate.lease where id = '%s'", (held)->id)
#define until_so(stage, held, condition) \
	psql_until(&(stage)->admin, "select " condition " from deploy_gate.lease where id = '%s'", (held)->id)

static void test_attach__renews_for_as_long_as_the_stream_stands(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "keep", "close?ttl=5s");
	struct ask *stream = attach(stage, &stage->one, &held);

	assert_string_equal(ask_field(stream, "Content-Type"), "text/event-stream");
	assert_string_equal(ask_field(stream, "Cache-Control"), "no-store");
	assert_string_equal(ask_field(stream, "X-Accel-Buffering"), "no");
	assert_true(strlen(ask_field(stream, "X-Request-Id")) > 0);
	assert_string_equal(stream_text(stream, "attached", 1, "id"), held.id);
	assert_string_equal(stream_text(stream, "attached", 1, "holder"), "ann");
	assert_true(stream_true(stream, "attached", 1, "attached"));
	/* Over several times to live. */
	stream_await(stream, "renewed", 12);
	for (unsigned i = 1; i <= 12; i++)
		assert_in_range(stream_number(stream, "renewed", i, "expires_in_ms"), 1, 5000);
	assert_true(stream_number(stream, "renewed", 12, "closed_ago_ms") > 10000);
	assert_null(strstr(stream->text, held.token));
	assert_answer(get(stage, "/v1/gates/keep/check"), 423, "closed");
	assert_true(is_so(stage, &held, "attached and expires_at > clock_timestamp()"));
	/* That is no news for the history. */
	assert_null(strstr(get(stage, "/v1/events?gate=keep")->text, "renewed"));
	let_go(stage, &held);
}

/* It is renewed more often than the others, be its time to live ever so short. */
static void test_attach__renews_a_short_life_in_time(void **state)
{
	struct stage *stage = *state;
	struct held other = hold(stage, "long", "close?ttl=1m"), held = hold(stage, "short", "close?ttl=3s");
	struct ask *stream = attach(stage, &stage->one, &held), *calm = attach(stage, &stage->one, &other);

	stream_await(stream, "renewed", 12);
	assert_int_equal(stream_count(stream, "lost"), 0);
	assert_true(stream_number(stream, "renewed", 12, "closed_ago_ms") > 6000);
	assert_true(stream_count(calm, "renewed") < 8);
	let_go(stage, &held);
	let_go(stage, &other);
}

/* One that does not expire yet is told of all the same, and of what becomes of it. */
static void test_attach__of_a_window_that_waits_in_line(void **state)
{
	struct stage *stage = *state;
	struct held ahead = hold(stage, "line", "close?ttl=10m"), held = { .token = TOKEN("queued") };
	struct ask *stream,
		*queued = http_begin(&stage->http, &stage->two, "POST /v1/gates/line/close",
			"ttl=10s&wait=50s&token=%s", held.token);
	unsigned told;

	await_deploys(stage, "line", 1);
	snprintf(held.id, sizeof(held.id), "%s",
		psql_value(&stage->admin, "select lease from deploy_gate.lease_gate where role = 'ticket'"));
	stream = attach(stage, &stage->one, &held);
	assert_string_equal(stream_text(stream, "attached", 1, "state"), "queued");
	stream_await(stream, "renewed", 2);
	assert_string_equal(stream_text(stream, "renewed", 0, "state"), "queued");
	assert_int_equal(stream_number(stream, "renewed", 0, "expires_in_ms"), -1);
	let_go(stage, &ahead);
	http_finish(queued);
	assert_answer(queued, 201, NULL);
	told = stream_count(stream, "renewed");
	stream_await(stream, "renewed", told + 2);
	assert_string_equal(stream_text(stream, "renewed", 0, "state"), "closed");
	assert_in_range(stream_number(stream, "renewed", 0, "expires_in_ms"), 1, 10000);
	let_go(stage, &held);
}

/* Renewed is told after the commit, and the time left counts from before the question: it is never more than there is. */
static void test_attach__tells_nothing_before_the_commit_nor_more_time_than_is_left(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "commit", "close?ttl=30s");
	struct ask *stream = attach(stage, &stage->one, &held);
	unsigned told;

	stream_await(stream, "renewed", 1);
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	/* What was committed before may be on its way still. */
	while (!psql_true(&stage->admin,
		"select deploy_gate.rfc3339(expires_at) = '%s' from deploy_gate.lease where id = '%s'",
		stream_text(stream, "renewed", 0, "expires_at"), held.id))
		let_pass(stage, second_ns / 100);
	told = stream_count(stream, "renewed");
	let_pass(stage, 4 * second_ns);
	assert_int_equal(stream_count(stream, "renewed"), told);
	assert_false(stream->done);
	psql_run(&stage->admin, "commit");
	stream_await(stream, "renewed", told + 1);
	/* It was asked for about 2 s before it could be decided. */
	assert_true(stream_number(stream, "renewed", told + 1, "expires_in_ms") < 30000 - 1000);
	let_go(stage, &held);
}

/* Its time to live goes on; and after that the gate opens 5 s later, for its holder may still be about to end what it does. */
static void test_attach__hangup_leaves_the_lease_its_time(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "hang", "close?ttl=6s");
	struct ask *stream = attach(stage, &stage->one, &held), *wait;

	stream_await(stream, "renewed", 1);
	http_hang_up(stream);
	until_so(stage, &held, "not attached and was_attached and ended_at is null");
	wait = http_begin(&stage->http, &stage->two, "GET /v1/gates/hang/wait?timeout=50s", NULL);
	until_so(stage, &held, "ending = 'expired'");
	assert_true(is_so(stage, &held, "opens_at - ended_at = interval '5 s'"));
	assert_answer(get(stage, "/v1/gates/hang/check"), 423, "closed");
	http_finish(wait);
	assert_answer(wait, 200, NULL);
}

/* The old stream is ended, at whichever replica, and nothing is lost. */
static void test_attach__a_second_one_replaces_the_first(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "second", "close?ttl=6s");
	struct ask *first = attach(stage, &stage->one, &held), *second = attach(stage, &stage->one, &held), *third;

	stream_await_end(first);
	third = attach(stage, &stage->two, &held);
	stream_await_end(second);
	assert_int_equal(stream_count(first, "lost") + stream_count(second, "lost"), 0);
	stream_await(third, "renewed", 3);
	assert_true(is_so(stage, &held, "attached and ended_at is null"));
	let_go(stage, &held);
	stream_await(third, "lost", 1);
}

/* A replica that hung for a while tells the rows late that a stream broke: the lease has another by then. */
static void test_attach__a_late_detach_means_nothing_to_the_next_stream(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "late", "close?ttl=10s");
	struct ask *first = attach(stage, &stage->one, &held), *second;

	server_signal(&stage->one, SIGSTOP);
	second = attach(stage, &stage->two, &held);
	http_hang_up(first);
	server_signal(&stage->one, SIGCONT);
	assert_answer(get(stage, "/v1/gates/late/check"), 423, "closed");
	stream_await(second, "renewed", 3);
	assert_true(is_so(stage, &held, "attached"));
	let_go(stage, &held);
}

/* However the lease ends, and at whichever replica: its stream is told at once, and then ended. */
static void test_attach__lost_is_told_at_once(void **state)
{
	struct stage *stage = *state;
	int64_t least_ns = INT64_MAX;

	for (int i = 0; i < 6; i++) {
		char gate[16], request[48];
		struct held held;
		struct ask *stream;
		int64_t forced_ns;

		snprintf(gate, sizeof(gate), "lost%d", i);
		snprintf(request, sizeof(request), "POST /v1/gates/%s/force-open", gate);
		held = hold(stage, gate, "close?ttl=1m");
		stream = attach(stage, &stage->one, &held);
		forced_ns = clock_ns();
		http_ask(&stage->http, i % 2 ? &stage->one : &stage->two, request, "reason=test&holder=bob");
		stream_await(stream, "lost", 1);
		least_ns = clock_ns() - forced_ns < least_ns ? clock_ns() - forced_ns : least_ns;
		assert_string_equal(stream_text(stream, "lost", 1, "end"), "forced");
		assert_string_equal(stream_text(stream, "lost", 1, "ended_by"), "bob");
		stream_await_end(stream);
	}
	/* Without the hint each would take until the next round. One is measured: the machine may be busy with others. */
	assert_true(least_ns < second_ns);
}

/* Once each; what was told once is a member of every later event. */
static void test_attach__a_pass_is_told_that_a_deploy_wants_in_and_then_to_stop(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "drain.job", "pass?ttl=10s");
	struct ask *stream = attach(stage, &stage->two, &held), *again;
	struct ask *deploy = http_begin(&stage->http, &stage->one, "POST /v1/gates/drain/close",
		"holder=bob&reason=fix&drain=4s&on_drain=stop");

	stream_await(stream, "closing", 1);
	assert_string_equal(stream_text(stream, "closing", 1, "closing.holder"), "bob");
	assert_string_equal(stream_text(stream, "closing", 1, "closing.reason"), "fix");
	assert_string_equal(stream_text(stream, "closing", 1, "closing.on_drain"), "stop");
	assert_int_equal(strlen(stream_text(stream, "closing", 1, "closing.lease")), 32);
	assert_int_equal(strlen(stream_text(stream, "closing", 1, "closing.deadline_at")), 24);
	assert_in_range(stream_number(stream, "closing", 1, "closing.deadline_in_ms"), 1, 4000);
	stream_await(stream, "stop", 1);
	assert_true(stream_count(stream, "renewed") > 0);
	assert_true(stream_true(stream, "stop", 1, "stop"));
	assert_in_range(stream_number(stream, "stop", 1, "closing.deadline_in_ms"), 4000, 10000);
	stream_await(stream, "renewed", stream_count(stream, "renewed") + 1);
	assert_true(stream_true(stream, "renewed", 0, "stop"));
	assert_string_equal(stream_text(stream, "renewed", 0, "closing.holder"), "bob");
	/* Whoever attaches anew is told as well. */
	again = attach(stage, &stage->one, &held);
	stream_await(again, "stop", 1);
	let_go(stage, &held);
	stream_await(again, "lost", 1);
	http_finish(deploy);
	assert_answer(deploy, 201, NULL);
	assert_int_equal(stream_count(stream, "closing"), 1);
	assert_int_equal(stream_count(stream, "stop"), 1);
}

static void test_attach__refusals_are_like_those_of_any_request(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "refuse", "close?ttl=1m");
	const char *const no_lease = "0123456789abcdef0123456789abcdef", *const foreign = TOKEN("foreign");
	struct ask *ask;
	char target[96];

	snprintf(target, sizeof(target), "/v1/leases/%s/attach", held.id);
	ask = stream_begin(&stage->http, &stage->two, no_lease, held.token);
	http_finish(ask);
	assert_answer(ask, 404, "not_found");
	assert_contains(ask_text(ask, "detail"), "no lease");
	ask = stream_begin(&stage->http, &stage->two, held.id, foreign);
	http_finish(ask);
	assert_answer(ask, 409, "not_holder");
	assert_contains(ask_text(ask, "detail"), "not that of this window");
	ask = get(stage, target);
	assert_answer(ask, 400, "bad_request");
	assert_contains(ask_text(ask, "detail"), "X-Lease-Token");
	assert_false(is_so(stage, &held, "attached or was_attached"));
	let_go(stage, &held);
	ask = stream_begin(&stage->http, &stage->two, held.id, held.token);
	http_finish(ask);
	assert_answer(ask, 410, "gone");
	assert_text(ask, "lease.end", "released");
	assert_answer(post(stage, target, NULL), 405, "method_not_allowed");
}

static struct ask *ask_head(struct stage *stage, const char *id, const char *token)
{
	char request[96], field[256];

	snprintf(request, sizeof(request), "HEAD /v1/leases/%s/attach", id);
	snprintf(field, sizeof(field), "X-Lease-Token: %s", token);
	return http_ask_with(&stage->http, &stage->two, field, request, NULL);
}

/* It is told what the header of a stream would be; the stream that there is stands, and a lease that has none gets none. */
static void test_attach__head_leaves_the_lease_alone(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "head", "close?ttl=10s"), free = hold(stage, "headless", "close?ttl=1m");
	struct ask *stream = attach(stage, &stage->one, &held), *ask;
	unsigned told;

	for (int i = 0; i < 2; i++) {
		ask = ask_head(stage, i ? free.id : held.id, i ? free.token : held.token);
		assert_answer(ask, 200, NULL);
		assert_string_equal(ask_field(ask, "Content-Type"), "text/event-stream");
		assert_string_equal(ask_field(ask, "X-Accel-Buffering"), "no");
		assert_string_equal(ask->text, "");
	}
	told = stream_count(stream, "renewed");
	stream_await(stream, "renewed", told + 3);
	assert_true(is_so(stage, &held, "attached"));
	assert_false(is_so(stage, &free, "attached or was_attached"));
	assert_int_equal(ask_head(stage, "0123456789abcdef0123456789abcdef", held.token)->status, 404);
	assert_int_equal(ask_head(stage, held.id, free.token)->status, 409);
	let_go(stage, &held);
	let_go(stage, &free);
	assert_int_equal(ask_head(stage, held.id, held.token)->status, 410);
}

/* What somebody wants to keep goes before all else that came to be decided with it. */
static void test_renew__goes_before_what_came_earlier_in_its_batch(void **state)
{
	struct stage *stage = *state;
	struct held held = hold(stage, "first", "close?ttl=1m");
	struct ask *open, *renew;
	unsigned tries;
	char request[64];

	snprintf(request, sizeof(request), "POST /v1/leases/%s/renew", held.id);
	psql_run(&stage->admin, "begin; select from deploy_gate.service for update");
	open = http_begin(&stage->http, &stage->one, "POST /v1/gates/first/open", "token=%s", held.token);
	renew = http_begin(&stage->http, &stage->one, request, "token=%s", held.token);
	/* Behind an answer to one that came later both have arrived; the batch that fails next goes again with all that did. */
	assert_answer(get(stage, "/healthz"), 200, NULL);
	tries = server_logged(&stage->one, "event=batch_failed");
	while (server_logged(&stage->one, "event=batch_failed") < tries + 2)
		let_pass(stage, second_ns / 100);
	psql_run(&stage->admin, "commit");
	http_finish(open);
	http_finish(renew);
	assert_answer(renew, 200, NULL);
	assert_answer(open, 200, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_attach__renews_for_as_long_as_the_stream_stands),
		cmocka_unit_test(test_attach__renews_a_short_life_in_time),
		cmocka_unit_test(test_attach__of_a_window_that_waits_in_line),
		cmocka_unit_test(test_attach__tells_nothing_before_the_commit_nor_more_time_than_is_left),
		cmocka_unit_test(test_attach__hangup_leaves_the_lease_its_time),
		cmocka_unit_test(test_attach__a_second_one_replaces_the_first),
		cmocka_unit_test(test_attach__a_late_detach_means_nothing_to_the_next_stream),
		cmocka_unit_test(test_attach__lost_is_told_at_once),
		cmocka_unit_test(test_attach__a_pass_is_told_that_a_deploy_wants_in_and_then_to_stop),
		cmocka_unit_test(test_attach__refusals_are_like_those_of_any_request),
		cmocka_unit_test(test_attach__head_leaves_the_lease_alone),
		cmocka_unit_test(test_renew__goes_before_what_came_earlier_in_its_batch),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
