/* callers: kept-alive connections to one server, each with one request under way at most, on one thread and one epoll
 * descriptor. As little as a load generator can do, because it shares the machine with what it measures. */
#ifndef BENCH_CALLERS_H
#define BENCH_CALLERS_H

#include <stdbool.h>
#include <stdint.h>

struct callers;

/* Who answered, what, and when. The reply is good during the call; body is its text. */
struct heard {
	unsigned caller;
	int status;
	const char *body;
	uint64_t sent_ns, at_ns;
};

/* heard() may send the next request of that caller, or of any other that is idle. */
typedef void heard_fn(void *context, const struct heard *);

/* Connects count callers to that port of the loopback; any trouble, then and later, ends the program. */
struct callers *callers_new(uint16_t port, unsigned count, heard_fn *, void *context);
void callers_free(struct callers *);

/* Sends a request: a GET where form is NULL, else a POST of it. */
void callers_send(struct callers *, unsigned caller, const char *path, const char *form);

/* Hands replies on until nothing is under way. */
void callers_run(struct callers *);

/* Monotonic. */
uint64_t now_ns(void);

#endif
