/* keep: keeps a lease alive by renewing it, beside whatever else the loop of the wrapper does.
 * Uses the http alone while it lives: nobody else may send. */
#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "silence.h"

struct http;
struct lease;
struct reply;

struct keep {
	struct http *http;
	char *path, *body; /* of the renewal */
	struct silence silence;
	int64_t ttl_ms, next_ms; /* when the next renewal is due */
	bool asked;		 /* one is under way */
	unsigned failures;	 /* in a row */
	bool lost;		 /* a server said so */
	char why[512];		 /* once lost: its sentence */
};

/* For a lease that was granted by an exchange sent at sent_ms. */
void keep_init(struct keep *, struct http *, const struct lease *, const struct silence *);
void keep_release(struct keep *);

/* Sends a renewal if one is due. */
void keep_tick(struct keep *, int64_t now_ms);

/* What came back. Takes the reply. */
void keep_heard(struct keep *, struct reply *);

#endif
