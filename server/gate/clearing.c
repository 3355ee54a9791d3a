/* clearing: while the locks session does not get on, the reads session looks into what is in its way. */
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "base/log.h"
#include "gate/parts.h"
#include "pg/batch.h"
#include "pg/reads.h"

struct clearing {
	struct read read;
	struct keeper *keeper;
	char request[32];
};

static void looked(struct read *read, enum outcome outcome, const char *body)
{
	struct clearing *c = container_of(read, struct clearing, read);
	cJSON *found = outcome == OUTCOME_OK && body ? cJSON_Parse(body) : NULL;
	const cJSON *pid;

	cJSON_ArrayForEach (pid, cJSON_GetObjectItemCaseSensitive(found, "ended")) {
		log_write(c->keeper->log, LOG_WARN, "backend_ended", "pid", LOG_NUMBER(pid->valueint), "why",
			"its replica stopped in the middle of sending a batch", NULL);
	}
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(found, "awaits_standby")))
		batch_bear(c->keeper->batch);
	cJSON_Delete(found);
	c->keeper->clearing = NULL;
	free(c);
}

void clearing_sweep(struct keeper *k)
{
	int pid = session_pid(k->members[SEAT_LOCKS].session);
	struct clearing *c;

	if (k->clearing || !pid || !keeper_reads(k) || (keeper_writes(k) && !batch_held_up(k->batch)))
		return;
	c = or_die(calloc(1, sizeof(*c)));
	c->keeper = k;
	snprintf(c->request, sizeof(c->request), "{\"pid\":%d}", pid);
	c->read = (struct read){ .statement = "clear_way", .request = c->request, .done = looked };
	k->clearing = c;
	reads_add(k->reads, &c->read);
	keeper_nudge(k);
}
