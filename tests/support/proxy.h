/* proxy: a network between a client and a server that a test can break: a process that passes bytes on. Ends with the test
 * program at the latest. Whatever goes wrong here fails the running test. */
#ifndef SUPPORT_PROXY_H
#define SUPPORT_PROXY_H

#include <sys/types.h>

struct proxy {
	pid_t pid;		/* 0 while it is cut */
	unsigned port;
	char url[48];		/* http://127.0.0.1:port */
	char target[96];	/* "unix:/path" or "http://127.0.0.1:port" */
};

/* Starts one before the server with that address. */
void proxy_start(struct proxy *, const char *target);

/* Nothing passes any more, and nobody is told; then what was under way goes on. */
void proxy_stall(const struct proxy *);
void proxy_go_on(const struct proxy *);

/* All connections end, and none is taken; then new ones are, at the same port. */
void proxy_cut(struct proxy *);
void proxy_mend(struct proxy *);

/* Ends it. One that was all zeros is left alone. */
void proxy_release(struct proxy *);

#endif
