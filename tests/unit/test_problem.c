/* Refusals: the sentences people get, and the members programs get. */
#include "cases.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "base/advice.h"
#include "base/json.h"
#include "http/problem.h"

#define WINDOW \
	"{\"state\":\"closed\",\"kind\":\"window\",\"gates\":[\"production\"],\"holder\":\"ann@build\"," \
	"\"reason\":\"release 5\",\"closed_ago_ms\":250000,\"expires_in_ms\":1550000}"
#define DRAINING "{\"state\":\"draining\",\"holder\":\"ann@build\",\"reason\":null}"
#define GRACE \
	"{\"state\":\"ended\",\"holder\":\"ann@build\",\"ended_at\":\"x\",\"ended_ago_ms\":1000,\"end\":\"expired\"," \
	"\"opens_in_ms\":4000}"
#define FAILED \
	"{\"state\":\"ended\",\"gates\":[\"production\"],\"holder\":\"ann@build\",\"reason\":\"r\",\"ended_at\":" \
	"\"x\",\"ended_ago_ms\":180000," \
	"\"end\":\"failed\",\"ended_by\":\"ann@build\"}"
#define GATE(state, by, window) \
	"{\"gate\":{\"name\":\"production\",\"state\":\"" state "\",\"closed_by\":\"" by "\",\"window\":" window "}}"

#define HELD_BY_SQL \
	"{\"gate\":{\"name\":\"p\",\"state\":\"closed\",\"closed_by\":\"p\",\"window\":null,\"external\":[{\"pid\":" \
	"41}]}}"
#define HELD_BY_SQL_SENTENCE "p is closed by a plain SQL session, pid 41; it opens when that unlocks or ends. "

static const struct sentence {
	enum outcome outcome;
	const char *facts, *detail, *advice, *sentence;
} sentences[] = {
	{ OUTCOME_CLOSED, GATE("closed", "production", WINDOW), NULL, "Wait.",
		"production is closed by ann@build (release 5) for 4m 10s; the window ends in 25m 50s unless renewed. "
		"Wait." },
	{ OUTCOME_CLOSED, GATE("closed", "all", WINDOW), NULL, NULL,
		"production is shut because all is closed by ann@build (release 5) for 4m 10s; the window ends in 25m "
		"50s unless renewed" },
	{ OUTCOME_CLOSED, GATE("draining", "production", DRAINING), NULL, NULL,
		"production is draining: ann@build is closing it and waits for those inside to leave" },
	{ OUTCOME_CLOSED, GATE("closed", "production", GRACE), NULL, NULL,
		"production is closed; the window of ann@build is over, and it opens in 4s" },
	{ OUTCOME_CLOSED, GATE("crashed", "production", FAILED), NULL, NULL,
		"production is crashed: after the window of ann@build (r) its deploy ended as failed, 3m ago; it stays "
		"shut until the next close of production or a force-open" },
	{ OUTCOME_HELD,
		"{\"gate\":{\"name\":\"a\",\"state\":\"crashed\",\"closed_by\":\"a\",\"window\":{\"gates\":[\"a\","
		"\"b\",\"c.d\"],"
		"\"holder\":\"ann\",\"ended_at\":\"x\",\"end\":\"failed\"}}}",
		NULL, NULL,
		"a is crashed: after the window of ann its deploy ended as failed; it stays shut until the next close "
		"of a, b and c.d together, or a force-open" },
	{ OUTCOME_CLOSED,
		"{\"gate\":{\"name\":\"p\",\"state\":\"closed\",\"closed_by\":\"p\",\"window\":null,\"external\":[{"
		"\"pid\":41,"
		"\"user\":\"joe\",\"application_name\":\"psql\"},{\"pid\":42}]}}",
		NULL, NULL,
		"p is closed by a plain SQL session, pid 41 of joe in psql and 1 more; it opens when that unlocks or "
		"ends" },
	{ OUTCOME_HELD,
		"{\"gate\":{\"name\":\"p\",\"state\":\"open\",\"waiting\":{\"deploys\":[{\"holder\":\"bob\",\"reason\":"
		"\"hotfix\","
		"\"waiting_ms\":3000}]}}}",
		NULL, NULL, "p is open, but ahead in the queue is bob (hotfix), waiting for 3s" },
	{ OUTCOME_HELD,
		"{\"gate\":{\"name\":\"p\",\"state\":\"open\",\"external\":[{\"pid\":41,\"user\":\"joe\","
		"\"application_name\":\"deploy-gate: p.x: why\"}],\"waiting\":{\"deploys\":[{\"holder\":\"me\"}]}}}",
		NULL, NULL,
		"p is open, but a gate below it is closed by a plain SQL session, pid 41 of joe in deploy-gate: p.x: "
		"why, until that opens it or ends" },
	{ OUTCOME_NOT_HOLDER, GATE("closed", "production", WINDOW), NULL, "Wait.",
		"the token is not that of a live window over it: production is closed by ann@build (release 5) for 4m "
		"10s; the window "
		"ends in 25m 50s unless renewed" },
	{ OUTCOME_NOT_HOLDER, "{\"gate\":{\"name\":\"p\",\"state\":\"open\"}}", NULL, NULL,
		"there is no window to end: p is open" },
	{ OUTCOME_GONE,
		"{\"lease\":{\"kind\":\"window\",\"gates\":[\"a\",\"b\"],\"holder\":\"ann\",\"end\":\"forced\",\"ended_"
		"by\":\"bob\","
		"\"ended_ago_ms\":60000,\"end_reason\":\"her laptop died\"}}",
		NULL, NULL, "the window over a, b has ended: it was forced open by bob, 1m ago (her laptop died)" },
	{ OUTCOME_GONE, "{\"lease\":{\"kind\":\"window\",\"gates\":[\"a\"],\"end\":\"expired\",\"ended_ago_ms\":1000}}",
		NULL, NULL, "the window over a has ended: it expired: nobody renewed it in time, 1s ago" },
	{ OUTCOME_GONE,
		"{\"lease\":{\"kind\":\"window\",\"gates\":[\"a\"],\"end\":\"expired\",\"max_ms\":14400000,"
		"\"max_reached\":true,\"ended_ago_ms\":1000,\"end_reason\":\"it reached its max\"}}",
		NULL, NULL,
		"the window over a has ended: it expired: it was not to last longer than 4h, 1s ago (it reached its "
		"max)" },
	{ OUTCOME_HELD, HELD_BY_SQL, NULL, ADVICE_IN_LINE, HELD_BY_SQL_SENTENCE ADVICE_IN_LINE_BEHIND_SQL },
	{ OUTCOME_HELD, HELD_BY_SQL, NULL, ADVICE_THE_SHUT_ONE, HELD_BY_SQL_SENTENCE ADVICE_END_SESSION },
	{ OUTCOME_CLOSED, HELD_BY_SQL, NULL, ADVICE_TO_WAIT, HELD_BY_SQL_SENTENCE ADVICE_TO_WAIT },
	{ OUTCOME_TOKEN_USED, "{\"lease\":{\"kind\":\"pass\",\"gates\":[\"a\"],\"state\":\"ended\"}}", NULL, NULL,
		"this token belongs to the pass over a, which is ended; use a new one" },
	{ OUTCOME_UNAVAILABLE, NULL, "PostgreSQL cannot be reached", "Wait.", "PostgreSQL cannot be reached" },
	{ OUTCOME_HELD, GATE("draining", "production", DRAINING), "its queue is full", NULL,
		"production is draining: ann@build is closing it and waits for those inside to leave; its queue is "
		"full" },
	{ OUTCOME_DRAINING, GATE("draining", "production", "{\"holder\":\"ann\",\"drain_in_ms\":60000}"), "ask again",
		"Wait.",
		"production is draining: ann is closing it and waits for those inside to leave, for 1m more at most; "
		"ask again" },
	{ OUTCOME_DRAIN_TIMEOUT, "{\"gate\":{\"name\":\"a\",\"state\":\"open\",\"passes\":{\"count\":3}}}", NULL,
		"Wait.", "a is open again, because jobs did not leave in time; inside now: 3" },
	{ OUTCOME_FULL, "{\"gate\":{\"name\":\"a.b\",\"state\":\"full\",\"closed_by\":\"a\"}}", NULL, "Wait.",
		"a.b is full: as many jobs are inside a as may be. Wait." },
	{ OUTCOME_INTERNAL, NULL, NULL, NULL, "A mistake of the service" },
	{ OUTCOME_CLOSED, "{}", NULL, NULL, "The gate is shut" },
	{ OUTCOME_CLOSED, "{\"gate\":{}}", NULL, NULL, "the gate is shut" },
	{ OUTCOME_GONE, "{\"lease\":{}}", NULL, NULL, "the lease has ended: it ended" },
};

static void test_problem__says_who_why_since_and_until(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(sentences); i++) {
		const struct sentence *row = &sentences[i];
		struct problem problem = { row->outcome, row->facts, row->detail, row->advice };
		cJSON *facts = row->facts ? cJSON_Parse(row->facts) : NULL;
		char *text = problem_detail(&problem, facts);

		assert_string_equal(text, row->sentence);
		free(text);
		cJSON_Delete(facts);
	}
}

static void test_problem__has_the_members_of_the_contract(void **state)
{
	struct problem problem = { OUTCOME_CLOSED, GATE("closed", "production", WINDOW), NULL, NULL };
	char *text = problem_print(&problem);
	struct fault fault;
	cJSON *object;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &object, &fault), OUTCOME_OK);
	assert_string_equal(json_text(object, "type"), "/problems/closed");
	assert_string_equal(json_text(object, "code"), "closed");
	assert_string_equal(json_text(object, "title"), "The gate is shut");
	assert_int_equal(json_number(object, "status", 0), 423);
	assert_string_equal(json_text(object, "state"), "closed");
	assert_string_equal(json_text(object, "gate.window.holder"), "ann@build");
	assert_contains(json_text(object, "detail"), "production is closed by ann@build");
	cJSON_Delete(object);
	free(text);
}

static void test_problem__without_a_gate_has_no_state(void **state)
{
	struct problem problem = { OUTCOME_BAD_REQUEST, NULL, "ttl: is missing", NULL };
	char *text = problem_print(&problem);

	(void)state;
	assert_string_equal(text,
		"{\"type\":\"/problems/bad_request\",\"code\":\"bad_request\","
		"\"title\":\"The request is malformed\",\"status\":400,\"detail\":\"ttl: is missing\"}");
	free(text);
}

static void test_problem__hostile_texts_stay_within_their_member(void **state)
{
	struct problem problem = { OUTCOME_CLOSED,
		"{\"gate\":{\"name\":\"p\",\"state\":\"closed\",\"closed_by\":\"p\",\"window\":{\"holder\":\"%s%n\\\"},"
		"{\",\"reason\":"
		"\"\\u001b[2J\"}}}",
		NULL, NULL };
	char *text = problem_print(&problem);
	struct fault fault;
	cJSON *object;

	(void)state;
	assert_int_equal(json_parse(text, strlen(text), &object, &fault), OUTCOME_OK);
	assert_contains(json_text(object, "detail"), "by %s%n\"},{");
	cJSON_Delete(object);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_problem__says_who_why_since_and_until),
		cmocka_unit_test(test_problem__has_the_members_of_the_contract),
		cmocka_unit_test(test_problem__without_a_gate_has_no_state),
		cmocka_unit_test(test_problem__hostile_texts_stay_within_their_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
