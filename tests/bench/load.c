#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/die.h"

static const struct command {
	const char *name, *arguments, *prints;
	int count;
	void (*run)(uint16_t port, char **arguments);
} commands[] = {
	{ "checks", "PORT CALLERS SECONDS PATH", "how many a second, median and 99th percentile in ms", 4,
		rates_checks },
	{ "cycles", "PORT CALLERS SECONDS", "the same, of close and open", 3, rates_cycles },
	{ "waiters", "PORT WAITERS PID",
		"MB of PID before and with them; ms from open to the last answer and to the median", 3,
		scenes_waiters },
	{ "handover", "PORT TIMES CONNINFO",
		"ms from open to the answer of the close behind it, median and p99; the same between sessions", 3,
		handover_deploys },
	{ "inside", "PORT JOBS TIMES CONNINFO", "the same, to all of the jobs that wait having their passes", 4,
		handover_jobs },
};

enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

double load_number(const char *argument)
{
	char *end;
	double number = strtod(argument, &end);

	if (end == argument || *end || number <= 0)
		die("an argument is no number");
	return number;
}

void load_token(char token[static TOKEN_LEN + 1])
{
	unsigned char bytes[TOKEN_LEN / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		die("no random numbers");
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(token + 2 * i, 3, "%02x", bytes[i]);
}

void load_expect(const struct heard *heard, int status)
{
	if (heard->status == status)
		return;
	fprintf(stderr, "load: expected %d, not %d: %s\n", status, heard->status, heard->body);
	exit(EXIT_FAILURE);
}

static int usage(void)
{
	for (int i = 0; i < COMMANDS; i++)
		fprintf(stderr, "%s load %s %s\n        prints %s\n", i ? "      " : "usage:", commands[i].name,
			commands[i].arguments, commands[i].prints);
	return 64;
}

int main(int count, char **arguments)
{
	for (int i = 0; count > 1 && i < COMMANDS; i++)
		if (strcmp(commands[i].name, arguments[1]) == 0 && count == 2 + commands[i].count) {
			commands[i].run((uint16_t)load_number(arguments[2]), arguments + 3);
			return EXIT_SUCCESS;
		}
	return usage();
}
