/* The settings: what is read from where, which source wins, and which sentence a mistake gets. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "config_table.h"

enum { ARGUMENTS_MAX = 8 };

/* Reads the settings with these flags, by a list that ends in NULL. */
static enum outcome read_for_code(struct config *config, char **flags, int *code, struct fault *fault)
{
	char *argv[ARGUMENTS_MAX + 2] = { (char *)"deploy-gated" };
	int argc = 1;

	for (; *flags; flags++)
		argv[argc++] = *flags;
	*fault = (struct fault){ 0 };
	return config_read(config, argc, argv, code, fault);
}

static enum outcome read_with(struct config *config, char **flags, struct fault *fault)
{
	int code;

	return read_for_code(config, flags, &code, fault);
}

#define READ(config, fault, ...) read_with(config, (char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL }, fault)

/* Writes a configuration file; the caller removes it. */
static void write_file(char path[static 32], const char *text)
{
	int fd;

	snprintf(path, 32, "/tmp/test_config.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void test_config__defaults(void **state)
{
	struct config config;
	struct fault fault;

	(void)state;
	assert_int_equal(READ(&config, &fault), OUTCOME_OK);
	assert_string_equal(config.database, "");
	assert_int_equal(config.listen_count, 1);
	assert_string_equal(config.listen[0], "127.0.0.1:7433");
	assert_int_equal(config.max_wait_ms, 3600000);
	assert_int_equal(config.start_timeout_ms, 10000);
	assert_int_equal(config.leave_delay_ms, 0);
	assert_int_equal(config.retention_ms, 90LL * 86400 * 1000);
	assert_int_equal(config.connections_max, 12500);
	assert_false(config.known_gates_only);
	assert_false(config.check_only);
	assert_string_equal(config.log_level, "info");
	assert_contains(config.name, "127.0.0.1:7433");
	config_release(&config);
}

static void test_config__flag_beats_environment_beats_file(void **state)
{
	struct config config;
	struct fault fault;
	char path[32];

	(void)state;
	write_file(path,
		"# ours\n\nmax-wait = 1m\n start-timeout=1s\r\nlog-level =debug\nlisten = 127.0.0.1:1\nlisten = "
		"127.0.0.1:2\ndatabase = host=/run dbname='a b'\n");
	setenv("DEPLOY_GATED_MAX_WAIT", "2m", 1);
	setenv("DEPLOY_GATED_START_TIMEOUT", "2s", 1);
	setenv("DEPLOY_GATED_RETENTION", "", 1);
	assert_int_equal(READ(&config, &fault, "--config", path, "--max-wait=3m", "--known-gates-only"), OUTCOME_OK);
	assert_int_equal(config.max_wait_ms, 180000);
	assert_int_equal(config.start_timeout_ms, 2000);
	assert_int_equal(config.retention_ms, 90LL * 86400 * 1000);
	assert_string_equal(config.log_level, "debug");
	assert_string_equal(config.database, "host=/run dbname='a b'");
	assert_int_equal(config.listen_count, 2);
	assert_true(config.known_gates_only);
	config_release(&config);
	assert_int_equal(
		READ(&config, &fault, "--config", path, "--listen", "unix:/x", "--listen", "[::1]:0"), OUTCOME_OK);
	assert_int_equal(config.listen_count, 2);
	assert_string_equal(config.listen[0], "unix:/x");
	config_release(&config);
	unsetenv("DEPLOY_GATED_MAX_WAIT");
	unsetenv("DEPLOY_GATED_START_TIMEOUT");
	unsetenv("DEPLOY_GATED_RETENTION");
	unlink(path);
}

static const struct bad_flag {
	const char *flags[2];
	const char *why;
} bad_flags[] = {
	{ { "--max-wait", "90" }, "max-wait (command line): \"90\" has no unit" },
	{ { "--max-wait", "1ms" }, "max-wait (command line): \"1ms\" is out of bounds: allowed is 1s to 7d" },
	{ { "--max-wait", "8d" }, "allowed is 1s to 7d" },
	{ { "--max-wait" }, "--max-wait: its value is missing" },
	{ { "--maxwait", "1h" }, "did you mean \"max-wait\"?" },
	{ { "--max-wiat=1h" }, "did you mean \"max-wait\"?" },
	{ { "--frobnicate" }, "there is no setting \"frobnicate\" (command line): --help lists them all" },
	{ { "now" }, "\"now\" is not a flag" },
	{ { "--" }, "is not a flag" },
	{ { "-" }, "is not a flag" },
	{ { "--connections", "many" }, "is not a whole number from 16 to 1000000" },
	{ { "--connections", "-20" }, "is not a whole number" },
	{ { "--connections", "99999999999999999999" }, "is not a whole number" },
	{ { "--connections=15" }, "is not a whole number" },
	{ { "--log-level", "loud" }, "\"loud\" is none of debug|info|warn|error" },
	{ { "--log-level", "debug|info" }, "is none of" },
	{ { "--log-format", "" }, "is none of logfmt|json" },
	{ { "--known-gates-only=yes" }, "neither true nor false" },
	{ { "--listen", "7433" }, "listen (command line): write an address and a port" },
	{ { "--listen", "127.0.0.1:65536" }, "a port from 0 to 65535" },
	{ { "--listen", "127.0.0.1:-1" }, "a port from 0 to 65535" },
	{ { "--listen", "gate.example:80" }, "is not the number of an address" },
	{ { "--listen", "::1:80" }, "is not the number of an address" },
	{ { "--listen", "unix:run/x" }, "begins with /" },
	{ { "--listen", "0.0.0.0:7433" }, "can be reached from other machines" },
	{ { "--listen", "[::]:7433" }, "can be reached from other machines" },
	{ { "--host-names", "a b" }, "host names by commas" },
	{ { "--config", "/nonexistent/file" }, "cannot read /nonexistent/file: No such file" },
};

static void test_config__mistakes_on_the_command_line(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_flags); i++) {
		char *flags[] = { (char *)bad_flags[i].flags[0], (char *)bad_flags[i].flags[1], NULL };
		struct config config;
		struct fault fault;

		assert_int_equal(read_with(&config, flags, &fault), OUTCOME_BAD_REQUEST);
		assert_contains(fault.detail, bad_flags[i].why);
	}
}

static void test_config__mistakes_in_the_file_name_the_line(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "\nmax-wait = 90\n", " line 2): \"90\" has no unit" },
		{ "max_wait = 1h\n", "line 1): did you mean \"max-wait\"?" },
		{ "max-wait\n", "line 1: write \"key = value\"" },
		{ "max-wait = 1h\nmax-wait = 2h\n", "line 2): given twice" },
		{ "config = /etc/x\n", "only as --config or in the environment" },
		{ "check-config = true\n", "only as --check-config" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config config;
		struct fault fault;
		char path[32];

		write_file(path, cases[i].text);
		assert_int_equal(READ(&config, &fault, "--config", path), OUTCOME_BAD_REQUEST);
		assert_contains(fault.detail, cases[i].why);
		assert_contains(fault.detail, path);
		unlink(path);
	}
}

static void test_config__mistakes_in_the_environment_name_the_variable(void **state)
{
	struct config config;
	struct fault fault;

	(void)state;
	setenv("DEPLOY_GATED_MAX_WAIT", "x", 1);
	assert_int_equal(READ(&config, &fault), OUTCOME_BAD_REQUEST);
	assert_contains(fault.detail, "max-wait (environment DEPLOY_GATED_MAX_WAIT): ");
	unsetenv("DEPLOY_GATED_MAX_WAIT");
	setenv("DEPLOY_GATED_HOST_NAME", "x", 1);
	assert_int_equal(READ(&config, &fault), OUTCOME_BAD_REQUEST);
	assert_contains(fault.detail, "did you mean \"host-names\"?");
	unsetenv("DEPLOY_GATED_HOST_NAME");
}

static int code_of(char **flags)
{
	struct config config;
	struct fault fault;
	int code = -2;

	if (read_for_code(&config, flags, &code, &fault) == OUTCOME_OK)
		config_release(&config);
	return code;
}

#define CODE(...) code_of((char *[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_config__mistakes_are_64_on_the_command_line_and_78_elsewhere(void **state)
{
	char path[32];

	(void)state;
	write_file(path, "listn = 127.0.0.1:0\n");
	assert_int_equal(CODE("--max-wait", "1m"), EXIT_NOT_YET);
	assert_int_equal(CODE("--max-wait", "9"), 64);
	assert_int_equal(CODE("--listn", "127.0.0.1:0"), 64);
	assert_int_equal(CODE("--config", path), 78);
	assert_int_equal(CODE("--config", "/nonexistent"), 78);
	setenv("DEPLOY_GATED_MAX_WAIT", "9", 1);
	assert_int_equal(CODE(), 78);
	unsetenv("DEPLOY_GATED_MAX_WAIT");
	unlink(path);
}

static void test_config__variables_of_container_platforms_are_let_be(void **state)
{
	struct config config;
	struct fault fault;

	(void)state;
	setenv("DEPLOY_GATED_PORT_7433_TCP_ADDR", "10.0.0.1", 1);
	setenv("DEPLOY_GATED_SERVICE_HOST", "10.0.0.1", 1);
	assert_int_equal(READ(&config, &fault), OUTCOME_OK);
	config_release(&config);
	unsetenv("DEPLOY_GATED_PORT_7433_TCP_ADDR");
	unsetenv("DEPLOY_GATED_SERVICE_HOST");
}

static void test_config__the_value_of_database_is_never_repeated(void **state)
{
	struct config config;
	struct fault fault;

	(void)state;
	assert_int_equal(READ(&config, &fault, "--database", "password=sec\tret"), OUTCOME_BAD_REQUEST);
	assert_contains(fault.detail, "database (command line)");
	assert_null(strstr(fault.detail, "sec"));
}

static void test_config__reload_takes_only_what_is_marked(void **state)
{
	struct config running, fresh;
	struct fault fault;

	(void)state;
	assert_int_equal(READ(&running, &fault), OUTCOME_OK);
	assert_int_equal(READ(&fresh, &fault, "--max-wait=2h", "--log-level=warn", "--database=x", "--listen=unix:/y"),
		OUTCOME_OK);
	config_reload(&running, &fresh);
	assert_int_equal(running.max_wait_ms, 7200000);
	assert_string_equal(running.log_level, "warn");
	assert_string_equal(running.database, "");
	assert_string_equal(running.listen[0], "127.0.0.1:7433");
	config_release(&running);
}

static void test_config__the_table_is_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		char name[SETTING_ENVIRONMENT_MAX];

		assert_non_null(settings[i].key);
		assert_non_null(settings[i].help);
		assert_non_null(settings[i].fallback);
		assert_true(strlen(settings[i].key) <= 17);	/* else --help is askew */
		setting_environment(settings[i].key, name);
		assert_memory_equal(name, "DEPLOY_GATED_", 13);
		assert_ptr_equal(setting_find(settings[i].key, strlen(settings[i].key)), &settings[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config__defaults),
		cmocka_unit_test(test_config__flag_beats_environment_beats_file),
		cmocka_unit_test(test_config__mistakes_on_the_command_line),
		cmocka_unit_test(test_config__mistakes_in_the_file_name_the_line),
		cmocka_unit_test(test_config__mistakes_in_the_environment_name_the_variable),
		cmocka_unit_test(test_config__mistakes_are_64_on_the_command_line_and_78_elsewhere),
		cmocka_unit_test(test_config__variables_of_container_platforms_are_let_be),
		cmocka_unit_test(test_config__the_value_of_database_is_never_repeated),
		cmocka_unit_test(test_config__reload_takes_only_what_is_marked),
		cmocka_unit_test(test_config__the_table_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
