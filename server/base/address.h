/* address: where to listen, as settings write it: "127.0.0.1:7433", "[::1]:0", "localhost:80", "unix:/path". */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "outcome.h"

enum { ADDRESS_TEXT_MAX = 128 };

struct address {
	struct sockaddr_storage at;
	socklen_t size;
};

/* Parses numbers, "localhost" (as 127.0.0.1) and socket paths; looks no name up. OUTCOME_BAD_REQUEST says what is wrong. */
MUST_CHECK enum outcome address_parse(const char *text, struct address *, struct fault *);

/* Whether only this machine can reach it: loopback or a socket file. */
bool address_is_local(const struct address *);

/* Writes it as address_parse reads it. */
void address_format(const struct address *, char text[static ADDRESS_TEXT_MAX]);

#endif
