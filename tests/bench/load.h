/* load: what the commands of the load generator share. Each command prints one line of numbers. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

#include "callers.h"

enum { TOKEN_LEN = 32 };

/* Commands: their arguments are those behind the port, as many as the table in the main program says. */
void rates_checks(uint16_t port, char **arguments);
void rates_cycles(uint16_t port, char **arguments);
void scenes_waiters(uint16_t port, char **arguments);
void handover_deploys(uint16_t port, char **arguments);
void handover_jobs(uint16_t port, char **arguments);

/* A number among the arguments, or the end. */
double load_number(const char *argument);

/* A lease token that nobody had before. */
void load_token(char token[static TOKEN_LEN + 1]);

/* The end, with the reply, unless it has that status. */
void load_expect(const struct heard *, int status);

#endif
