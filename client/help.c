#include <stdio.h>
#include <string.h>

#include "command.h"
#include "table.h"

enum { COLUMN = 38, ARGUMENTS = 16 };

static const struct {
	int code;
	const char *when;
} exits[] = {
	{ 0, "done; for check: open" },
	{ 1, "check: shut" },
	{ 64, "the command line, or a gate that is not known" },
	{ 69, "no server could be reached, or none that can answer" },
	{ 70, "what should not happen" },
	{ 75, "held, closed, full, frozen or draining until the wait was over" },
	{ 76,
		"the lease ended before the command did, or before open or renew came; or a deploy had the command "
		"ended" },
	{ 77, "not allowed, or not the holder" },
	{ 78, "configuration" },
	{ 79, "jobs did not leave in time" },
	{ 126, "the command could not be run (127: not found; 128+n: ended by signal n)" },
};

static void print_option(const struct option_row *row)
{
	char name[80];
	int size = snprintf(name, sizeof(name), "  %c%c%s--%s%s%s", row->letter ? '-' : ' ',
		row->letter ? row->letter : ' ', row->letter ? ", " : "  ", row->name, row->argument ? " " : "",
		row->argument ? row->argument : "");

	printf("%s%*s%s", name, size < COLUMN ? COLUMN - size : 1, "", row->help);
	if (row->alias)
		printf("; also --%s", row->alias);
	if (row->fallback)
		printf(" (default %s)", row->fallback);
	putchar('\n');
}

static void print_options(const char *title, const struct option_table *table)
{
	if (!table->count)
		return;
	printf("\n%s\n", title);
	for (unsigned i = 0; i < table->count; i++)
		print_option(&table->rows[i]);
}

static void print_commands(void)
{
	puts("\nCommands:");
	for (const struct command *command = commands; command->name; command++)
		printf("  %-8s %s%*s%s\n", command->name, command->arguments,
			ARGUMENTS - (int)text_width(command->arguments), "", command->summary);
	puts("\nGATES are names by commas: production,staging.billing. A gate is shut when it or an ancestor is.\n"
	     "deploy-gate COMMAND --help tells more of one.");
}

static void print_exits(void)
{
	puts("\nExit codes:");
	for (size_t i = 0; i < sizeof(exits) / sizeof(*exits); i++)
		printf("  %3d  %s\n", exits[i].code, exits[i].when);
}

void help_print(const struct command *command)
{
	if (command) {
		printf("Usage: deploy-gate %s [OPTIONS]%s%s\n\n%s: %s.\n", command->name,
			*command->arguments ? " " : "", command->arguments, command->name, command->summary);
		if (command->notes)
			printf("%s", command->notes);
		print_options("Options:", &command->options);
	} else {
		puts("Usage: deploy-gate [OPTIONS] COMMAND …\n\nKeeps batch jobs from running while a deploy changes "
		     "the code under them.");
		print_commands();
	}
	print_options("Options of every command:", &global_options);
	if (!command)
		print_exits();
}
