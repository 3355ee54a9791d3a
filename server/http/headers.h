/* headers: what of a request's header matters to us, and whether it may be trusted to mean one thing. */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include <stdbool.h>

#include "base/outcome.h"

struct MHD_Connection;
struct listener;

/* Texts are libmicrohttpd's and live as long as the request. NULL for what was not sent. */
struct headers {
	const char *host;
	const char *origin;
	const char *content_length;
	const char *transfer_encoding;
	const char *content_type;
	const char *accept;
	const char *lease_token;
	const char *request_id;		/* only a well-formed one */
};

/* Reads the header. OUTCOME_BAD_REQUEST for what two readers could take for two different things: a field given twice that
 * may stand once, both kinds of length, a blank before a colon, no Host. */
MUST_CHECK enum outcome headers_read(struct headers *, struct MHD_Connection *, const char *version, struct fault *);

/* Whether Host and Origin name us: the listener's own address, this machine, or one of host_names (by commas). Else a web page
 * somewhere, by way of a browser of ours, could speak to us. OUTCOME_FORBIDDEN. */
MUST_CHECK enum outcome headers_check_names(
	const struct headers *, const struct listener *, const char *host_names, struct fault *);

#endif
