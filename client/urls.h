/* urls: where the service may be found, in the order in which to try. */
#ifndef CLIENT_URLS_H
#define CLIENT_URLS_H

#include <stdbool.h>

#include "base/outcome.h"

enum { URLS_MAX = 8 };

struct urls {
	unsigned count;
	struct url {
		char *base;   /* "http://host:port", without a slash at the end; "http://localhost" for a socket */
		char *socket; /* path of a socket, or NULL */
		bool local;   /* a socket or loopback: no proxy, and secrets may go in plain */
		bool plain;   /* not encrypted */
	} at[URLS_MAX];
};

/* Parses "http://a:7433,https://b,unix:/run/gate". The result is the caller's (urls_release). BAD_REQUEST says which is
 * wrong and why. */
MUST_CHECK enum outcome urls_parse(const char *text, struct urls *, struct fault *);

void urls_release(struct urls *);

/* As a person wrote it: the base, or unix:/path. text is for the composing. */
const char *url_say(const struct url *, char text[static 256]);

#endif
