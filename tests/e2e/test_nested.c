/* Commands of deploy-gate inside commands of deploy-gate, and inside what is over. By the real client against the real
 * server. */
#include "unit/cases.h"

#include <signal.h>
#include <stdlib.h>

#include "support/run.h"

/* A script of the outer command's, which calls the client $0. */
static const struct scene {
	const char *outer, *gates, *script;
	int code;
	const char *said;
} scenes[] = {
	/* inside a window */
	{ "deploy", "a,b",
		"$0 check a; $0 wait b; $0 run a.c -- true; $0 deploy b -- true; $0 close a; $0 open a; "
		"$0 run b -- $0 check a; echo through",
		0, "through\n" },
	{ "deploy", "a", "$0 open a; $0 status a --json", 0, "\"state\":\"closed\"" },
	{ "deploy", "a", "$0 open a; $0 status a", 0, "opening a is left to the deploy that this runs in" },
	{ "deploy", "a", "$0 -q close a,b >/dev/null; $0 -q open a,b; $0 check b; $0 status a --json", 0,
		"\"state\":\"closed\"" },
	{ "deploy", "a", "$0 run a -- $0 status a --json", 0, "\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 run a -- sh -c 'echo ${#DEPLOY_GATE_FENCE} $DEPLOY_GATE_GATES'", 0, "1 a\n" },
	{ "deploy", "a", "$0 run a -- $0 deploy a -- echo through", 0, "through\n" },
	{ "deploy", "a", "$0 run a,held --wait 100ms -- echo ran", 75, "exit 75 (closed): held is closed" },
	{ "deploy", "a", "$0 check a,held", 1, "closed\n" },
	{ "deploy", "a", "$0 deploy a,held -- echo ran", 75, "exit 75 (held): held is closed" },
	{ "deploy", "a", "$0 run b -- sh -c 'echo $DEPLOY_GATE_GATES'", 0, "b\n" },
	{ "deploy", "a", "$0 renew a.b --ttl 1h; $0 status a --json", 0, "\"ttl_ms\":15000" },
	{ "deploy", "a", "$0 renew a.b --ttl 1h", 0, "a.b is kept shut by the deploy that this runs in\n" },
	{ "deploy", "a", "$0 reason a.b newer; $0 status a", 0, "  newer  " },
	{ "deploy", "a", "$0 -q close b >/dev/null; $0 reason a,b newer; $0 status b; $0 -q open b", 0, "  newer  " },
	{ "deploy", "a",
		"export DEPLOY_GATE_TOKEN=$($0 -q close b); $0 renew b.c --ttl 1h; env -u DEPLOY_GATE_TOKEN $0 -q open "
		"b",
		0, "b.c stays shut for 1h" },
	/* what a script reads of a window that is left as it is */
	{ "deploy", "a,b", "$0 -q close b.c --json", 0, "\"kind\":\"window\",\"gates\":[\"a\",\"b\"]," },
	{ "deploy", "a,b", "$0 -q close a,b --json | wc -l", 0, "1\n" },
	{ "deploy", "a", "! $0 -q close a --json | grep '\"token\"'; $0 -q close a; echo silent", 0, "silent\n" },
	{ "deploy", "a", "$0 -q close a,b --json | sed 's/.*\"gates\"://; s/,.*//' | xargs echo only; $0 -q open b", 0,
		"only [b]\n" },
	{ "deploy", "a", "$0 -q open a --json", 0, "{\"state\":\"closed\"," },
	{ "deploy", "a", "$0 -q renew a --json", 0, "{\"state\":\"closed\"," },
	{ "deploy", "a", "$0 wait a --json", 0, "{\"state\":\"open\"}" },
	{ "deploy", "a", "$0 deploy b -- $0 -q close a,b --json | wc -l", 0, "2\n" },
	{ "deploy", "a", "$0 renew b", 64, "exit 64 (usage): no close of b is remembered" },
	/* inside more than one */
	{ "deploy", "a", "$0 deploy b -- $0 reason a,b newer; $0 status a", 0, "  newer  " },
	{ "deploy", "a", "$0 run b -- $0 run a --wait 100ms -- echo through", 0, "through\n" },
	{ "deploy", "a", "$0 run b -- $0 deploy a -- echo through", 0, "through\n" },
	{ "deploy", "a", "$0 run b -- $0 open a; $0 check a; env -u DEPLOY_GATE_TOKEN $0 check a", 1, "closed\n" },
	{ "deploy", "a", "$0 deploy b -- $0 deploy a,b,c -- $0 check a.b,b,c", 0, "open\n" },
	{ "deploy", "a", "$0 deploy b -- $0 deploy c -- $0 check a,b,c --json", 0, "{\"state\":\"open\"" },
	{ "deploy", "a", "$0 deploy b -- $0 run a,b,c --wait 100ms -- echo through", 0, "through\n" },
	{ "deploy", "a", "$0 deploy b -- $0 run a --wait 100ms -- $0 status a --json", 0, "\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 deploy b -- $0 deploy c -- $0 run a.x,b --wait 100ms -- $0 status b --json", 0,
		"\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 deploy b -- $0 deploy c -- $0 run a.x --wait 100ms -- $0 run a.x -- $0 status a --json", 0,
		"\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 deploy b -- $0 run a,held --wait 100ms -- echo ran", 75,
		"exit 75 (closed): held is closed" },
	{ "deploy", "a", "$0 run a,c -- $0 run c -- $0 status c --json", 0, "\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 run b -- $0 run a -- $0 run a,b -- $0 status a --json", 0, "\"passes\":{\"count\":1" },
	{ "deploy", "a", "$0 run b -- env -u DEPLOY_GATE_TOKEN $0 check a", 1, "closed\n" },
	{ "deploy", "a", "DEPLOY_GATE_OUTER=0123456789abcdef0123456789abcdef $0 check a", 0,
		"a token of DEPLOY_GATE_OUTER is ignored: the service knows no lease of it\nopen\n" },
	{ "deploy", "a",
		"export DEPLOY_GATE_OUTER=$DEPLOY_GATE_TOKEN DEPLOY_GATE_TOKEN=nonsense; $0 run a --wait 100ms -- "
		"sh -c 'echo $DEPLOY_GATE_TOKEN ${DEPLOY_GATE_GATES-none}' | tr -c '0-9a-z\n' ' '",
		0, " none\n" },
	{ "run", "a", "$0 run b -- $0 run a -- $0 status a --json", 0, "\"passes\":{\"count\":1" },
	{ "run", "a", "$0 run b -- $0 close a", 64, "exit 64 (usage): cannot close a from inside a pass: " },
	{ "run", "a", "$0 run b -- $0 deploy c -- $0 deploy c,a -- echo ran", 64,
		"cannot close a from inside a pass: " },
	/* inside a pass */
	{ "run", "a",
		"$0 status a | awk 'NR == 1 { at = index($0, \"INSIDE\") } NR == 2 { print at ? substr($0, at) + 0 : "
		"$0 }'",
		0, "1\n" },
	{ "run", "a", "$0 run a -- $0 status a --json", 0, "\"passes\":{\"count\":1" },
	{ "run", "a", "$0 run a -- $0 run a.b -- $0 check a; echo through", 0, "through\n" },
	{ "run", "a", "$0 close a", 64, "exit 64 (usage): cannot close a from inside a pass: " },
	{ "run", "a", "$0 deploy a.b -- echo ran", 64, "exit 64 (usage): cannot close a.b from inside a pass: " },
	{ "run", "a.b", "$0 deploy a -- echo ran", 64, "exit 64 (usage): cannot close a from inside a pass: " },
	{ "run", "a", "$0 check a --json", 0, "{\"state\":\"open\"" },
	{ "run", "over",
		"env -u DEPLOY_GATE_TOKEN $0 -q close over.b >/dev/null; $0 run over.b --wait 100ms -- echo ran || "
		"env -u DEPLOY_GATE_TOKEN $0 open over.b",
		0, "exit 75 (closed): over.b is closed" },
	{ "run", "over",
		"env -u DEPLOY_GATE_TOKEN $0 deploy over -- true >/dev/null 2>&1 & "
		"while env -u DEPLOY_GATE_TOKEN $0 -q check over; do :; done; "
		"$0 run over.b --wait 100ms -- echo through",
		0, "through\n" },
	{ "run", "late",
		"env -u DEPLOY_GATE_TOKEN $0 -q close late --drain 100ms --on-drain proceed >/dev/null; $0 open late; "
		"$0 check late",
		0, "late is open" },
	{ "run", "a.b", "$0 deploy b -- echo through", 0, "through\n" },
	{ "run", "a", "$0 run a,held --wait 100ms -- echo ran", 75, "exit 75 (closed): held is closed" },
};

static void test_nested__scenes(void **state)
{
	const struct world *world = *state;
	struct run run;

	assert_int_equal(run_words(world, &run, WORDS("-q", "close", "held")), 0);
	for (size_t i = 0; i < COUNT(scenes); i++) {
		const struct scene *scene = &scenes[i];
		int code = run_words(world, &run,
			WORDS(scene->outer, scene->gates, "--", "sh", "-ec", scene->script, world->client));

		if (code != scene->code || !strstr(run.output, scene->said))
			fail_msg("%s: exit %d: %s", scene->script, code, run.output);
		assert_int_equal(run_words(world, &run, WORDS("check", "a,b")), 0);
	}
	assert_int_equal(run_words(world, &run, WORDS("-q", "open", "held")), 0);
}

/* Commands with a token in their environment that means nothing any more. */
static const struct stale {
	const char *words[8];
	int code;
	const char *said;
} stale[] = {
	{ { "run", "a", "--wait", "100ms", "--", "echo", "ran" }, 75, "exit 75 (closed): " },
	{ { "check", "a" }, 1, "closed\n" },
	{ { "close", "a" }, 75, "exit 75 (held): " },
	{ { "deploy", "a", "--", "echo", "ran" }, 75, "exit 75 (held): " },
	{ { "run", "b", "--", "echo", "ran" }, 0, "ran\n" },
};

static void check_stale(const struct world *world, const char *token, const char *why)
{
	setenv("DEPLOY_GATE_TOKEN", token, 1);
	for (size_t i = 0; i < COUNT(stale); i++) {
		struct run run;

		assert_int_equal(run_words(world, &run, stale[i].words), stale[i].code);
		assert_contains(run.output, stale[i].said);
		assert_contains(run.output, why);
	}
	unsetenv("DEPLOY_GATE_TOKEN");
}

/* A daemon that some deploy started is guarded like any other. */
static void test_nested__a_lease_long_ended_opens_nothing(void **state)
{
	const struct world *world = *state;
	struct run run, outer;
	char token[64];

	assert_int_equal(
		run_words(world, &run, WORDS("deploy", "a", "--", "sh", "-c", "printf %s $DEPLOY_GATE_TOKEN")), 0);
	assert_int_equal(run.size, 32);
	memcpy(token, run.output, 33);
	run_start(world, &outer, WORDS("deploy", "a", "--", SELF, "record", "QUIT"));
	run_await(&outer, "ready\n");
	check_stale(world, token, "DEPLOY_GATE_TOKEN is ignored: its lease has ended\n");
	check_stale(world, "0123456789abcdef0123456789abcdef", "is ignored: the service knows no lease of it\n");
	check_stale(world, "nonsense", "is ignored: it is no lease token\n");
	kill(outer.pid, SIGQUIT);
	assert_int_equal(run_finish(&outer), RECORDER_EXIT);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nested__scenes),
		cmocka_unit_test(test_nested__a_lease_long_ended_opens_nothing),
	};
	int code;

	if (run_as_command(argc, argv, &code))
		return code;
	return cmocka_run_group_tests(tests, world_begin, world_end);
}
