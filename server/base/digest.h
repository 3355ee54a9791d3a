/* digest: SHA-256 of lease tokens, so that a token itself never leaves the process. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "names.h"

/* The SHA-256 of text in hex. Its first LEASE_ID_LEN digits are the public id of the lease of that token. */
void digest_hex(const char *text, char hex[static DIGEST_HEX_LEN + 1]);

#endif
