/* migrate: brings the database to the schema and the functions of this release, before the loop starts. It may block. */
#ifndef PG_MIGRATE_H
#define PG_MIGRATE_H

#include <stdint.h>

#include "base/outcome.h"

struct log;

/* Looks for the database for up to timeout_ms, verifies it as a session does, and migrates under a lock that other replicas
 * respect. UNAVAILABLE: none was found in time. FORBIDDEN: it must not be used, or not with these rights; says what to change. */
MUST_CHECK enum outcome migrate(const char *database, int64_t timeout_ms, const struct log *, struct fault *);

/* The same look without the migration: whether the database can be used. */
MUST_CHECK enum outcome migrate_check(const char *database, int64_t timeout_ms, const struct log *, struct fault *);

#endif
