/* secret: access tokens and lease tokens in files and in the environment. They appear in no message. */
#ifndef CLIENT_SECRET_H
#define CLIENT_SECRET_H

#include "base/names.h"
#include "base/outcome.h"

/* The access token of a file, or without one of DEPLOY_GATE_ACCESS_TOKEN; NULL if there is neither. The result is
 * the caller's (free). BAD_REQUEST says what is wrong with it. */
MUST_CHECK enum outcome access_token_find(const char *file, char **token, struct fault *);

/* Reads the lease token that is the first line of a file. */
MUST_CHECK enum outcome token_file_read(const char *file, char token[static TOKEN_MAX + 1], struct fault *);

/* Writes a lease token into a file of mode 0600. */
MUST_CHECK enum outcome token_file_write(const char *file, const char *token, struct fault *);

#endif
