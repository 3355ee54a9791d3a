#include "chaos/breakages.h"

#include <stddef.h>
#include <string.h>

/* Whatever writes a lease writes this. */
#define BEFORE_WRITING "create function deploy_gate.break_lease() returns trigger language plpgsql as $$\n"
#define EACH_LEASE(when)                                                                                               \
	"create trigger broken before " when " on deploy_gate.lease for each row execute function "                    \
	"deploy_gate.break_lease();\n"

static const char revive[] =
	"alter function deploy_gate.change_renew(jsonb) rename to plain_renew;\n"
	"create function deploy_gate.change_renew(request jsonb, out outcome text, out body json) language plpgsql as "
	"$$\n"
	"declare\n"
	"	l deploy_gate.lease;\n"
	"begin\n"
	"	select * into l from deploy_gate.lease where id = request ->> 'id';\n"
	"	if l.ending = 'expired' then\n"
	"		update deploy_gate.lease set state = case kind when 'pass' then 'inside' else 'closed' end,\n"
	"			ended_at = null, ending = null, aftermath = null, opens_at = null\n"
	"		where id = l.id;\n"
	"		delete from deploy_gate.lease_gate where lease = l.id;\n"
	"		perform deploy_gate.list_gates(l, l.kind);\n"
	"	end if;\n"
	"	select p.outcome, p.body into outcome, body from deploy_gate.plain_renew(request) p;\n"
	"end $$";

static const char reuse_fence[] = BEFORE_WRITING "begin\n"
						 "	if new.kind = 'window' and new.fence is not null and (tg_op = "
						 "'INSERT' or old.fence is null) and random() < 0.2 then\n"
						 "		new.fence := new.fence - 1;\n"
						 "	end if;\n"
						 "	return new;\n"
						 "end $$;\n" EACH_LEASE("insert or update");

static const char keep_no_locks[] =
	BEFORE_WRITING "begin\n"
		       "	new.locked := new.locked or old.locked and new.session <> old.session;\n"
		       "	return new;\n"
		       "end $$;\n" EACH_LEASE("update");

/* One of five windows that a tick finds held. */
static const char unlock_early[] =
	"alter function deploy_gate.unwanted(text[], boolean) rename to plain_unwanted;\n"
	"create function deploy_gate.unwanted(near text[], everything boolean) returns table (key bigint, mode text)\n"
	"language plpgsql as $$\n"
	"begin\n"
	"	return query select * from deploy_gate.plain_unwanted(near, everything)\n"
	"		union select lg.key, 'x' from deploy_gate.lease_gate lg\n"
	"		where lg.role = 'window' and lg.key = any (deploy_gate.held('x')) and random() < 0.2;\n"
	"end $$";

static const char unclaim_all[] =
	"alter function deploy_gate.change_unclaim(jsonb) rename to plain_unclaim;\n"
	"create function deploy_gate.change_unclaim(request jsonb, out outcome text, out body json) language plpgsql "
	"as $$\n"
	"declare\n"
	"	l deploy_gate.lease;\n"
	"begin\n"
	"	select * into l from deploy_gate.lease where id = request ->> 'id' and ended_at is null;\n"
	"	if (l.claim_session, l.claim_request) = (deploy_gate.batch_session(), (request ->> 'claim')::bigint) "
	"then\n"
	"		select p.outcome, p.body into outcome, body from deploy_gate.plain_unclaim(request) p;\n"
	"		return;\n"
	"	elsif l.id is not null then\n"
	"		perform deploy_gate.end_lease(l, 'abandoned', null, 'hung up');\n"
	"	end if;\n"
	"	outcome := 'ok';\n"
	"end $$";

static const char decide_beside_others[] =
	"do $$ begin\n"
	"	execute (select replace(pg_get_functiondef(oid), ' for no key update', '') from pg_proc\n"
	"		where pronamespace = 'deploy_gate'::regnamespace and proname = 'begin');\n"
	"end $$";

const struct breakage breakages[] = {
	{ .name = "revived",
		.says = "a renewal brings back a lease that has expired",
		.sql = revive,
		.faults = "none" },
	{ .name = "fence-reused",
		.says = "one fence in five is that of the window before",
		.sql = reuse_fence,
		.faults = "none" },
	{ .name = "cached",
		.says = "a check may be answered with what was seen up to 1 s ago",
		.in_server = true,
		.faults = "none" },
	{ .name = "unguarded",
		.says = "after a reconnect or a takeover locks are not taken again",
		.sql = keep_no_locks,
		.faults = "restart,backend-dies" },
	{ .name = "asleep", .says = "nobody who waits is woken", .in_server = true, .faults = "none" },
	{ .name = "unlocked-early",
		.says = "locks of live windows are dropped now and then",
		.sql = unlock_early,
		.faults = "none" },
	{ .name = "hang-up",
		.says = "a hang-up takes back what another request has",
		.sql = unclaim_all,
		.faults = "none" },
	{ .name = "no-begin",
		.says = "batches are decided beside each other",
		.sql = decide_beside_others,
		.faults = "none" },
	{ .name = NULL },
};

const struct breakage *breakage_called(const char *name)
{
	for (const struct breakage *breakage = breakages; breakage->name; breakage++)
		if (strcmp(breakage->name, name) == 0)
			return breakage;
	return NULL;
}
