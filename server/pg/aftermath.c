#include "pg/aftermath.h"

#include <stdio.h>
#include <string.h>

#include "pg/cells.h"

enum { DEADLINE_MS = 10000 };

static void result(struct flight *flight, unsigned index, const PGresult *rows)
{
	(void)index;
	/* Locks that should have been held and were not: somebody unlocked behind our back, or the account is wrong. */
	flight->failed |= PQresultStatus(rows) != PGRES_TUPLES_OK || cell_number(rows, 0, 0, 1) != 0;
}

static void landed(struct flight *flight, bool arrived)
{
	struct aftermath *after = (struct aftermath *)flight;

	after->in_flight = false;
	after->landed(after->context, after, arrived && flight->failed);
}

void aftermath_init(
	struct aftermath *after, struct session *session, void (*done)(void *, struct aftermath *, bool), void *context)
{
	*after = (struct aftermath){ .session = session, .landed = done, .context = context };
	account_init(&after->drop);
	changes_init(&after->waiting);
}

void aftermath_release(struct aftermath *after)
{
	account_release(&after->drop);
}

void aftermath_drop(struct aftermath *after, int64_t key, char mode)
{
	account_add(&after->drop, key, mode);
}

void aftermath_announce(struct aftermath *after, const char *gate)
{
	size_t used = strlen(after->announcement);

	if (strcmp(after->announcement, "*") == 0)
		return;
	if (used + strlen(gate) > ANNOUNCEMENT_MAX)
		snprintf(after->announcement, sizeof(after->announcement), "*");
	else
		snprintf(after->announcement + used, sizeof(after->announcement) - used, "%s%s", used ? "," : "", gate);
}

void aftermath_clear(struct aftermath *after)
{
	account_clear(&after->drop);
	*after->announcement = 0;
}

void aftermath_send(struct aftermath *after)
{
	after->in_flight = true;
	after->flight = (struct flight){ .deadline_ms = DEADLINE_MS, .result = result, .landed = landed };
	session_fly(after->session, &after->flight);
	session_add(after->session, "after", 0, NULL);
	session_depart(after->session);
}

void aftermath_settle(const struct aftermath *after, struct account *account)
{
	for (size_t i = 0; i < after->drop.count; i++)
		account_remove(account, after->drop.locks[i].key, after->drop.locks[i].mode);
}
