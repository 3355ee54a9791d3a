/* signals: the one place where signals arrive. They are blocked and read from a descriptor that the loops wait on.
 * What was ignored when the program started (nohup, background jobs of scripts) stays ignored and is not taken. */
#ifndef CLIENT_SIGNALS_H
#define CLIENT_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct signals {
	int fd;			      /* readable when a signal is there */
	sigset_t before;	      /* the mask we were started with; a command gets it back */
	struct sigaction pipe, child; /* dispositions we were started with; likewise */
};

/* Blocks what interrupts waiting (HUP INT QUIT TERM USR1 USR2) and SIGCHLD, ignores SIGPIPE. */
void signals_init(struct signals *);

/* From now on also takes what is only passed on to a command: WINCH CONT TSTP; and no longer. */
void signals_take_all(struct signals *);
void signals_take_few(struct signals *);

/* The next signal that came, or 0. Never blocks. */
int signals_next(struct signals *);

/* For a process about to become a command: gives mask and dispositions back. Async-signal-safe. */
void signals_restore(const struct signals *);

/* Whether nobody is to hear of it, as we were started. */
bool signal_is_ignored(int number);

/* "TERM" for SIGTERM. */
const char *signal_name(int number);

#endif
