/* trade_lines: what happened in the scene of the trade, line by line, on one monotonic clock. Whoever takes part adds its own
 * lines to one file, each with one write at its end. So the history owes nothing to the service that it is to judge.
 * What goes wrong here fails the running test. */
#ifndef SUPPORT_TRADE_LINES_H
#define SUPPORT_TRADE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trade_event {
	TRADE_ASKED,	/* a client is started; mark: its terms; number: of a job its tries, of a deploy its drain in ms */
	TRADE_SHUT,	/* a job was told that its gate is shut, and waits */
	TRADE_BEGAN,	/* a command begins; mark: the lease that it runs in, also for the next three */
	TRADE_ENDED,	/* it has done its work */
	TRADE_CUT,	/* it was told to end, and does */
	TRADE_BROKE,	/* it fails, because a deploy ran while it did */
	TRADE_EXITED,	/* the client has ended; number: its exit code */
	TRADE_OVERRUN,	/* the service says that a window closed over the lease */
	TRADE_DRAINED,	/* the service says how long the window waited for passes to leave; number: in ms */
	TRADE_EVENTS
};

struct trade_line {
	int64_t ns;
	enum trade_event event;
	bool is_deploy;
	char name[24];		/* of the job or deploy: PHASE-NUMBER */
	char gates[64];
	char mark[40];		/* "-": none */
	long long number;
};

struct trade_history {
	struct trade_line *lines;
	size_t count;
};

/* Adds a line that happens now. */
void trade_write(int fd, const struct trade_line *);

/* The lines of a text, or of a file; trade_history_release frees them. */
void trade_parse(struct trade_history *, const char *text);
void trade_read(struct trade_history *, const char *path);
void trade_history_release(struct trade_history *);

#endif
