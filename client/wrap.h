/* wrap: runs a command while a lease, if there is one, is kept alive; passes signals on; ends the command when the lease
 * is lost, or when a deploy wants in and the options say so. */
#ifndef CLIENT_WRAP_H
#define CLIENT_WRAP_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct keep;

/* Why a command was told to end. */
enum wrap_cause {
	WRAP_NONE,   /* it was not: it ended by itself */
	WRAP_LOST,   /* a server says that the lease has ended */
	WRAP_SILENT, /* none said anything for too long: --on-silence stop */
	WRAP_CLOSED, /* a deploy waits for it: --on-close stop or rerun */
	WRAP_STOPPED /* a deploy is tired of waiting: its on_drain=stop */
};

struct wrap_end {
	bool started; /* else the command could not be run, and code is what to end with */
	enum wrap_cause cause;
	bool interrupted; /* a signal that ends was passed on to it */
	int code;	  /* of the command: its status, or 128 and the signal */
	int64_t over_ms;  /* of clock_ms(): when the lease, if it was kept, will have run out unless it is ended before */
	char why[512];	  /* for a cause: a sentence */
};

/* Runs options.command. keep may be NULL: then nothing can be lost. */
void wrap_run(struct client *, struct keep *, struct wrap_end *);

#endif
