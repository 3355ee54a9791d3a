/* deploy-gate: waits for gates, closes and opens them, runs commands in between. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "client.h"
#include "command.h"

enum { REACH_MS = 60 * 1000, REACH_SHORT_MS = 5 * 1000, SIGPIPE_EXIT = 141 };

static int usage(struct client *client, const char *sentence)
{
	return report_end(&client->report, EXIT_USAGE, "usage", "%s", sentence);
}

static int unknown_command(struct client *client, const char *name)
{
	const char *near = command_nearest(name);

	if (near)
		return report_end(&client->report, EXIT_USAGE, "usage",
			"there is no command \"%.60s\"; did you mean %s?", name, near);
	return report_end(&client->report, EXIT_USAGE, "usage",
		"there is no command \"%.60s\"; --help lists what there is", name);
}

/* Hands the report what the options say about it, as soon as they are read. */
static void set_report(struct client *client)
{
	client->report.quiet = client->options.quiet;
	client->report.exit_code = (int)client->options.exit_code;
}

static void set_reach(struct options *options, enum command_reach reach)
{
	if (options->reach_ms >= 0)
		return;
	if (reach == REACH_WAIT)
		options->reach_ms = options->wait_ms;
	else
		options->reach_ms = reach == REACH_SHORT ? REACH_SHORT_MS : REACH_MS;
}

/* Whether the words of the command line are what the command wants. */
static bool check_arguments(struct client *client, const struct command *command, int *code)
{
	const struct options *options = &client->options;
	struct fault fault;

	if (options->argument_count < command->least || options->argument_count > command->most)
		*code = report_end(&client->report, EXIT_USAGE, "usage", "deploy-gate %s wants: %s", command->name,
			*command->arguments ? command->arguments : "no arguments");
	else if (command->runs && (!options->command || !options->command[0]))
		*code = report_end(&client->report, EXIT_USAGE, "usage",
			"deploy-gate %s wants the command to run behind --", command->name);
	else if (!command->runs && options->command)
		*code = report_end(
			&client->report, EXIT_USAGE, "usage", "deploy-gate %s runs no command", command->name);
	else if (options->argument_count && gates_parse(options->argument[0], &client->gates, &fault) != OUTCOME_OK)
		*code = report_end(
			&client->report, EXIT_USAGE, outcome_row(OUTCOME_BAD_REQUEST)->word, "%s", fault.detail);
	else if (client->gates && client->gates->count > 1 && !strstr(command->arguments, "GATES"))
		*code = report_end(
			&client->report, EXIT_USAGE, "usage", "deploy-gate %s wants one gate at a time", command->name);
	else
		return true;
	return false;
}

static int run_command(struct client *client, const struct command *command, char **argv, int at)
{
	const struct option_table tables[] = { command->options, global_options, { NULL, 0 } };
	const struct option_table *used = command->options.count ? tables : tables + 1;
	struct fault fault;
	enum outcome outcome;
	int code = EXIT_INTERNAL;

	options_defaults(&client->options, &command->options);
	outcome = options_read(&client->options, used, argv, &at, false, &fault);
	set_report(client);
	if (outcome != OUTCOME_OK)
		return usage(client, fault.detail);
	if (client->options.help) {
		help_print(command);
		return EXIT_SUCCESS;
	}
	if (!check_arguments(client, command, &code))
		return code;
	set_reach(&client->options, command->reach);
	if (!client_init(client, &code))
		return code;
	return command->run(client);
}

/* As people type it who do not know of --help yet. */
static int help(struct client *client, const char *name)
{
	const struct command *command = name ? command_find(name) : NULL;

	if (name && !command)
		return unknown_command(client, name);
	help_print(command);
	return EXIT_SUCCESS;
}

static int dispatch(struct client *client, char **argv)
{
	const struct option_table tables[] = { global_options, { NULL, 0 } };
	const struct command *command;
	struct fault fault;
	enum outcome outcome;
	int at = 1;

	outcome = options_read(&client->options, tables, argv, &at, true, &fault);
	set_report(client);
	if (outcome != OUTCOME_OK)
		return usage(client, fault.detail);
	if (client->options.version) {
		puts("deploy-gate " DEPLOY_GATE_VERSION);
		return EXIT_SUCCESS;
	}
	if (!argv[at] && client->options.help) {
		help_print(NULL);
		return EXIT_SUCCESS;
	}
	if (!argv[at] || client->options.command)
		return usage(client, "which command? --help lists what there is");
	if (strcmp(argv[at], "help") == 0)
		return help(client, argv[at + 1]);
	command = command_find(argv[at]);
	if (!command)
		return unknown_command(client, argv[at]);
	return run_command(client, command, argv, at + 1);
}

/* What was printed must have arrived; a reader that went away is told by the code that it would have caused. */
static int flush_output(struct client *client, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code ? code : SIGPIPE_EXIT;
	return report_end(&client->report, EXIT_INTERNAL, "internal", "cannot write the output: %s", strerror(errno));
}

int main(int argc, char **argv)
{
	struct client client = { .http = NULL };
	int code;

	(void)argc;
	descriptors_note(&client.inherited);
	report_init(&client.report);
	options_init(&client.options);
	signals_init(&client.signals);
	code = dispatch(&client, argv);
	code = flush_output(&client, code);
	client_release(&client);
	return code;
}
