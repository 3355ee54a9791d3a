/* run: the real client as a program under test, and this test itself as the command that it runs.
 * A test program's main hands its arguments to run_as_command first. What goes wrong here fails the running test. */
#ifndef SUPPORT_RUN_H
#define SUPPORT_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/db.h"

enum { OUTPUT_MAX = 8192, RECORDER_EXIT = 42, INHERITED = 7 };

/* What all tests share. */
struct world {
	struct db db;
	pid_t server;
	char place[64], socket[80], self[256];
	const char *client;
};

/* A client under way, and what it and its command have written. */
struct run {
	pid_t pid;
	int fd;
	char output[OUTPUT_MAX];
	size_t size;
};

/* For cmocka: makes a world with a server and the known gate "a", and unmakes it. Every test's *state is the world. */
int world_begin(void **state);
int world_end(void **state);

/* Words of a command line; SELF stands for this test program. */
#define SELF "SELF"
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Starts the client with these words. Descriptor INHERITED is open in it, and nothing else beyond 2. */
void run_start(const struct world *, struct run *, const char *const *words);

/* As run_start, on a terminal of its own. */
void run_start_on_terminal(const struct world *, struct run *, const char *const *words);

/* Waits until the text has come. */
void run_await(struct run *, const char *text);

/* How often a text has come so far. */
unsigned run_times(const struct run *, const char *text);

/* Reads all that is left and gives the exit code; -1 if a signal ended the client. */
int run_finish(struct run *);

/* run_start and run_finish. */
int run_words(const struct world *, struct run *, const char *const *words);

/* Milliseconds that only grow. */
int64_t now_ms(void);

/* The commands that this program can be, for words behind SELF:
 *	record NAME	writes "ready", then "got X" for each signal X; exits with RECORDER_EXIT behind that of the NAME
 *	descriptors	writes "open N" for each open descriptor
 * False: it was not called as one. */
bool run_as_command(int argc, char **argv, int *code);

/* The signals that a recorder knows. */
extern const struct recorded {
	const char *name;
	int number;
} recorded[];
extern const size_t recorded_count;

#endif
