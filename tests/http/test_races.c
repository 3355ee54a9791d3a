/* Many at once through two servers: one holder, no stale answer, no place lost. */
#include "support/stage.h"

#include <stdio.h>

/* The id of the lease of a token, in SQL. */
#define ID_OF(word) "left(encode(sha256('" TOKEN(word) "'), 'hex'), 32)"

enum { ROUNDS = 200, RIVALS = 8 };

static struct ask *begin_open(struct stage *stage, int i, const char *gates, const char *token)
{
	char request[160];

	snprintf(request, sizeof(request), "POST /v1/gates/%s/open", gates);
	return http_begin(&stage->http, i % 2 ? &stage->two : &stage->one, request, "token=%s", token);
}

static void open_now(struct stage *stage, int i, const char *gates, const char *token)
{
	struct ask *ask = begin_open(stage, i, gates, token);

	http_finish(ask);
	assert_answer(ask, 200, NULL);
}

static void test_race__of_many_closes_one_wins(void **state)
{
	struct stage *stage = *state;
	long long fence = 0;

	stage->http.together = true;
	for (int round = 0; round < ROUNDS; round++) {
		struct ask *asks[RIVALS], *winner = NULL;

		for (int i = 0; i < RIVALS; i++)
			asks[i] = begin_close(stage, i + round, "race.one", "");
		for (int i = 0; i < RIVALS; i++) {
			http_finish(asks[i]);
			if (asks[i]->status == 409)
				continue;
			assert_answer(asks[i], 201, NULL);
			if (winner)
				fail_msg("round %d has two winners: %s and %s", round, winner->text, asks[i]->text);
			winner = asks[i];
		}
		assert_non_null(winner);
		assert_true(ask_number(winner, "fence") > fence);
		fence = ask_number(winner, "fence");
		open_now(stage, round, "race.one", ask_text(winner, "token"));
		http_forget(&stage->http);
	}
	stage->http.together = false;
}

/* One token, many requests, many of them in one batch: one is told that it was made, all get the same window. */
static void test_race__of_many_closes_with_one_token_is_one_window(void **state)
{
	struct stage *stage = *state;

	stage->http.together = true;
	for (int round = 0; round < 50; round++) {
		struct ask *asks[RIVALS];
		char body[80], token[64];
		int made = 0;

		snprintf(token, sizeof(token), "same-%d-%s", round, TOKEN("race"));
		snprintf(body, sizeof(body), "token=%s", token);
		for (int i = 0; i < RIVALS; i++)
			asks[i] = begin_close(stage, i, "race.same", body);
		for (int i = 0; i < RIVALS; i++) {
			http_finish(asks[i]);
			assert_true(asks[i]->status == 201 || asks[i]->status == 200);
			made += asks[i]->status == 201;
			assert_number(asks[i], "fence", ask_number(asks[0], "fence"));
		}
		assert_int_equal(made, 1);
		open_now(stage, round, "race.same", token);
		http_forget(&stage->http);
	}
	stage->http.together = false;
}

static void test_race__an_old_token_never_opens_the_next_window(void **state)
{
	struct stage *stage = *state;
	char old[64] = "", token[64];

	for (int round = 0; round < 50; round++) {
		struct ask *close, *opens[4];
		char body[80];

		snprintf(token, sizeof(token), "old-%d-%s", round, TOKEN("race"));
		snprintf(body, sizeof(body), "wait=30s&token=%s", token);
		stage->http.together = true;
		for (int i = 0; i < 4 && round; i++)
			opens[i] = begin_open(stage, i, "race.old", old);
		close = begin_close(stage, round, "race.old", body);
		for (int i = 0; i < 4 && round; i++)
			http_finish(opens[i]);
		http_finish(close);
		stage->http.together = false;
		assert_answer(close, 201, NULL);
		if (round)
			open_now(stage, round, "race.old", old);
		assert_answer(get(stage, "/v1/gates/race.old/check"), 423, "closed");
		memcpy(old, token, sizeof(old));
		http_forget(&stage->http);
	}
}

/* Those who came first get in first, at whichever server they stand. A ticket that does not ask within 1 s is passed over, and a
 * busy machine may take longer: here a minute. */
static void test_race__first_come_first_served_over_both_servers(void **state)
{
	struct stage *stage = *state;
	struct ask *asks[RIVALS];
	char body[RIVALS][96], token[RIVALS][64];

	psql_run(&stage->admin,
		"create function public.free_later() returns trigger language plpgsql as $$"
		" begin new.freed_at = new.freed_at + interval '1 min'; return new; end $$;"
		" create trigger free_later before update on deploy_gate.gate for each row"
		" when (new.name = 'race.line' and new.freed_at is distinct from old.freed_at)"
		" execute function public.free_later()");
	for (int i = 0; i < RIVALS; i++) {
		snprintf(token[i], sizeof(token[i]), "line-%d-%s", i, TOKEN("race"));
		snprintf(body[i], sizeof(body[i]), "wait=1m&token=%s", token[i]);
		asks[i] = begin_close(stage, i / 2, "race.line", body[i]);
		if (i > 0)
			await_deploys(stage, "race.line", i);
		else
			http_finish(asks[i]);
	}
	for (int i = 0; i < RIVALS; i++) {
		http_finish(asks[i]);
		assert_answer(asks[i], 201, NULL);
		for (int later = i + 1; later < RIVALS; later++)
			assert_false(asks[later]->done);
		open_now(stage, i, "race.line", token[i]);
	}
}

static bool conflict(const char *a, const char *b)
{
	size_t length = strlen(a) < strlen(b) ? strlen(a) : strlen(b);

	return strncmp(a, b, length) == 0 && strchr(".", (strlen(a) < strlen(b) ? b : a)[length]);
}

static void test_race__parent_and_child_are_never_both_closed(void **state)
{
	static const char *const family[] = { "kin", "kin.a", "kin.b", "kin.a.x", "kin.a", "kin.b.y", "kin.a.z",
		"kin" };
	struct stage *stage = *state;

	stage->http.together = true;
	for (int round = 0; round < 100; round++) {
		struct ask *asks[RIVALS];
		int won = 0;

		for (int i = 0; i < RIVALS; i++)
			asks[i] = begin_close(stage, i, family[(i + round) % RIVALS], "");
		for (int i = 0; i < RIVALS; i++) {
			http_finish(asks[i]);
			assert_true(asks[i]->status == 201 || asks[i]->status == 409);
			won += asks[i]->status == 201;
			for (int j = 0; j < i; j++)
				if (asks[i]->status == 201 && asks[j]->status == 201 &&
					conflict(family[(i + round) % RIVALS], family[(j + round) % RIVALS]))
					fail_msg("both closed: %s and %s", asks[i]->what, asks[j]->what);
		}
		assert_true(won > 0);
		for (int i = 0; i < RIVALS; i++)
			if (asks[i]->status == 201)
				open_now(stage, i, family[(i + round) % RIVALS], ask_text(asks[i], "token"));
		http_forget(&stage->http);
	}
	stage->http.together = false;
}

/* Sets that overlap, named in different orders, never wait for each other for ever. */
static void test_race__sets_in_different_orders_do_not_lock_each_other_out(void **state)
{
	static const char *const sets[] = { "set.x,set.y", "set.y,set.x", "set.y,set.z", "set.z,set.x" };
	struct stage *stage = *state;

	for (int round = 0; round < 20; round++) {
		struct ask *asks[RIVALS];
		unsigned left = RIVALS;

		stage->http.together = true;
		for (int i = 0; i < RIVALS; i++)
			asks[i] = begin_close(stage, i, sets[i % 4], "wait=50s");
		stage->http.together = false;
		while (left) {
			unsigned live = 0;

			for (int i = 0; i < RIVALS; i++)
				if (asks[i] && http_done(asks[i])) {
					assert_answer(asks[i], 201, NULL);
					assert_int_equal(++live, 1);
					open_now(stage, i, sets[i % 4], ask_text(asks[i], "token"));
					live--;
					asks[i] = NULL;
					left--;
				}
		}
		http_forget(&stage->http);
	}
}

/* A close that is asked again at the other server while it stands in line is one place, and the end of the first connection
 * takes nothing back. */
static void test_race__a_repeated_close_moves_its_claim_and_the_first_connection_may_die(void **state)
{
	static const char body[] = "wait=1m&token=" TOKEN("claim-2");
	struct stage *stage = *state;
	struct ask *first, *second;

	/* The close at the other server would soon claim its place again: so each that loses its claim is noted. */
	psql_run(&stage->admin,
		"create table public.unclaimed (id text);"
		" create function public.note() returns trigger language plpgsql as $$"
		" begin insert into public.unclaimed values (new.id); return new; end $$;"
		" create trigger note before update on deploy_gate.lease for each row when (new.unclaimed_at is not "
		"null)"
		" execute function public.note()");
	post(stage, "/v1/gates/race.claim/close", "token=" TOKEN("claim-1"));
	first = begin_close(stage, 0, "race.claim", body);
	await_deploys(stage, "race.claim", 1);
	second = begin_close(stage, 1, "race.claim", body);
	psql_until(&stage->admin,
		"select s.name = 'two' from deploy_gate.lease l join deploy_gate.session s on s.number = claim_session"
		" where l.gates = '{race.claim}' and l.state = 'queued'");
	http_hang_up(first);
	/* Hang-ups are noticed in the order of the loop: one behind it at the same server has certainly been acted on. */
	first = begin_close(stage, 0, "race.claim", "wait=1m&token=" TOKEN("claim-3"));
	await_deploys(stage, "race.claim", 2);
	http_hang_up(first);
	psql_until(&stage->admin, "select exists (select from public.unclaimed where id = " ID_OF("claim-3") ")");
	assert_false(psql_true(
		&stage->admin, "select exists (select from public.unclaimed where id = " ID_OF("claim-2") ")"));
	psql_run(&stage->admin, "drop trigger note on deploy_gate.lease");
	assert_false(http_done(second));
	open_now(stage, 0, "race.claim", TOKEN("claim-1"));
	http_finish(second);
	assert_answer(second, 201, NULL);
	assert_answer(get(stage, "/v1/gates/race.claim/check"), 423, "closed");
}

/* The place of a client that hung up is kept for 15 s, with its number, and passed over meanwhile. */
static void test_race__a_hang_up_keeps_the_place_for_15_s_and_is_passed_over(void **state)
{
	struct stage *stage = *state;
	struct ask *first, *second;

	post(stage, "/v1/gates/race.gone/close", "token=" TOKEN("gone-1"));
	first = begin_close(stage, 0, "race.gone", "wait=1m&token=" TOKEN("gone-2"));
	await_deploys(stage, "race.gone", 1);
	second = begin_close(stage, 1, "race.gone", "wait=1m&token=" TOKEN("gone-3"));
	await_deploys(stage, "race.gone", 2);
	http_hang_up(first);
	psql_until(&stage->admin,
		"select unclaimed_at is not null from deploy_gate.lease where state = 'queued'"
		" and id = " ID_OF("gone-2") "");
	open_now(stage, 0, "race.gone", TOKEN("gone-1"));
	http_finish(second);
	assert_answer(second, 201, NULL);
	assert_true(psql_true(&stage->admin,
		"select a.number < b.number and a.ended_at is null from deploy_gate.lease a, deploy_gate.lease b"
		" where a.id = " ID_OF("gone-2") " and b.id = '%s'",
		ask_text(second, "id")));
	psql_run(&stage->admin,
		"update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '12 s' where state = 'queued'");
	psql_until(&stage->admin,
		"select ending = 'abandoned' from deploy_gate.lease"
		" where id = " ID_OF("gone-2") "");
	first = begin_close(stage, 0, "race.gone", "wait=1m&token=" TOKEN("gone-2"));
	http_finish(first);
	assert_answer(first, 410, "gone");
	assert_text(first, "lease.end", "abandoned");
}

/* So does a drain: the same request with the same token carries on with it, else it ends by itself. */
static void test_race__a_hang_up_keeps_the_drain_for_15_s(void **state)
{
	struct stage *stage = *state;
	struct psql job;
	struct ask *ask;

	psql_open(&job, &stage->db, NULL);
	psql_run(&job, "select pg_advisory_lock_shared(deploy_gate.key('race.drain'))");
	ask = begin_close(stage, 0, "race.drain", "token=" TOKEN("drain-1"));
	psql_until(&stage->admin, "select drain_until is not null from deploy_gate.lease where id = " ID_OF("drain-1"));
	http_hang_up(ask);
	psql_until(
		&stage->admin, "select unclaimed_at is not null from deploy_gate.lease where id = " ID_OF("drain-1"));
	ask = begin_close(stage, 1, "race.drain", "token=" TOKEN("drain-1"));
	psql_until(&stage->admin, "select unclaimed_at is null from deploy_gate.lease where id = " ID_OF("drain-1"));
	http_hang_up(ask);
	psql_until(
		&stage->admin, "select unclaimed_at is not null from deploy_gate.lease where id = " ID_OF("drain-1"));
	/* It closes while nobody asks; and nobody was told, so it does not last. */
	psql_close(&job);
	psql_until(&stage->admin, "select state = 'closed' from deploy_gate.lease where id = " ID_OF("drain-1"));
	assert_answer(get(stage, "/v1/gates/race.drain/check"), 423, "closed");
	psql_run(&stage->admin,
		"update deploy_gate.lease set unclaimed_at = unclaimed_at - interval '12 s' where id = " ID_OF(
			"drain-1"));
	assert_answer(get(stage, "/v1/gates/race.drain/wait?timeout=30s"), 200, NULL);
	assert_true(psql_true(
		&stage->admin, "select ending = 'abandoned' from deploy_gate.lease where id = " ID_OF("drain-1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race__of_many_closes_one_wins),
		cmocka_unit_test(test_race__of_many_closes_with_one_token_is_one_window),
		cmocka_unit_test(test_race__an_old_token_never_opens_the_next_window),
		cmocka_unit_test(test_race__first_come_first_served_over_both_servers),
		cmocka_unit_test(test_race__parent_and_child_are_never_both_closed),
		cmocka_unit_test(test_race__sets_in_different_orders_do_not_lock_each_other_out),
		cmocka_unit_test(test_race__a_repeated_close_moves_its_claim_and_the_first_connection_may_die),
		cmocka_unit_test(test_race__a_hang_up_keeps_the_place_for_15_s_and_is_passed_over),
		cmocka_unit_test(test_race__a_hang_up_keeps_the_drain_for_15_s),
	};

	return cmocka_run_group_tests(tests, stage_setup, stage_teardown);
}
