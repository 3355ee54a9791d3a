/* command: the commands. One table gives each its name, arguments, options, help and function; dispatch, --help and
 * the test of the documentation read the same table. */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

#include <stdbool.h>

#include "options.h"

struct client;

enum command_reach {
	REACH_NORMAL, /* 1 m */
	REACH_SHORT,  /* 5 s: somebody looks on */
	REACH_WAIT    /* as long as --wait */
};

struct command {
	const char *name, *arguments, *summary;
	unsigned least, most; /* arguments; the first names several gates if its name is GATES, one if it is GATE */
	bool runs;	      /* wants a command behind "--" */
	enum command_reach reach;
	struct option_table options;
	int (*run)(struct client *); /* gives the exit code, having printed the last line where there is one */
	const char *notes;	     /* further help, or NULL */
};

/* All commands, ended by one without a name. */
extern const struct command commands[];

/* The options that every command takes. */
extern const struct option_table global_options;

/* The command of that name, or NULL. */
const struct command *command_find(const char *name);

/* The name of the command that was probably meant, or NULL. */
const char *command_nearest(const char *name);

/* Prints the help of one command, or of the program for NULL. */
void help_print(const struct command *);

int cmd_check(struct client *);
int cmd_close(struct client *);
int cmd_deploy(struct client *);
int cmd_explain(struct client *);
int cmd_gate(struct client *);
int cmd_history(struct client *);
int cmd_open(struct client *);
int cmd_reap(struct client *);
int cmd_reason(struct client *);
int cmd_renew(struct client *);
int cmd_run(struct client *);
int cmd_status(struct client *);
int cmd_wait(struct client *);

#endif
