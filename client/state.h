/* state: the lease tokens that `close` remembers for `open`, one file for each gate and session:
 * DIRECTORY/SESSION/GATE, mode 0600 in directories of mode 0700.
 * A file is written, under its lock, before the gate is closed: so an interrupted close can be undone. */
#ifndef CLIENT_STATE_H
#define CLIENT_STATE_H

#include <limits.h>
#include <stdbool.h>

#include "base/names.h"
#include "base/outcome.h"

struct state {
	char directory[PATH_MAX]; /* of this session */
};

enum { SESSION_NAME_MAX = 100 };

/* The name of the session as a file name: of the CI job we are part of, else "@user" for everything of one user.
 * Characters that mean something in paths are written %XX, and what is too long is cut and told apart by a digest. */
void session_name(char name[static SESSION_NAME_MAX + 1]);

/* Where the session's files are; makes nothing. BAD_REQUEST if no place can be named. */
MUST_CHECK enum outcome state_init(struct state *, struct fault *);

/* The token remembered for a gate. False: none. */
MUST_CHECK bool state_recall(const struct state *, const char *gate, char token[static TOKEN_MAX + 1]);

/* Forgets a token, of whatever gate of the set; a gate that has another one keeps it. */
void state_forget(const struct state *, const struct gates *, const char *token);

/* The files of a set of gates, locked against another close of the same session. */
struct state_lock {
	unsigned count;
	int fd[GATES_MAX];
};

/* Makes directories and files and locks them. HELD: another close of this session is at work; BAD_REQUEST: they
 * cannot be written. */
MUST_CHECK enum outcome state_lock(const struct state *, const struct gates *, struct state_lock *, struct fault *);

/* Remembers a token in all locked files. BAD_REQUEST: they cannot be written. */
MUST_CHECK enum outcome state_remember(struct state_lock *, const char *token, struct fault *);

void state_unlock(struct state_lock *);

#endif
