/* Addresses of the service: what is read, what is refused, and where secrets may go in plain. */
#include "cases.h"

#include "urls.h"

static const struct good {
	const char *text, *said;
	bool local, plain;
} good[] = {
	{ "http://127.0.0.1:7433", "http://127.0.0.1:7433", true, true },
	{ "http://127.9.9.9", "http://127.9.9.9", true, true },
	{ "http://localhost:80/", "http://localhost:80", true, true },
	{ "http://[::1]:7433", "http://[::1]:7433", true, true },
	{ "http://gate.example/under/", "http://gate.example/under", false, true },
	{ "https://gate.example", "https://gate.example", false, false },
	{ "http://10.0.0.1", "http://10.0.0.1", false, true },
	{ "http://128.0.0.1", "http://128.0.0.1", false, true },
	{ "http://127.0.0.1.example", "http://127.0.0.1.example", false, true },
	{ "http://localhost.example", "http://localhost.example", false, true },
	{ "unix:/run/gate.sock", "unix:/run/gate.sock", true, true },
};

static void test_urls__know_what_is_local(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct urls urls;
		struct fault fault;
		char text[256];

		assert_int_equal(urls_parse(good[i].text, &urls, &fault), OUTCOME_OK);
		assert_int_equal(urls.count, 1);
		assert_string_equal(url_say(&urls.at[0], text), good[i].said);
		assert_int_equal(urls.at[0].local, good[i].local);
		assert_int_equal(urls.at[0].plain, good[i].plain);
		urls_release(&urls);
	}
}

static void test_urls__several_stand_in_order(void **state)
{
	struct urls urls;
	struct fault fault;
	char text[256];

	(void)state;
	assert_int_equal(urls_parse("http://a,unix:/b,https://c", &urls, &fault), OUTCOME_OK);
	assert_int_equal(urls.count, 3);
	assert_string_equal(url_say(&urls.at[0], text), "http://a");
	assert_string_equal(url_say(&urls.at[1], text), "unix:/b");
	assert_string_equal(url_say(&urls.at[2], text), "https://c");
	urls_release(&urls);
}

static const char *const bad[] = {
	"",
	",",
	"http://a,",
	"gate.example",
	"ftp://a",
	"file:///etc/passwd",
	"http://",
	"unix:relative",
	"http://me:secret@a",
	"http://a?token=x",
	"http://a b",
	"http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a",
};

static void test_urls__refusals_do_not_repeat_a_password(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct urls urls;
		struct fault fault = { .detail = "" };

		if (urls_parse(bad[i], &urls, &fault) == OUTCOME_OK)
			fail_msg("\"%s\" was read", bad[i]);
		assert_true(fault.detail[0]);
		assert_null(strstr(fault.detail, "secret"));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls__know_what_is_local),
		cmocka_unit_test(test_urls__several_stand_in_order),
		cmocka_unit_test(test_urls__refusals_do_not_repeat_a_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
