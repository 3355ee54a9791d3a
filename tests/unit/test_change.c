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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes__put_back_comes_first),
		cmocka_unit_test(test_changes__who_asks_again_when_answered_is_kept_for_the_next_time),
		cmocka_unit_test(test_changes__failure_carries_no_body),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
