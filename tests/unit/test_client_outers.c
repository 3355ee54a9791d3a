/* What a command is told of the leases that it runs inside of, and what it makes of that. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "outers.h"

/* A lease whose token is made of that letter. */
static struct lease lease_of(char letter)
{
	struct lease lease;
	char token[33];

	memset(token, letter, 32);
	token[32] = '\0';
	lease_init(&lease, NULL, token);
	return lease;
}

static void add(struct outers *outers, const char *letters, bool behind)
{
	for (; *letters; letters++) {
		struct lease lease = lease_of(*letters);

		outers_add(outers, &lease, behind);
	}
}

static void ignore(struct outers *outers, unsigned which)
{
	struct client client = { .report.quiet = true };

	outers_ignore(&client, outers, which, "a test");
}

/* The letters of the leases that the environment tells of. */
static void assert_told(const char *letters)
{
	struct client client = { .report.quiet = true };
	struct outers outers;
	char found[OUTERS_MAX + 1] = "";

	outers_read(&client, &outers);
	for (unsigned i = 0; i < outers.count; i++)
		found[i] = outers.at[i].token[0];
	assert_string_equal(found, letters);
}

static int forget(void **state)
{
	(void)state;
	outers_hand_down(&(struct outers){ .count = 0 });
	outers_tell(NULL, NULL, NULL);
	return 0;
}

static void test_outers__are_handed_down_the_innermost_first(void **state)
{
	struct outers outers = { .count = 0 };

	(void)state;
	assert_told("");
	add(&outers, "a", false);
	add(&outers, "b", false);
	add(&outers, "c", true);
	outers_hand_down(&outers);
	assert_told("bca");
	assert_int_equal(getenv("DEPLOY_GATE_TOKEN")[0], 'b');
}

static void test_outers__of_many_the_outermost_is_forgotten(void **state)
{
	struct outers outers = { .count = 0 };

	(void)state;
	add(&outers, "abcdefghi", false);
	outers_hand_down(&outers);
	assert_told("ihgfedcb");
	add(&outers, "j", true);
	outers_hand_down(&outers);
	assert_told("ijhgfedc");
}

static void test_outers__one_that_is_ignored_is_handed_down_no_more(void **state)
{
	struct outers outers = { .count = 0 };

	(void)state;
	add(&outers, "abc", false);
	outers_tell("gate", "7", NULL);
	ignore(&outers, 1);
	assert_told("ca");
	assert_string_equal(getenv("DEPLOY_GATE_GATES"), "gate");
	ignore(&outers, 0);
	assert_told("a");
	assert_null(getenv("DEPLOY_GATE_GATES"));
	ignore(&outers, 0);
	assert_told("");
	assert_null(getenv("DEPLOY_GATE_TOKEN"));
}

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct told {
	const char *token, *outer, *letters;
} told[] = {
	{ "", A, "" }, /* taken away: the command is to be outside */
	{ A, "", "a" },
	{ A, ",short,bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,", "ab" },
	{ A, A "," A "," A "," A "," A "," A "," A "," A "," A, "aaaaaaaa" }, /* no more than there is room for */
	{ "short", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "b" },
};

static void test_outers__what_is_no_token_is_left_out(void **state)
{
	char long_one[TOKEN_MAX + 20];

	(void)state;
	for (size_t i = 0; i < COUNT(told); i++) {
		setenv("DEPLOY_GATE_TOKEN", told[i].token, 1);
		setenv("DEPLOY_GATE_OUTER", told[i].outer, 1);
		assert_told(told[i].letters);
	}
	memset(long_one, 'x', sizeof(long_one));
	long_one[sizeof(long_one) - 1] = '\0';
	setenv("DEPLOY_GATE_TOKEN", long_one, 1);
	unsetenv("DEPLOY_GATE_OUTER");
	assert_told("");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_outers__are_handed_down_the_innermost_first, forget),
		cmocka_unit_test_setup(test_outers__of_many_the_outermost_is_forgotten, forget),
		cmocka_unit_test_setup(test_outers__one_that_is_ignored_is_handed_down_no_more, forget),
		cmocka_unit_test_setup(test_outers__what_is_no_token_is_left_out, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
