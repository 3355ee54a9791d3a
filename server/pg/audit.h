/* audit: the account of held locks, read again from PostgreSQL where it is in doubt. Advisory locks do not roll back with the
 * transaction that took them.
 * Owned by its batch; in flight from audit_send until done() ran. */
#ifndef PG_AUDIT_H
#define PG_AUDIT_H

#include <stdbool.h>

#include "pg/session.h"

struct account;

struct audit {
	struct flight flight;
	struct session *session;
	struct account *account;
	void *context;
	void (*done)(void *context, bool failed);
};

/* number: that of the session, whose proof of life stays out of the account. */
void audit_send(struct audit *, const char *number);

#endif
