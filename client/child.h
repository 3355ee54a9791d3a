/* child: a command in a process group of its own, in the foreground of the terminal if we were. Never signalled
 * once reaped: its process stays a zombie, which keeps its number and its group's, until child_reap. */
#ifndef CLIENT_CHILD_H
#define CLIENT_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct descriptors;
struct signals;

struct child {
	pid_t pid;	 /* also the number of its group */
	int terminal;	 /* descriptor, or -1 */
	bool foreground; /* we handed the terminal to it, and were not put into the background since */
	bool ended;
	int status; /* once ended: its exit status, or 128 and the number of the signal */
};

/* Starts argv, found by PATH, without a shell in between. The command gets TERM if we die. 0, or the errno for
 * which it could not be run; then there is no child. */
int child_start(struct child *, char **argv, const struct signals *, const struct descriptors *inherited);

/* Looks what SIGCHLD meant: whether the command ended, or stopped (Ctrl-Z, or for want of the terminal); then we stop too
 * until somebody continues us. */
void child_look(struct child *);

/* We were continued: so is its group, which gets the terminal if we are in the foreground now. */
void child_continue(struct child *);

/* Sends a signal to its whole group. */
void child_signal(const struct child *, int number);

/* Whether any process of its group still runs, once the command itself has ended. */
bool child_group_lives(const struct child *);

/* Takes the terminal back and reaps. */
void child_reap(struct child *);

#endif
