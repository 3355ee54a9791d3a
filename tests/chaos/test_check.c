/* The checker is shown small histories: such as never should be, of which it is to find fault with each, and such as look bad and
 * are not. */
#include "unit/cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "chaos/check.h"

enum { PROBES = 100, PROBE_MS = 500 };

#define NONE RULES

/* Instants are in ms here. PROBED: one replica is well for the first 50 s. */
struct scene {
	const char *says, *lines;
	enum rule broken;
	bool probed;
};

#define PROBED true
#define UNPROBED false

/* A window, or a pass, that was asked for at one instant and had at the next; its end; and a look at it. */
#define HAD(number, lease, gates, from, to) \
	from " call " number " close " gates " " lease " ttl=5000 at=1\n" to " done " number " live " lease \
	     " fence=" number "\n"
#define OPENED(number, lease, from, to) \
	from " call " number " open d " lease " at=1\n" to " done " number " ended " lease " end=opened\n"
#define PASSED(number, lease, gates, from, to) \
	from " call " number " pass " gates " " lease " ttl=5000 at=1\n" to " done " number " live " lease " made=1\n"
#define LEFT(number, lease, from, to) \
	from " call " number " release - " lease " at=1\n" to " done " number " ended " lease " end=released\n"
/* Another replica, which is well no longer. */
#define ELSEWHERE_UNTIL_110 \
	"30 call 90 probe probe-2 - at=2\n40 done 90 live -\n100 call 91 probe probe-2 - at=2\n110 done 91 live -\n"
#define LOOKED(number, lease, at, to, answer) \
	at " call " number " look - " lease " at=1\n" to " done " number " " answer "\n"

/* clang-format off */
static const struct scene scenes[] = {
	{ "two windows at once", HAD("1", "a", "d", "0", "10") HAD("2", "b", "d", "20", "30"), RULE_EXCLUSION,
		UNPROBED },
	{ "a window above another", HAD("1", "a", "d.e", "0", "10") HAD("2", "b", "d", "20", "30"), RULE_EXCLUSION,
		UNPROBED },
	{ "windows of neighbours", HAD("1", "a", "d.e", "0", "10") HAD("2", "b", "d.f", "20", "30"), NONE, UNPROBED },
	{ "one window behind another",
		HAD("1", "a", "d", "0", "10") OPENED("3", "a", "15", "30") HAD("2", "b", "d", "16", "17"), NONE,
		UNPROBED },
	{ "a window behind one that may have been opened, for all that is known",
		HAD("1", "a", "d", "0", "10") "15 call 3 open d a\n" HAD("2", "b", "d", "20", "30"), NONE, UNPROBED },
	{ "a window behind one that was forced open late",
		HAD("1", "a", "d", "0", "10") "15 call 3 force d a\n20 done 3 unknown a\n" LOOKED(
			"4", "a", "25", "30", "live a") HAD("2", "b", "d", "40", "50"),
		NONE, UNPROBED },
	{ "a window behind one that may have run out", HAD("1", "a", "d", "0", "10") HAD("2", "b", "d", "5001", "5100"),
		NONE, UNPROBED },
	{ "a window before one may have run out that was renewed",
		HAD("1", "a", "d", "0", "10") "4000 call 3 renew - a ttl=5000\n4010 done 3 live a\n" HAD(
			"2", "b", "d", "8000", "8100"),
		RULE_EXCLUSION, UNPROBED },
	{ "a window behind one that a renewal may not have reached",
		HAD("1", "a", "d", "0", "10") "4000 call 3 renew - a ttl=5000\n4010 done 3 unknown a\n" HAD(
			"2", "b", "d", "8000", "8100"),
		NONE, UNPROBED },
	{ "one that came back behind its successor",
		HAD("1", "a", "d", "0", "10") HAD("2", "b", "d", "5001", "5100")
			LOOKED("3", "a", "5200", "5210", "live a"),
		RULE_EXCLUSION, UNPROBED },
	{ "a job inside a window", PASSED("1", "p", "d.e", "0", "10") HAD("2", "w", "d", "20", "30"), RULE_EXCLUSION,
		UNPROBED },
	{ "a job that a window closed over",
		PASSED("1", "p", "d.e", "0",
			"10") "20 call 2 close d w ttl=5000 drain=proceed\n30 done 2 live w\n" LOOKED("3", "p", "40",
			"50", "live p overrun=1"),
		NONE, UNPROBED },
	{ "a job of the deploy's own",
		HAD("2", "w", "d", "0", "10") "20 call 1 pass d p ttl=5000 inside=w\n30 done 1 live p made=1\n", NONE,
		UNPROBED },
	{ "a job in plain SQL inside a window",
		"0 call 1 enter d s\n10 done 1 live s\n" HAD(
			"2", "w", "d", "20", "30") "40 call 3 renew d s\n50 done 3 live s\n",
		RULE_EXCLUSION, UNPROBED },
	{ "a job in plain SQL whose session may have ended",
		"0 call 1 enter d s\n10 done 1 live s\n" HAD(
			"2", "w", "d", "20", "30") "40 call 3 renew d s\n50 done 3 unknown s\n",
		NONE, UNPROBED },
	{ "a plain lock that was free beside a window",
		HAD("1", "w", "d", "0",
			"10") "20 call 2 lock d s\n30 done 2 live s\n40 call 3 release d s\n50 done 3 ended s\n",
		RULE_EXCLUSION, UNPROBED },
	{ "a plain lock that somebody got when all locks were lost",
		HAD("1", "w", "d", "0",
			"10") "20 call 2 lock d s\n30 done 2 live s\n40 call 3 release d s\n50 done 3 ended s\n"
			      "60 fault restart begun=11000000 effective=12000000 healed=13000000 well=14000000\n",
		NONE, UNPROBED },
	{ "a command that runs on although another has the gate",
		"0 call 1 close d w ttl=1000 sure=1\n10 done 1 live w\n" HAD(
			"2", "b", "d", "2000", "2010") "3000 call 3 open d w\n",
		RULE_EXCLUSION, UNPROBED },

	{ "an answer that is not true any more",
		HAD("1", "w", "d", "0",
			"10") "20 call 2 check d -\n30 done 2 open -\n40 call 3 renew - w ttl=5000\n50 done 3 live w\n",
		RULE_ANSWERS, UNPROBED },
	{ "an answer that may have been true when it was asked for",
		HAD("1", "w", "d", "0", "10") "5 call 2 check d -\n30 done 2 open -\n", NONE, UNPROBED },
	{ "an answer that may be true already",
		HAD("1", "w", "d", "0", "10") "20 call 2 check d -\n" OPENED("3", "w", "25", "40") "30 done 2 open -\n",
		NONE, UNPROBED },
	{ "open to whom the window lets in",
		HAD("1", "w", "d", "0", "10") "20 call 2 check d - inside=w\n30 done 2 open -\n", NONE, UNPROBED },
	{ "shut to whom the window lets in",
		HAD("1", "w", "d", "0", "10") "20 call 2 check d - inside=w\n30 done 2 shut - by=w\n", RULE_ANSWERS,
		UNPROBED },
	{ "shut because of a window that was opened",
		HAD("1", "w", "d", "0", "10")
			OPENED("2", "w", "20", "30") "40 call 3 check d -\n50 done 3 shut - by=w\n",
		RULE_ANSWERS, UNPROBED },
	{ "shut because of a window that failed",
		HAD("1", "w", "d", "0", "10") "20 call 2 open d w holds=1\n30 done 2 ended w end=failed\n"
					      "40 call 3 check d -\n50 done 3 shut - by=w\n",
		NONE, UNPROBED },

	{ "a lease that is not known any more", HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "20", "30", "missing w"),
		RULE_LOST, UNPROBED },
	{ "a place in the queue that is not known any more",
		"0 call 1 close d w ttl=5000\n10 done 1 unknown w\n" LOOKED("2", "w", "20", "30", "live w")
			LOOKED("3", "w", "40", "50", "missing w"),
		NONE, UNPROBED },
	{ "a lease that nobody opened",
		HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "20", "30", "ended w end=opened"), RULE_LOST, UNPROBED },
	{ "a lease that was given up although its request had been answered",
		HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "20000", "20010", "ended w end=abandoned"), RULE_LOST,
		UNPROBED },
	{ "a place that was given up because nobody came for it",
		"0 call 1 close d w ttl=5000\n10 done 1 unknown w\n" LOOKED(
			"2", "w", "20000", "20010", "ended w end=abandoned"),
		NONE, UNPROBED },
	{ "a place that was given up although somebody came back for it",
		"0 call 1 close d w ttl=5000 at=1\n10 done 1 unknown w\n"
		"9000 call 2 close d w ttl=5000 at=1\n9100 done 2 unknown w\n"
		LOOKED("3", "w", "16000", "16010", "ended w end=abandoned"), RULE_LOST, PROBED },
	{ "a place that was given up because who came back asked a replica that stood still",
		"0 call 1 close d w ttl=5000 at=1\n10 done 1 unknown w\n"
		"9000 call 2 close d w ttl=5000 at=2\n9100 done 2 unknown w\n"
		LOOKED("3", "w", "16000", "16010", "ended w end=abandoned"), NONE, PROBED },
	{ "a lease that came back",
		HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "6000", "6010",
			"ended w end=expired") "7000 call 3 renew - w ttl=5000\n7010 done 3 live w\n",
		RULE_LOST, UNPROBED },
	{ "a lease with two fences",
		HAD("1", "w", "d", "0", "10") "20 call 2 close d w ttl=5000\n30 done 2 live w fence=7\n", RULE_LOST,
		UNPROBED },

	{ "a gate that stays shut", HAD("1", "w", "d", "0", "10") "14000 call 2 check d -\n14010 done 2 shut - by=w\n",
		RULE_STUCK, PROBED },
	{ "a gate that stays shut while nobody is well",
		HAD("1", "w", "d", "0", "10") "14000 call 2 check d -\n14010 done 2 shut - by=w\n", NONE, UNPROBED },
	{ "a gate that is shut for its grace",
		"0 call 1 close d w ttl=5000 grace=5000 at=1\n10 done 1 live w\n14000 call 2 check d -\n14010 done 2 "
		"shut - by=w\n",
		NONE, PROBED },
	{ "a gate that stays shut by nobody",
		HAD("1", "w", "d", "0", "10")
			OPENED("2", "w", "20", "30") "14000 call 3 check d -\n14010 done 3 shut -\n",
		RULE_STUCK, PROBED },
	{ "a pass that stays", PASSED("1", "p", "d", "0", "10") LOOKED("2", "p", "14000", "14010", "live p"),
		RULE_STUCK, PROBED },

	{ "a waiter that is not woken",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=9000 at=1\n" OPENED(
			"3", "w", "1000", "1010") "4000 done 2 open -\n",
		RULE_ASLEEP, PROBED },
	{ "a waiter that could not be told",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=9000 at=1\n" OPENED(
			"3", "w", "1000", "1010") "4000 done 2 open -\n"
						  "4100 fault clients-silent begun=900000000 effective=950000000 "
						  "healed=3950000000 well=4050000000\n",
		NONE, PROBED },
	{ "a waiter that is woken",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=9000 at=1\n" OPENED(
			"3", "w", "1000", "1010") "1500 done 2 open -\n",
		NONE, PROBED },
	{ "a waiter beside a lock that a replica which stands still may have",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=9000 at=1\n" ELSEWHERE_UNTIL_110
		OPENED("3", "w", "1000", "1010") "4000 done 2 open -\n", NONE, PROBED },
	{ "a waiter that is not woken either once that lock is gone",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=15000 at=1\n" ELSEWHERE_UNTIL_110
		OPENED("3", "w", "1000", "1010") "12000 done 2 open -\n", RULE_ASLEEP, PROBED },
	{ "a waiter whose replica stands still",
		HAD("1", "w", "d", "0", "10") "20 call 2 wait d - wait=9000 at=2\n" OPENED(
			"3", "w", "1000", "1010") "4000 done 2 open -\n",
		NONE, PROBED },
	{ "a waiter that another window keeps out",
		HAD("1", "w", "d", "0",
			"10") "20 call 2 wait d - wait=9000 at=1\n900 call 4 close d v ttl=5000 at=1\n" OPENED("3", "w",
			"1000", "1010") "1015 done 4 live v\n3900 call 5 open d v\n4000 done 2 open -\n",
		NONE, PROBED },
	{ "a job in plain SQL that is not woken",
		HAD("1", "w", "d", "0", "10") "20 call 2 enter d s wait=9000\n" OPENED(
			"3", "w", "1000", "1010") "4000 done 2 live s\n",
		RULE_ASLEEP, PROBED },

	{ "a lease that ran out too early",
		HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "4000", "4010", "ended w end=expired"), RULE_TTL,
		UNPROBED },
	{ "a lease that ran out before its last renewal had",
		HAD("1", "w", "d", "0", "10") "4000 call 2 renew - w ttl=5000\n4010 done 2 live w\n" LOOKED(
			"3", "w", "20000", "20010", "ended w end=expired ago=13000"),
		RULE_TTL, UNPROBED },
	{ "a lease that ran out in time",
		HAD("1", "w", "d", "0", "10") LOOKED("2", "w", "5000", "5010", "ended w end=expired"), NONE, UNPROBED },

	{ "an internal error", "0 call 1 check d -\n10 done 1 odd - code=500\n", RULE_CONTRACT, UNPROBED },

	{ "a fence twice", HAD("1", "a", "d", "0", "10") "0 call 3 close e b ttl=5000\n10 done 3 live b fence=1\n",
		RULE_FENCES, UNPROBED },
	{ "a fence that is smaller than one before", HAD("2", "a", "d", "0", "10") HAD("1", "b", "e", "20", "30"),
		RULE_FENCES, UNPROBED },
	{ "fences of windows that were asked for at once", HAD("2", "a", "d", "0", "10") HAD("1", "b", "e", "5", "30"),
		NONE, UNPROBED },
	{ "a day like any other",
		HAD("1", "w", "d", "0", "10") "20 call 2 check d.e -\n30 done 2 shut - by=w\n"
					      "40 call 3 pass d p ttl=5000 wait=9000 at=1\n" OPENED("4", "w", "50",
						      "60") "70 done 3 live p made=1\n" LEFT("5", "p", "80", "90")
						      HAD("6", "v", "d", "100", "110") OPENED("7", "v", "120", "130"),
		NONE, PROBED },
};
/* clang-format on */

/* The lines with their instants in ns; the caller's (free). */
static char *history_of(const struct scene *scene)
{
	char *text = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));

	for (const char *at = scene->lines; *at; at += strcspn(at, "\n") + 1) {
		size_t instant = strcspn(at, " ");

		fprintf(out, "%.*s000000%.*s\n", (int)instant, at, (int)(strcspn(at, "\n") - instant), at + instant);
	}
	for (int i = 0; scene->probed && i < PROBES; i++)
		fprintf(out, "%d000000 call %d probe probe-1 - at=1\n%d000000 done %d live -\n", i * PROBE_MS, 1000 + i,
			i * PROBE_MS + 10, 1000 + i);
	fclose(out);
	return text;
}

static void test_check__finds_what_is_broken_and_nothing_else(void **state)
{
	static struct findings found;

	(void)state;
	for (const struct scene *scene = scenes; scene < scenes + COUNT(scenes); scene++) {
		char *text = history_of(scene);
		struct history history;

		history_parse(&history, text);
		check(&history, 0, &found);
		if (scene->broken != NONE && !found.broken[scene->broken])
			fail_msg("%s: it is not found that %s", scene->says, rule_says(scene->broken));
		if (scene->broken == NONE && findings_any(&found))
			fail_msg("%s: %s", scene->says, found.faults);
		history_release(&history);
		free(text);
	}
}

/* What took too long is forgiven where there is slack enough, and nothing else is. */
static void test_check__forgives_slowness_within_the_slack(void **state)
{
	static struct findings found;

	(void)state;
	for (const struct scene *scene = scenes; scene < scenes + COUNT(scenes); scene++) {
		char *text = history_of(scene);
		struct history history;
		bool slow = scene->broken == RULE_STUCK || scene->broken == RULE_ASLEEP;

		history_parse(&history, text);
		check(&history, 3600000, &found);
		if (scene->broken != NONE && slow == (found.broken[scene->broken] > 0))
			fail_msg("%s: %s", scene->says, rule_says(scene->broken));
		history_release(&history);
		free(text);
	}
}

/* What a client writes is what the checker reads. */
static void test_history__is_read_as_it_was_written(void **state)
{
	static const struct op written = { .number = 7,
		.verb = VERB_CLOSE,
		.gates = "depot,mill",
		.lease = "1f",
		.ttl_ms = 5000,
		.grace_ms = 1,
		.wait_ms = 2,
		.at = 3,
		.holds = 1,
		.sure = 1,
		.drain = "proceed",
		.inside = "2a",
		.by = "3b",
		.end = "expired",
		.fence = 9,
		.left_ms = 10,
		.ago_ms = 11,
		.code = 12,
		.overrun = 1,
		.made = 1,
		.answer = ANSWER_LIVE };
	char path[] = "/tmp/deploy-gate-history.XXXXXX";
	int fd = mkstemp(path);
	struct history history;
	struct op op = written;

	(void)state;
	history_call(fd, &op);
	history_done(fd, &op);
	history_strike(fd, &(struct strike_line){ .name = "outage", .begun_ns = 1, .healed_ns = 3, .well_ns = 4 });
	close(fd);
	history_read(&history, path);
	unlink(path);
	assert_int_equal(history.count, 1);
	assert_int_equal(history.strike_count, 1);
	assert_true(history.ops[0].called_ns == op.called_ns && history.ops[0].done_ns == op.done_ns);
	history.ops[0].called_ns = history.ops[0].done_ns = 0;
	assert_memory_equal(&history.ops[0], &written, sizeof(written));
	assert_string_equal(history.strikes[0].name, "outage");
	assert_int_equal(history.strikes[0].effective_ns, 0);
	assert_int_equal(history.strikes[0].well_ns, 4);
	history_release(&history);
}

/* Of two answers the first counts, and one to what was never asked does not. */
static void test_history__takes_the_first_of_two_answers(void **state)
{
	struct history history;

	(void)state;
	history_parse(&history, "1 call 1 close d -\n2 done 1 live a\n3 done 1 refused -\n4 done 2 ended -\n");
	assert_int_equal(history.count, 1);
	assert_int_equal(history.ops[0].answer, ANSWER_LIVE);
	assert_string_equal(history.ops[0].lease, "a");
	assert_int_equal(history.end_ns, 4);
	history_release(&history);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check__finds_what_is_broken_and_nothing_else),
		cmocka_unit_test(test_check__forgives_slowness_within_the_slack),
		cmocka_unit_test(test_history__is_read_as_it_was_written),
		cmocka_unit_test(test_history__takes_the_first_of_two_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
