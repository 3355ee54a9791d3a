/* report: all that the client says on standard error: messages, what it waits for, and the last line. On a terminal
 * what it waits for is one line that is kept up to date; in a log a line when it changes, and once a minute. */
#ifndef CLIENT_REPORT_H
#define CLIENT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

struct report {
	bool quiet;		   /* only the last line of a failure */
	bool terminal, line_open;  /* a progress line stands without a line break */
	int exit_code;		   /* of -E: in place of every end that is ours; -1 for none */
	int64_t since_ms, said_ms; /* when the waiting began; when it was last told, 0 for not yet */
	char waiting[1024];	   /* what is waited for, in short */
	char key[256];		   /* what it was about */
};

void report_init(struct report *);

/* "deploy-gate: …", unless quiet. */
void report_say(struct report *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tells what is waited for. key changes when there is something new to say; the sentence may always change. brief is what
 * stays true of it: that is said again and again. */
void report_waiting(struct report *, const char *key, const char *sentence, const char *brief);

/* The waiting is over: no progress line stands any more, and the next waiting counts from its own beginning. */
void report_waited(struct report *);

/* Keeps the progress line up to date; to be called about once a second. */
void report_tick(struct report *);

/* An end of ours: prints "deploy-gate: exit N (word): …" and gives N, which -E may have changed. */
int report_end(struct report *, int code, const char *word, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* As report_end, where it was the command that could not begin: that is its own end, which -E does not change. */
int report_command(struct report *, int code, const char *word, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* As report_end, and silent when quiet: an answer that the exit code tells. */
int report_answer(struct report *, int code, const char *word, const char *sentence);

#endif
