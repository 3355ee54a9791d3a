#include "support/replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pg/sql.h"

/* The frame of a batch as the server sends it, in one function. The account of held locks is read where the server keeps it. */
static const char frame[] =
	"create schema test;\n"
	"create function test.token(letter text, gates text) returns jsonb language sql as $$\n"
	" select jsonb_build_object('digest', repeat(letter, 64), 'id', repeat(letter, 32), 'claim', 1,\n"
	"  'gates', string_to_array(gates, ','), 'holder', 'holder of ' || letter, 'reason', 'because') $$;\n"
	"create function test.held(me bigint, in_mode text) returns bigint[] language sql volatile as $$\n"
	" select coalesce(array_agg(key), '{}') from (\n"
	"  select (classid::bigint << 32) | objid::bigint as key from pg_locks\n"
	"  where locktype = 'advisory' and granted and pid = pg_backend_pid() and mode = in_mode) held\n"
	" where key <> deploy_gate.prefixed_key('deploy_gate-session:', me::text) $$;\n"
	"create function test.batch(me bigint, kind text, request jsonb) returns text language plpgsql as $$\n"
	"declare\n"
	" came text;\n"
	" told json;\n"
	"begin\n"
	" create temp table if not exists settled\n"
	"  (what text, lease text, outcome text, key bigint, mode text, body json);\n"
	" create temp table if not exists body (body jsonb);\n"
	" truncate settled, body;\n"
	" perform test.begin(me, 0, test.held(me, 'ExclusiveLock')::text, test.held(me, 'ShareLock')::text);\n"
	" execute format('select outcome, body from deploy_gate.change_%s($1)', kind) using request into came, told;\n"
	" insert into settled\n"
	" select * from deploy_gate.settle(coalesce((request ->> 'everything')::boolean, false));\n"
	" insert into body values (coalesce((select s.body from settled s where what = 'close'), told));\n"
	" return coalesce((select outcome from settled where what = 'close'), came);\n"
	"end $$;\n";

const char *replica_query(const char *name)
{
	const struct sql_file *file = sql_queries;

	while (file->name && strcmp(file->name, name) != 0)
		file++;
	assert_non_null(file->name);
	return file->text;
}

void replica_prepare(const struct db *db)
{
	struct psql psql = { 0 };

	psql_open(&psql, db, NULL);
	psql_run(&psql, "set check_function_bodies = off");
	psql_run(&psql, "%s", frame);
	psql_run(&psql,
		"create function test.begin(bigint, bigint, text, text) returns void language sql as $begin$%s$begin$",
		replica_query("begin"));
	psql_close(&psql);
}

void replica_open(struct replica *replica, const struct db *db, const char *name)
{
	psql_open(&replica->psql, db, "application_name=deploy-gated/locks");
	replica->number = psql_number(&replica->psql,
		"select number from deploy_gate.register_locks('process ' || pg_backend_pid(), '%s', '0', 'here')",
		name);
}

void replica_pin_plans(struct replica *replica)
{
	psql_run(&replica->psql,
		"set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off;"
		" set enable_mergejoin = off; set enable_material = off; set enable_bitmapscan = off");
}

const char *replica_decide(struct replica *replica, const char *kind, const char *request)
{
	return psql_value(&replica->psql, "select test.batch(%lld, '%s', %s)", replica->number, kind, request);
}

void replica_drop(struct replica *replica)
{
	if (psql_number(&replica->psql, "select deploy_gate.after()") != 0)
		fail_msg("a lock that was to be dropped was not held");
}

/* The word is kept where it outlives the drop. */
static const char *known_word(const char *word)
{
	static const char *const words[] = { "ok", "made", "queued", "pending", "draining", "held", "gone",
		"token_used", "not_holder", "not_found", "drain_timeout", "frozen", "closed", "full", "too_many" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i]))
			return words[i];
	fail_msg("\"%s\" is not the word of an outcome", word);
	return "";
}

const char *replica_change(struct replica *replica, const char *kind, const char *request, ...)
{
	char text[2048];
	const char *came;
	va_list arguments;

	va_start(arguments, request);
	vsnprintf(text, sizeof(text), request, arguments);
	va_end(arguments);
	came = known_word(replica_decide(replica, kind, text));
	replica_drop(replica);
	return came;
}

const char *replica_close(struct replica *replica, const char *letter, const char *gates, const char *more)
{
	return replica_change(replica, "close", "test.token('%s', '%s') || '%s'", letter, gates, more);
}

const char *replica_pass(struct replica *replica, const char *letter, const char *gates, const char *more)
{
	return replica_change(replica, "pass", "test.token('%s', '%s') || '%s'", letter, gates, more);
}

const char *replica_release(struct replica *replica, const char *letter)
{
	return replica_change(replica, "release", "test.token('%s', '')", letter);
}

const char *replica_end(struct replica *replica, const char *letter, const char *gates)
{
	return replica_change(replica, "open", "test.token('%s', '%s')", letter, gates);
}

const char *replica_tick(struct replica *replica)
{
	return replica_change(replica, "tick", "'{}'");
}

const char *replica_sweep(struct replica *replica)
{
	return replica_change(replica, "tick", "'{\"everything\": true}'");
}
