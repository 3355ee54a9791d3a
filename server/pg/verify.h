/* verify: what a PostgreSQL session must be like before it is used, and what to change where it is not. */
#ifndef PG_VERIFY_H
#define PG_VERIFY_H

#include <libpq-fe.h>

#include "base/outcome.h"

enum { VERIFY_CLUSTER_MAX = 64 };

/* The start-up options that pin what roles, databases and proxies might change. */
extern const char verify_options[];

/* Judges the one row of the query "verify". On OK writes the cluster as "SYSTEM/TIMELINE". The fault is UNAVAILABLE for what may
 * pass (a standby that may be promoted), FORBIDDEN for what a person has to change. */
MUST_CHECK enum outcome verify_judge(
	const PGconn *, const PGresult *, char cluster[static VERIFY_CLUSTER_MAX], struct fault *);

/* A sentence for a connection that failed: libpq's own, and what to change where a pooler or an old server is the cause. */
void verify_explain_failure(const PGconn *, struct fault *);

#endif
