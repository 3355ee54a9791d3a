/* Routes: each is found, and what is none is told apart. And who may call by which name. */
#include "cases.h"

#include "http/headers.h"
#include "http/listener.h"
#include "http/params.h"
#include "http/reply.h"
#include "http/routes.h"

static void test_routes__each_request_finds_its_row(void **state)
{
	static const struct {
		const char *method, *path, *pattern, *capture;
	} cases[] = {
		{ "GET", "/v1/gates", "/v1/gates", "" },
		{ "HEAD", "/v1/gates", "/v1/gates", "" },
		{ "GET", "/v1/gates/a.b", "/v1/gates/{gate}", "a.b" },
		{ "GET", "/v1/gates/check", "/v1/gates/{gate}", "check" },
		{ "GET", "/v1/gates/a,b/check", "/v1/gates/{gates}/check", "a,b" },
		{ "HEAD", "/v1/gates/a/wait", "/v1/gates/{gates}/wait", "a" },
		{ "POST", "/v1/gates/a/pass", "/v1/gates/{gates}/pass", "a" },
		{ "POST", "/v1/gates/a/close", "/v1/gates/{gates}/close", "a" },
		{ "POST", "/v1/gates/a/open", "/v1/gates/{gates}/open", "a" },
		{ "POST", "/v1/gates/a/force-open", "/v1/gates/{gate}/force-open", "a" },
		{ "GET", "/v1/gates/a/settings", "/v1/gates/{gate}/settings", "a" },
		{ "PUT", "/v1/gates/a/settings", "/v1/gates/{gate}/settings", "a" },
		{ "DELETE", "/v1/gates/a/settings", "/v1/gates/{gate}/settings", "a" },
		{ "GET", "/v1/leases/0a", "/v1/leases/{id}", "0a" },
		{ "PATCH", "/v1/leases/0a", "/v1/leases/{id}", "0a" },
		{ "POST", "/v1/leases/0a/renew", "/v1/leases/{id}/renew", "0a" },
		{ "POST", "/v1/leases/0a/release", "/v1/leases/{id}/release", "0a" },
		{ "GET", "/v1/leases/0a/attach", "/v1/leases/{id}/attach", "0a" },
		{ "GET", "/v1/events", "/v1/events", "" },
		{ "POST", "/v1/reap", "/v1/reap", "" },
		{ "GET", "/v1/replicas", "/v1/replicas", "" },
		{ "GET", "/healthz", "/healthz", "" },
		{ "GET", "/readyz", "/readyz", "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct capture capture = { "", 0 };
		const struct route *route;
		char allow[ALLOW_MAX];
		struct fault fault;

		assert_int_equal(
			routes_find(cases[i].method, cases[i].path, &route, &capture, allow, &fault), OUTCOME_OK);
		assert_string_equal(route->pattern, cases[i].pattern);
		assert_int_equal(capture.size, strlen(cases[i].capture));
		assert_memory_equal(capture.at, cases[i].capture, capture.size);
	}
}

static void test_routes__what_is_no_route_is_not_found(void **state)
{
	static const char *const paths[] = { "", "/", "*", "/v1", "/v1/gates/", "/v1/gates//check", "/v1/gates/a/",
		"/v1/gates/a/b", "/v1/gates/a/check/", "/v1/gates/a/checks", "/V1/gates", "/v2/gates", "/healthz/x",
		"/v1/leases", "//v1/gates" };

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct capture capture;
		const struct route *route;
		char allow[ALLOW_MAX];
		struct fault fault;

		assert_int_equal(routes_find("GET", paths[i], &route, &capture, allow, &fault), OUTCOME_NOT_FOUND);
		assert_string_equal(allow, "");
	}
}

static void test_routes__wrong_method_lists_the_right_ones(void **state)
{
	static const struct {
		const char *method, *path, *allow;
	} cases[] = {
		{ "POST", "/v1/gates", "GET, HEAD" },
		{ "GET", "/v1/gates/a/close", "POST" },
		{ "HEAD", "/v1/gates/a/close", "POST" },
		{ "DELETE", "/v1/leases/0a", "GET, HEAD, PATCH" },
		{ "POST", "/v1/gates/a/settings", "GET, HEAD, PUT, DELETE" },
		{ "get", "/healthz", "GET, HEAD" },
		{ "OPTIONS", "/v1/gates/a/check", "GET, HEAD" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct capture capture;
		const struct route *route;
		char allow[ALLOW_MAX];
		struct fault fault;

		assert_int_equal(routes_find(cases[i].method, cases[i].path, &route, &capture, allow, &fault),
			OUTCOME_METHOD_NOT_ALLOWED);
		assert_string_equal(allow, cases[i].allow);
	}
}

static void test_routes__the_table_is_complete(void **state)
{
	(void)state;
	for (const struct route *route = routes; route->method; route++) {
		size_t rows = 0;

		assert_non_null(route->params);
		assert_non_null(route->handle);
		while (route->params[rows].name)
			assert_non_null(route->params[rows++].key);
		if (strstr(route->pattern, "{id}"))
			assert_non_null(route->missing);
		/* To attach changes the lease, though it is a GET for the sake of event streams. */
		assert_int_equal(route->change, strcmp(route->method, "GET") != 0 || strstr(route->pattern, "/attach"));
	}
}

static void test_routes__only_our_names_may_be_called(void **state)
{
	static const struct {
		const char *host, *origin;
		enum outcome outcome;
	} cases[] = {
		{ "127.0.0.2:80", NULL, OUTCOME_OK },
		{ "127.0.0.2", NULL, OUTCOME_OK },
		{ "localhost:7433", "http://localhost", OUTCOME_OK },
		{ "LocalHost", NULL, OUTCOME_OK },
		{ "127.0.0.1:1", NULL, OUTCOME_OK },
		{ "[::1]:7433", NULL, OUTCOME_OK },
		{ "gate.example:443", "https://GATE.example", OUTCOME_OK },
		{ "gate", NULL, OUTCOME_OK },
		{ NULL, NULL, OUTCOME_OK },
		{ "127.0.0.3", NULL, OUTCOME_FORBIDDEN },
		{ "", NULL, OUTCOME_FORBIDDEN },
		{ "[::1", NULL, OUTCOME_FORBIDDEN },
		{ "gate.example.evil", NULL, OUTCOME_FORBIDDEN },
		{ "xgate.example", NULL, OUTCOME_FORBIDDEN },
		{ "gat", NULL, OUTCOME_FORBIDDEN },
		{ "gate.example,gate", NULL, OUTCOME_FORBIDDEN },
		{ "localhost", "null", OUTCOME_FORBIDDEN },
		{ "localhost", "http://evil", OUTCOME_FORBIDDEN },
		{ "localhost", "http://localhost.evil", OUTCOME_FORBIDDEN },
		{ "localhost", "chrome-extension://localhost", OUTCOME_FORBIDDEN },
	};
	struct listener listener = { .fd = -1 };
	struct fault fault;

	(void)state;
	assert_int_equal(address_parse("127.0.0.2:80", &listener.address, &fault), OUTCOME_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct headers headers = { .host = cases[i].host, .origin = cases[i].origin };

		if (headers_check_names(&headers, &listener, "gate.example,gate", &fault) != cases[i].outcome)
			fail_msg("Host %s, Origin %s", cases[i].host, cases[i].origin ? cases[i].origin : "none");
	}
}

static void test_routes__a_socket_may_be_called_by_any_name(void **state)
{
	struct headers headers = { .host = "whatever" };
	struct listener listener = { .fd = -1 };
	struct fault fault;

	(void)state;
	assert_int_equal(address_parse("unix:/run/x", &listener.address, &fault), OUTCOME_OK);
	assert_int_equal(headers_check_names(&headers, &listener, "", &fault), OUTCOME_OK);
}

static void test_routes__text_is_for_those_who_ask_for_it(void **state)
{
	(void)state;
	assert_true(reply_prefers_text("text/plain"));
	assert_true(reply_prefers_text("Text/Plain; q=0.9, */*"));
	assert_false(reply_prefers_text(NULL));
	assert_false(reply_prefers_text("*/*"));
	assert_false(reply_prefers_text("application/json, text/plain, */*"));
	assert_false(reply_prefers_text("text/html"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes__each_request_finds_its_row),
		cmocka_unit_test(test_routes__what_is_no_route_is_not_found),
		cmocka_unit_test(test_routes__wrong_method_lists_the_right_ones),
		cmocka_unit_test(test_routes__the_table_is_complete),
		cmocka_unit_test(test_routes__only_our_names_may_be_called),
		cmocka_unit_test(test_routes__a_socket_may_be_called_by_any_name),
		cmocka_unit_test(test_routes__text_is_for_those_who_ask_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
