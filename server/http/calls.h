/* calls: from a request whose header and body are there to a call of the keeper. What routes point to. */
#ifndef HTTP_CALLS_H
#define HTTP_CALLS_H

#include "base/outcome.h"

struct request;

/* Each reads the parameters of the route, and replies or hands the request over. Anything but OUTCOME_OK is a refusal. */
MUST_CHECK enum outcome call_check(struct request *, struct fault *);
MUST_CHECK enum outcome call_wait(struct request *, struct fault *);
MUST_CHECK enum outcome call_close(struct request *, struct fault *);
MUST_CHECK enum outcome call_pass(struct request *, struct fault *);
MUST_CHECK enum outcome call_attach(struct request *, struct fault *);
MUST_CHECK enum outcome call_settings(struct request *, struct fault *);
MUST_CHECK enum outcome call_reap(struct request *, struct fault *);
MUST_CHECK enum outcome call_change(struct request *, struct fault *);
MUST_CHECK enum outcome call_read(struct request *, struct fault *);
MUST_CHECK enum outcome call_health(struct request *, struct fault *);
MUST_CHECK enum outcome call_ready(struct request *, struct fault *);

#endif
