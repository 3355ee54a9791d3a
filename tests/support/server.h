/* server: real servers for the tests from outside, each on a port of its own. They end with the test program at the latest.
 * Whatever goes wrong here fails the running test and shows the end of the server's log. */
#ifndef SUPPORT_SERVER_H
#define SUPPORT_SERVER_H

#include <sys/types.h>

struct server {
	pid_t pid;			/* 0 once it has ended */
	unsigned port;
	char url[48];			/* http://127.0.0.1:port */
	char log[64];			/* path of what it writes to standard error */
};

/* Starts one and waits until it is ready. more: further words of its command line, ended by NULL; NULL for none. */
void server_start(struct server *, const char *conninfo, const char *name, const char *const *more);

/* As server_start, and only waits until it listens. */
void server_launch(struct server *, const char *conninfo, const char *name, const char *const *more);

/* Starts one that is to give up by itself: its exit code, or 128 and the signal. What it wrote is in its log. */
int server_fail(struct server *, const char *conninfo, const char *const *more);

/* Sends a signal; waits for the end, which gives what server_fail gives. TERM and wait: a clean stop, which must give 0. */
void server_signal(const struct server *, int signal);
int server_wait(struct server *);
void server_stop(struct server *);
void server_kill(struct server *);

/* Waits, 60 s at most, until the log has the text. How often it has it now. */
void server_await(const struct server *, const char *text);
unsigned server_logged(const struct server *, const char *text);

/* The log so far; the caller's (free). */
char *server_log(const struct server *);

/* Ends it if it runs, and removes its log. One that was all zeros is left alone. */
void server_release(struct server *);

#endif
