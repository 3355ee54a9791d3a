#include "gate/waiters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/names.h"

struct sleeper {
	struct waiter waiter;
	struct gates *gates;
	unsigned woken;
};

static void wake(struct waiter *waiter)
{
	((struct sleeper *)waiter)->woken++;
}

static void lie_down(struct waiters *w, struct sleeper *s, const char *gates, bool below)
{
	struct fault fault;

	*s = (struct sleeper){ 0 };
	assert_int_equal(gates_parse(gates, &s->gates, &fault), OUTCOME_OK);
	s->waiter = (struct waiter){ .gates = s->gates, .below = below, .wake = wake };
	waiters_join(w, &s->waiter);
}

static void get_up(struct waiters *w, struct sleeper *s)
{
	waiters_part(w, &s->waiter);
	free(s->gates);
}

/* Whom a change of a gate wakes: a job that waits for "waits", and a close of the same. */
static const struct {
	const char *waits, *changed;
	unsigned job, close;
} cases[] = {
	{ "production", "production", 1, 1 },
	{ "production.billing", "production", 1, 1 },
	{ "production", "production.billing", 0, 1 },
	{ "production.a", "production.b", 0, 0 },
	{ "production", "productio", 0, 0 },
	{ "production", "production-2", 0, 0 },
	{ "a.b.c", "a", 1, 1 },
	{ "a", "a.b.c", 0, 1 },
	{ "x,y", "y", 1, 1 },
	{ "x", "*", 1, 1 },
};

static void test_waiters__wakes_whom_a_gate_bears_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct waiters *w = waiters_new();
		struct sleeper job, close;

		lie_down(w, &job, cases[i].waits, false);
		lie_down(w, &close, cases[i].waits, true);
		waiters_wake(w, cases[i].changed);
		assert_int_equal(job.woken, cases[i].job);
		assert_int_equal(close.woken, cases[i].close);
		get_up(w, &job);
		get_up(w, &close);
		waiters_free(w);
	}
}

static void test_waiters__who_left_is_not_woken(void **state)
{
	struct waiters *w = waiters_new();
	struct sleeper gone, stays;

	(void)state;
	lie_down(w, &gone, "a.b", false);
	lie_down(w, &stays, "a.b", false);
	get_up(w, &gone);
	waiters_wake(w, "a");
	assert_int_equal(gone.woken, 0);
	assert_int_equal(stays.woken, 1);
	get_up(w, &stays);
	waiters_wake(w, "a");
	waiters_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiters__wakes_whom_a_gate_bears_on),
		cmocka_unit_test(test_waiters__who_left_is_not_woken),
	};

	return cmocka_run_group_tests_name("waiters", tests, NULL, NULL);
}
