#include "pg/audit.h"

#include <libpq-fe.h>

#include "base/container.h"
#include "pg/account.h"
#include "pg/cells.h"

enum { DEADLINE_MS = 10000 };

static void audit_result(struct flight *flight, unsigned index, const PGresult *rows)
{
	struct audit *audit = container_of(flight, struct audit, flight);

	(void)index;
	if (PQresultStatus(rows) != PGRES_TUPLES_OK)
		return;
	account_clear(audit->account);
	for (int i = 0; i < PQntuples(rows); i++)
		account_add(audit->account, cell_number(rows, i, 0, 0), *cell_text(rows, i, 1));
}

static void audit_landed(struct flight *flight, bool arrived)
{
	struct audit *audit = container_of(flight, struct audit, flight);

	audit->done(audit->context, arrived && flight->failed);
}

void audit_send(struct audit *audit, const char *number)
{
	audit->flight = (struct flight){ .deadline_ms = DEADLINE_MS, .result = audit_result, .landed = audit_landed };
	session_fly(audit->session, &audit->flight);
	session_add(audit->session, "held_locks", 1, &number);
	session_depart(audit->session);
}
