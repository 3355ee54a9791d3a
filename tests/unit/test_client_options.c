/* The command line: what is read, what is refused and with which words; and that the tables themselves hold
 * together. */
#include "cases.h"

#include "command.h"

enum { WORDS_MAX = 8 };

/* Reads words as main does behind the name of a command. */
static enum outcome read_words(const char *name, const char *const *words, struct options *options, struct fault *fault)
{
	const struct command *command = command_find(name);
	const struct option_table tables[] = { command->options, global_options, { NULL, 0 } };
	char *argv[WORDS_MAX + 1] = { NULL };
	int at = 0;

	for (int i = 0; i < WORDS_MAX && words[i]; i++)
		argv[i] = (char *)words[i];
	options_init(options);
	options_defaults(options, &command->options);
	return options_read(options, command->options.count ? tables : tables + 1, argv, &at, false, fault);
}

static void test_options__any_order_and_either_form(void **state)
{
	static const char *const orders[][WORDS_MAX] = {
		{ "production", "--wait", "90s", "--reason", "a b", "-qE", "9" },
		{ "--reason=a b", "-q", "-E9", "--timeout=90s", "production" },
		{ "--wait", "1s", "-q", "-E", "9", "production", "--wait=1m30s", "--reason=a b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(orders); i++) {
		struct options options;
		struct fault fault;

		assert_int_equal(read_words("deploy", orders[i], &options, &fault), OUTCOME_OK);
		assert_int_equal(options.argument_count, 1);
		assert_string_equal(options.argument[0], "production");
		assert_string_equal(options.reason, "a b");
		assert_int_equal(options.wait_ms, 90000);
		assert_int_equal(options.exit_code, 9);
		assert_true(options.quiet);
		assert_int_equal(options.ttl_ms, 15 * 1000);
		assert_int_equal(options.max_ms, -1);
	}
}

static void test_options__what_stands_behind_the_dashes_is_the_command(void **state)
{
	static const char *const words[WORDS_MAX] = { "a", "--wait", "0s", "--", "make", "--wait", "-q" };
	struct options options;
	struct fault fault;

	(void)state;
	assert_int_equal(read_words("run", words, &options, &fault), OUTCOME_OK);
	assert_int_equal(options.wait_ms, 0);
	assert_false(options.quiet);
	assert_string_equal(options.command[0], "make");
	assert_string_equal(options.command[2], "-q");
	assert_null(options.command[3]);
}

static const struct bad {
	const char *command, *words[WORDS_MAX], *why;
} bad[] = {
	{ "close", { "a", "--drian", "1s" }, "unknown option --drian; did you mean --drain?" },
	{ "check", { "a", "--xyzzy-plugh" }, "unknown option --xyzzy-plugh; --help" },
	{ "check", { "a", "-z" }, "unknown option -z" },
	{ "check", { "a", "--ttl", "1s" }, "unknown option --ttl" },
	{ "close", { "a", "--ttl" }, "--ttl wants a value: DURATION" },
	{ "close", { "a", "--ttl", "30" }, "unit" },
	{ "close", { "a", "--ttl", "0s" }, "--ttl" },
	{ "close", { "a", "--while-pid", "0" }, "--while-pid wants a number from 1 to 4194304, not \"0\"" },
	{ "close", { "a", "--while-pid", "self" }, "--while-pid wants a number" },
	{ "close", { "a", "--on-drain", "maybe" }, "--on-drain wants one of abort|proceed|stop, not \"maybe\"" },
	{ "close", { "a", "--on-drain", "abort|proceed" }, "--on-drain wants one of" },
	{ "close", { "a", "--reason", "two\nlines" }, "--reason" },
	{ "close", { "a", "--link", "ftp://x" }, "--link" },
	{ "check", { "a", "--json=yes" }, "--json takes no value" },
	{ "check", { "a", "-E", "x" }, "--exit-code wants a number from 0 to" },
	{ "check", { "a", "-E", "300" }, "--exit-code wants a number from 0 to" },
	{ "check", { "a", "-qE" }, "-E wants a value: N" },
	{ "check", { "a", "b", "c" }, "\"c\" is one word too many" },
};

static void test_options__refusals_say_what_is_wanted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct options options;
		struct fault fault = { .detail = "" };

		if (read_words(bad[i].command, bad[i].words, &options, &fault) == OUTCOME_OK)
			fail_msg("%s %s was read", bad[i].command, bad[i].words[1]);
		assert_contains(fault.detail, bad[i].why);
	}
}

static void test_commands__the_nearest_is_named(void **state)
{
	static const char *const pairs[][2] = {
		{ "chekc", "check" },
		{ "stauts", "status" },
		{ "hisotry", "history" },
		{ "opne", "open" },
		{ "clsoe", "close" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++)
		assert_string_equal(command_nearest(pairs[i][0]), pairs[i][1]);
	assert_null(command_nearest("xyzzy"));
	assert_null(command_nearest("a-word-that-is-far-longer-than-any-command-of-ours-could-ever-be"));
}

/* Adds the letters and names of a table to those seen, each of which may come once. */
static void no_doubles(const struct option_table *table, const char **seen, unsigned *count)
{
	for (unsigned i = 0; i < table->count; i++) {
		assert_non_null(table->rows[i].help);
		for (unsigned j = 0; j < *count; j++)
			assert_string_not_equal(seen[j], table->rows[i].name);
		seen[(*count)++] = table->rows[i].name;
	}
}

static void test_commands__the_tables_hold_together(void **state)
{
	(void)state;
	for (const struct command *command = commands; command->name; command++) {
		const char *seen[64];
		unsigned count = 0;
		struct options options;

		no_doubles(&command->options, seen, &count);
		no_doubles(&global_options, seen, &count);
		options_init(&options);
		options_defaults(&options, &command->options);
		assert_non_null(command->run);
		assert_true(command->least <= command->most && command->most <= ARGUMENTS_MAX);
		assert_ptr_equal(command_find(command->name), command);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options__any_order_and_either_form),
		cmocka_unit_test(test_options__what_stands_behind_the_dashes_is_the_command),
		cmocka_unit_test(test_options__refusals_say_what_is_wanted),
		cmocka_unit_test(test_commands__the_nearest_is_named),
		cmocka_unit_test(test_commands__the_tables_hold_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
