/* clients: the connections there are, and how long each may take for what it is doing. libmicrohttpd knows inactivity only,
 * which a byte now and then keeps away; the deadlines here are absolute. */
#ifndef HTTP_CLIENTS_H
#define HTTP_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "http/reply.h"

struct listener;
struct request;

enum client_phase {
	CLIENT_HEADER,			/* has begun a request, or could since it connected */
	CLIENT_BODY,
	CLIENT_BUSY,			/* waits for us */
	CLIENT_REPLY,			/* is to take our answer */
	CLIENT_IDLE,			/* between two requests */
	CLIENT_CUT			/* was cut, and stays so until it is removed */
};

struct client {
	TAILQ_ENTRY(client) entry;
	const struct listener *listener;	/* that it came in by */
	int fd;					/* libmicrohttpd's */
	enum client_phase phase;
	uint64_t since_ms;			/* when the phase began, by the loop's clock */
	struct request *waiting;		/* that is to know when it hangs up, or NULL */
	bool watched;				/* known to the watch */
	struct reply_kept kept;
};

TAILQ_HEAD(client_list, client);

struct clients {
	struct client_list list;
	unsigned count;
};

void clients_init(struct clients *);

/* A new one, in the phase of the header; NULL if there is no memory. */
struct client *clients_add(struct clients *, const struct listener *, int fd, uint64_t now_ms);

void clients_remove(struct clients *, struct client *);

void client_enter(struct client *, enum client_phase, uint64_t now_ms);

/* Cuts those whose time for their phase is over: libmicrohttpd then finds them hung up. */
void clients_sweep(struct clients *, uint64_t now_ms);

/* Cuts clients, so many at most, to make room: those that have been idle for longest; then those that have been sending a
 * request, or taking an answer, for longest, and for a while. False if there is none: the others wait for us. */
bool clients_make_room(struct clients *, unsigned most, uint64_t now_ms);

#endif
