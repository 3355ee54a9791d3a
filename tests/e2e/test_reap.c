/* deploy-gate reap: what it prints, and how it ends. */
#include "unit/cases.h"

#include <stdio.h>

#include "support/run.h"

/* What the client says to these words, which come out with that code. */
static const char *says(const struct world *world, int code, const char *const *words)
{
	static struct run run;
	int came = run_words(world, &run, words);

	if (came != code)
		fail_msg("%s %s: exit %d, not %d: %s", words[0], words[1], came, code, run.output);
	return run.output;
}

static void test_reap__wants_to_know_what_and_why(void **state)
{
	const struct world *world = *state;

	assert_contains(says(world, 64, WORDS("reap", "--reason", "x")), "wants --older-than or --all");
	assert_contains(says(world, 64, WORDS("reap", "--reason", "x", "--all", "--older-than", "1h")),
		"wants --older-than or --all");
	assert_contains(says(world, 64, WORDS("reap", "--all")), "wants a --reason");
	assert_contains(says(world, 64, WORDS("reap", "--all", "--reason", "x", "--kind", "lease")), "window|pass");
	assert_contains(says(world, 64, WORDS("reap", "--all", "--reason", "x", "--gates", "a..b")), "a..b");
}

static void test_reap__prints_what_it_ended(void **state)
{
	const struct world *world = *state;
	const char *said;

	assert_string_equal(says(world, 0, WORDS("reap", "--all", "--reason", "x")), "deploy-gate: nothing to end\n");
	assert_string_equal(says(world, 0, WORDS("-q", "reap", "--all", "--reason", "x")), "");
	says(world, 0, WORDS("close", "r.one,r.two", "--holder", "ann@ci", "--reason", "long ago"));
	says(world, 0, WORDS("close", "s", "--holder", "bob@ci"));
	assert_contains(says(world, 0, WORDS("reap", "--older-than", "1h", "--reason", "x")), "nothing to end\n");
	said = says(world, 0, WORDS("reap", "--all", "--gates", "r,q", "--kind", "window", "--reason", "x"));
	assert_contains(said, "GATES");
	assert_contains(said, "r.one,r.two  window  ann@ci  ");
	assert_contains(said, "long ago");
	assert_null(strstr(said, "bob"));
	assert_string_equal(says(world, 0, WORDS("check", "r.one")), "open\n");
	says(world, 1, WORDS("check", "s"));
	assert_contains(
		says(world, 0, WORDS("--json", "reap", "--all", "--reason", "the rest")), "\"holder\":\"bob@ci\"");
	assert_string_equal(says(world, 0, WORDS("--json", "reap", "--all", "--reason", "x")), "{\"leases\":[]}\n");
	assert_contains(says(world, 0, WORDS("history", "s", "--kind", "reaped")), "the rest");
}

/* The command of a reaped pass is ended, and the wrapper says why. */
static void test_reap__ends_the_job_that_had_the_pass(void **state)
{
	const struct world *world = *state;
	struct run job;

	run_start(world, &job, WORDS("run", "j", "--", SELF, "record", "TERM"));
	run_await(&job, "ready");
	assert_contains(says(world, 0, WORDS("reap", "--all", "--kind", "pass", "--reason", "it hangs")), "pass");
	assert_int_equal(run_finish(&job), 76);
	assert_contains(job.output, "got TERM");
	assert_contains(job.output, "exit 76 (lost): the lease was reaped (it hangs)");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reap__wants_to_know_what_and_why),
		cmocka_unit_test(test_reap__prints_what_it_ended),
		cmocka_unit_test(test_reap__ends_the_job_that_had_the_pass),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
