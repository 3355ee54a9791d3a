/* The log: one line an event, well-formed whatever the values are. */
#include "cases.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"

/* A log into a pipe, and what came out of it. */
struct caught {
	struct log log;
	int pipe[2];
	char text[8192];
};

static void catch_begin(struct caught *caught, bool json)
{
	assert_int_equal(pipe(caught->pipe), 0);
	caught->log = (struct log){ .level = LOG_INFO, .json = json, .fd = caught->pipe[1] };
}

static void catch_end(struct caught *caught)
{
	ssize_t got;

	close(caught->pipe[1]);
	got = read(caught->pipe[0], caught->text, sizeof(caught->text) - 1);
	close(caught->pipe[0]);
	assert_true(got >= 0);
	caught->text[got] = '\0';
}

static void test_log__logfmt_line(void **state)
{
	struct caught caught;
	const char *level;

	(void)state;
	catch_begin(&caught, false);
	log_write(&caught.log, LOG_INFO, "request", "path", "/v1/gates", "ms", LOG_NUMBER(12), "none", NULL, "reason",
		"a \"b\"\nc\\", "empty", "", NULL);
	catch_end(&caught);
	assert_memory_equal(caught.text, "time=2", 6);
	level = strstr(caught.text, " level=");
	assert_non_null(level);
	assert_string_equal(
		level, " level=info event=request path=/v1/gates ms=12 reason=\"a \\\"b\\\"\\nc\\\\\" empty=\"\"\n");
}

static void test_log__what_is_below_the_level_is_not_written(void **state)
{
	struct caught caught;

	(void)state;
	catch_begin(&caught, false);
	log_write(&caught.log, LOG_DEBUG, "hidden", NULL);
	catch_end(&caught);
	assert_string_equal(caught.text, "");
}

static void test_log__json_line_is_json_whatever_the_values(void **state)
{
	struct caught caught;
	struct fault fault;
	cJSON *line;

	(void)state;
	catch_begin(&caught, true);
	log_write(&caught.log, LOG_WARN, "odd", "a", "x\xFFy\x01\"\\\n", "b", "Grüße", NULL);
	catch_end(&caught);
	assert_int_equal(json_parse(caught.text, strlen(caught.text), &line, &fault), OUTCOME_OK);
	assert_string_equal(json_text(line, "level"), "warn");
	assert_string_equal(json_text(line, "event"), "odd");
	assert_string_equal(json_text(line, "a"), "x\xEF\xBF\xBDy\x01\"\\\n");
	assert_string_equal(json_text(line, "b"), "Grüße");
	cJSON_Delete(line);
}

static void test_log__long_values_are_cut_and_the_line_stays_whole(void **state)
{
	char large[3000];
	struct caught caught;
	struct fault fault;
	cJSON *line;

	(void)state;
	memset(large, '\x02', sizeof(large));	/* grows sixfold when escaped */
	large[sizeof(large) - 1] = '\0';
	catch_begin(&caught, true);
	log_write(&caught.log, LOG_ERROR, "large", "a", large, "b", "here", NULL);
	catch_end(&caught);
	assert_int_equal(json_parse(caught.text, strlen(caught.text), &line, &fault), OUTCOME_OK);
	assert_string_equal(json_text(line, "b"), "here");
	cJSON_Delete(line);
}

static void test_log__levels_by_word(void **state)
{
	enum log_level level = LOG_INFO;

	(void)state;
	assert_true(log_level_parse("error", &level));
	assert_int_equal(level, LOG_ERROR);
	assert_false(log_level_parse("loud", &level));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log__logfmt_line),
		cmocka_unit_test(test_log__what_is_below_the_level_is_not_written),
		cmocka_unit_test(test_log__json_line_is_json_whatever_the_values),
		cmocka_unit_test(test_log__long_values_are_cut_and_the_line_stays_whole),
		cmocka_unit_test(test_log__levels_by_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
