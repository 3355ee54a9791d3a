/* secret: access tokens and lease tokens in files and in the environment. They appear in no message. */
#ifndef CLIENT_SECRET_H
#define CLIENT_SECRET_H

#include <limits.h>
#include <signal.h>

#include "base/names.h"
#include "base/outcome.h"

/* Files are read to the end of their first line, which may come from a pipe: for that it is waited a minute, with signals as
 * the mask, so that they end the waiting as if nothing had begun yet. */

/* The access token of a file, or without one of DEPLOY_GATE_ACCESS_TOKEN; NULL if there is neither. The result is
 * the caller's (free). BAD_REQUEST says what is wrong with it. */
MUST_CHECK enum outcome access_token_find(const char *file, const sigset_t *signals, char **token, struct fault *);

/* Reads the lease token that is the first line of a file. */
MUST_CHECK enum outcome token_file_read(
	const char *file, const sigset_t *signals, char token[static TOKEN_MAX + 1], struct fault *);

/* A file that is to get a lease token, which waits for that in another one beside it. */
struct token_file {
	char path[PATH_MAX];
	char temporary[PATH_MAX]; /* "": there is none */
};

/* Writes the token into a new file of mode 0600 beside the one of that name, which stays as it is; does nothing
 * without a name. BAD_REQUEST: it could not be written, or is no regular file. */
MUST_CHECK enum outcome token_file_prepare(struct token_file *, const char *name, const char *token, struct fault *);

/* Puts what was prepared in the place of the file. BAD_REQUEST: it cannot be. */
MUST_CHECK enum outcome token_file_place(struct token_file *, const char *token, struct fault *);

/* Removes what was prepared and has not found its place. */
void token_file_drop(struct token_file *);

#endif
