/* Remembered tokens: whose they are, where they are, who may read them, and that two closes do not share one. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

static const char token[] = "0123456789abcdef0123456789abcdef", other[] = "fedcba9876543210fedcba9876543210";

static const char *const of_ci[] = { "DEPLOY_GATE_SESSION", "CI_JOB_ID", "GITHUB_RUN_ID", "GITHUB_JOB", "BUILD_TAG",
	"SLURM_JOB_ID" };

static int forget_environment(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(of_ci); i++)
		unsetenv(of_ci[i]);
	return 0;
}

static const struct session {
	const char *set[3][2], *name;
} sessions[] = {
	{ { { NULL, NULL } }, "@user" },
	{ { { "DEPLOY_GATE_SESSION", "" } }, "@user" },
	{ { { "DEPLOY_GATE_SESSION", "nightly" } }, "nightly" },
	{ { { "DEPLOY_GATE_SESSION", "nightly" }, { "CI_JOB_ID", "12" } }, "nightly" },
	{ { { "CI_JOB_ID", "12" }, { "BUILD_TAG", "x" } }, "12" },
	{ { { "GITHUB_RUN_ID", "7" }, { "GITHUB_JOB", "build" } }, "7-build" },
	{ { { "GITHUB_JOB", "build" } }, "@user" },
	{ { { "BUILD_TAG", "jenkins-a/b 3" } }, "jenkins-a%2Fb%203" },
	{ { { "SLURM_JOB_ID", "99" } }, "99" },
	{ { { "DEPLOY_GATE_SESSION", ".." } }, "%2E." },
	{ { { "DEPLOY_GATE_SESSION", "@user" } }, "%40user" },
};

static void test_session__is_that_of_the_ci_or_of_the_user(void **state)
{
	char name[SESSION_NAME_MAX + 1];

	for (size_t i = 0; i < COUNT(sessions); i++) {
		forget_environment(state);
		for (size_t j = 0; j < 3 && sessions[i].set[j][0]; j++)
			setenv(sessions[i].set[j][0], sessions[i].set[j][1], 1);
		session_name(name);
		assert_string_equal(name, sessions[i].name);
	}
}

static void test_session__long_ones_are_told_apart(void **state)
{
	char text[301], one[SESSION_NAME_MAX + 1], two[SESSION_NAME_MAX + 1];

	(void)state;
	memset(text, 'x', 300);
	text[300] = '\0';
	setenv("BUILD_TAG", text, 1);
	session_name(one);
	text[299] = 'y';
	setenv("BUILD_TAG", text, 1);
	session_name(two);
	assert_int_equal(strlen(one), SESSION_NAME_MAX);
	assert_string_not_equal(one, two);
}

static int make_place(void **state)
{
	char *place = strdup("/tmp/state-test-XXXXXX");

	forget_environment(state);
	*state = place;
	if (!place || !mkdtemp(place))
		return -1;
	setenv("DEPLOY_GATE_STATE_DIR", place, 1);
	return 0;
}

static int remove_place(void **state)
{
	static const char *const parts[] = { "/deep/@user/a", "/deep/@user/b.c", "/deep/@user", "/deep", "" };
	char path[256];

	for (size_t i = 0; i < COUNT(parts); i++) {
		snprintf(path, sizeof(path), "%s%s", (const char *)*state, parts[i]);
		(void)remove(path);
	}
	free(*state);
	return 0;
}

/* The state in a directory that does not exist yet, and a set of two gates. */
static struct gates *begin(const char *place, struct state *remembered)
{
	struct gates *gates;
	struct fault fault;
	char deep[256];

	snprintf(deep, sizeof(deep), "%s/deep", place);
	setenv("DEPLOY_GATE_STATE_DIR", deep, 1);
	assert_int_equal(state_init(remembered, &fault), OUTCOME_OK);
	assert_int_equal(gates_parse("a,b.c", &gates, &fault), OUTCOME_OK);
	return gates;
}

static unsigned mode_of(const struct state *remembered, const char *file)
{
	struct stat status;
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s%s", remembered->directory, file);
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 0777;
}

static void test_state__remembers_for_each_gate_and_for_nobody_else(void **state)
{
	struct state remembered;
	struct state_lock lock;
	struct fault fault;
	struct gates *gates = begin(*state, &remembered);
	char read[TOKEN_MAX + 1];

	assert_false(state_recall(&remembered, "a", read));
	assert_int_equal(state_lock(&remembered, gates, &lock, &fault), OUTCOME_OK);
	assert_false(state_recall(&remembered, "a", read));
	assert_int_equal(state_remember(&lock, token, &fault), OUTCOME_OK);
	state_unlock(&lock);
	assert_true(state_recall(&remembered, "a", read));
	assert_string_equal(read, token);
	assert_true(state_recall(&remembered, "b.c", read));
	assert_string_equal(read, token);
	assert_false(state_recall(&remembered, "b", read));
	assert_int_equal(mode_of(&remembered, "/a"), 0600);
	assert_int_equal(mode_of(&remembered, ""), 0700);
	state_forget(&remembered, gates, other);
	assert_true(state_recall(&remembered, "a", read));
	state_forget(&remembered, gates, token);
	assert_false(state_recall(&remembered, "a", read));
	assert_false(state_recall(&remembered, "b.c", read));
	free(gates);
}

static void test_state__two_closes_do_not_share_a_file(void **state)
{
	struct state remembered;
	struct state_lock first, second;
	struct fault fault;
	struct gates *gates = begin(*state, &remembered);

	assert_int_equal(state_lock(&remembered, gates, &first, &fault), OUTCOME_OK);
	assert_int_equal(state_lock(&remembered, gates, &second, &fault), OUTCOME_HELD);
	assert_contains(fault.detail, "another close of a is under way");
	assert_int_equal(state_remember(&first, token, &fault), OUTCOME_OK);
	state_forget(&remembered, gates, token);
	assert_int_equal(state_lock(&remembered, gates, &second, &fault), OUTCOME_OK);
	state_unlock(&first);
	assert_int_equal(state_lock(&remembered, gates, &first, &fault), OUTCOME_HELD);
	state_unlock(&second);
	free(gates);
}

static void test_state__what_cannot_be_written_is_said(void **state)
{
	struct state remembered;
	struct state_lock lock;
	struct fault fault;
	struct gates *gates = begin(*state, &remembered);

	setenv("DEPLOY_GATE_STATE_DIR", "/dev/null", 1);
	assert_int_equal(state_init(&remembered, &fault), OUTCOME_OK);
	assert_int_equal(state_lock(&remembered, gates, &lock, &fault), OUTCOME_BAD_REQUEST);
	assert_contains(fault.detail, "/dev/null/@user");
	free(gates);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_session__is_that_of_the_ci_or_of_the_user, forget_environment),
		cmocka_unit_test_setup(test_session__long_ones_are_told_apart, forget_environment),
		cmocka_unit_test_setup_teardown(
			test_state__remembers_for_each_gate_and_for_nobody_else, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_state__two_closes_do_not_share_a_file, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_state__what_cannot_be_written_is_said, make_place, remove_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
