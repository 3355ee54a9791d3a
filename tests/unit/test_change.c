#include "pg/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct noted {
	struct change change;
	struct changes *list;	/* to be added to again when answered */
	enum outcome outcome;
	char body[16];
	unsigned answers;
};

static void note(struct change *change, enum outcome outcome, const char *body)
{
	struct noted *noted = (struct noted *)change;

	noted->answers++;
	noted->outcome = outcome;
	snprintf(noted->body, sizeof(noted->body), "%s", body ? body : "none");
	if (noted->list)
		changes_add(noted->list, change);
}

static void test_changes__put_back_comes_first(void **state)
{
	struct noted n[4] = { 0 };
	struct changes queue, aboard;

	(void)state;
	changes_init(&queue);
	changes_init(&aboard);
	changes_add(&aboard, &n[0].change);
	changes_add(&aboard, &n[1].change);
	changes_add(&queue, &n[2].change);
	changes_put_back(&queue, &aboard);
	changes_add(&queue, &n[3].change);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(changes_take(&queue), &n[i].change);
	assert_null(changes_take(&queue));
	assert_null(changes_take(&aboard));
	changes_add(&aboard, &n[0].change);
	changes_put_back(&queue, &aboard);
	changes_add(&queue, &n[1].change);
	assert_ptr_equal(changes_take(&queue), &n[0].change);
	assert_ptr_equal(changes_take(&queue), &n[1].change);
}

static void test_changes__who_asks_again_when_answered_is_kept_for_the_next_time(void **state)
{
	struct changes list;
	struct noted n = { .change = { .done = note, .outcome = OUTCOME_OK }, .list = &list };

	(void)state;
	changes_init(&list);
	changes_add(&list, &n.change);
	n.change.body = strdup("{}");
	changes_answer(&list);
	assert_int_equal(n.answers, 1);
	assert_string_equal(n.body, "{}");
	assert_ptr_equal(changes_take(&list), &n.change);
}

static void test_changes__failure_carries_no_body(void **state)
{
	struct changes list;
	struct noted n = { .change = { .done = note, .outcome = OUTCOME_OK } };

	(void)state;
	changes_init(&list);
	changes_add(&list, &n.change);
	n.change.body = strdup("{\"state\":\"closed\"}");
	changes_fail(&list, OUTCOME_UNAVAILABLE);
	assert_int_equal(n.outcome, OUTCOME_UNAVAILABLE);
	assert_string_equal(n.body, "none");
}

/* One list never has the same lease twice, and the same gate only where they share it: each request in it is decided as if the others
 * were not there. */
static void test_change_run__ends_before_what_is_near(void **state)
{
	static const char *const plain[] = { "plain_close", "plain_close", "plain_open", "plain_open", "plain_open",
		"plain_open" };
	static const char *const gates[] = { "g", "h", "g", "h", "i", "h" },
				 *const leases[] = { "a", "b", "a", "b", "b", "c" };
	struct noted n[6] = { 0 };
	struct changes list;
	const struct change *run;

	(void)state;
	changes_init(&list);
	for (int i = 0; i < 6; i++) {
		n[i].change = (struct change){ .plain = plain[i], .gate = gates[i], .lease = leases[i] };
		changes_add(&list, &n[i].change);
	}
	run = change_run_end(list.first);
	assert_ptr_equal(run, &n[2].change);
	run = change_run_end(run);
	assert_ptr_equal(run, &n[4].change);
	run = change_run_end(run);
	assert_null(run);
	n[5].change.gate = "i";
	assert_ptr_equal(change_run_end(&n[4].change), &n[5].change);
	n[4].change.shared = n[5].change.shared = true;
	assert_null(change_run_end(&n[4].change));
	n[5].change.lease = n[4].change.lease;
	assert_ptr_equal(change_run_end(&n[4].change), &n[5].change);
}

/* What the first list comes to the second would have to be told: an open of what a close in the same batch has made, passes of one
 * gate with something in between. */
static void test_changes_cross__where_two_lists_are_of_one_gate_or_lease(void **state)
{
	static const struct {
		const char *plain, *gate, *lease;
		bool shared;
	} cases[][4] = {
		{ { "plain_close", "g", "a", false }, { "plain_open", "h", "b", false },
			{ "plain_open", "g", "a", false } },
		{ { "plain_close", "g", "a", false }, { "plain_close", "g", "b", false } },
		{ { "plain_pass", "g", "a", true }, { "plain_close", "h", "b", false },
			{ "plain_pass", "g", "c", true } },
		{ { "plain_pass", "g", "a", true }, { "plain_close", "h", "a", false } },
		{ { "plain_pass", "g", "a", true }, { "plain_pass", "g", "b", true },
			{ "plain_close", "h", "c", false }, { "plain_open", "i", "d", false } },
	};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct noted n[4] = { 0 };
		struct changes list;

		changes_init(&list);
		for (size_t k = 0; k < 4 && cases[i][k].plain; k++) {
			n[k].change = (struct change){ .plain = cases[i][k].plain,
				.gate = cases[i][k].gate,
				.lease = cases[i][k].lease,
				.shared = cases[i][k].shared };
			changes_add(&list, &n[k].change);
		}
		assert_int_equal(changes_cross(&list), i < 4);
	}
}

static void test_change_run__is_a_literal_whatever_the_requests_say(void **state)
{
	struct change second = { .request = "{\"reason\":\"a \\\"b\\\"\"}" },
		      first = { .request = "{}", .next = &second };
	char *list = change_run_list(&first, NULL);

	(void)state;
	assert_string_equal(list, "{\"{}\",\"{\\\"reason\\\":\\\"a \\\\\\\"b\\\\\\\"\\\"}\"}");
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes__put_back_comes_first),
		cmocka_unit_test(test_changes__who_asks_again_when_answered_is_kept_for_the_next_time),
		cmocka_unit_test(test_changes__failure_carries_no_body),
		cmocka_unit_test(test_change_run__ends_before_what_is_near),
		cmocka_unit_test(test_change_run__is_a_literal_whatever_the_requests_say),
		cmocka_unit_test(test_changes_cross__where_two_lists_are_of_one_gate_or_lease),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
