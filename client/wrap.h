/* wrap: runs a command while a lease, if there is one, is kept alive; passes signals on; ends the command when the
 * lease is lost. */
#ifndef CLIENT_WRAP_H
#define CLIENT_WRAP_H

#include <stdbool.h>

struct client;
struct keep;

struct wrap_end {
	bool started;  /* else the command could not be run, and code is what to end with */
	bool lost;     /* the lease ended, or may have, before the command did */
	int code;      /* of the command: its status, or 128 and the signal */
	char why[512]; /* for lost: a sentence */
};

/* Runs options.command. keep may be NULL: then nothing can be lost. */
void wrap_run(struct client *, struct keep *, struct wrap_end *);

/* Sets what a command inside a lease learns of it; NULL values are left as they are. */
void wrap_tell(const char *token, const char *gates, const char *fence, const char *release);

#endif
