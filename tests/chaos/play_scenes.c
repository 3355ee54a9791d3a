/* Scenes that chance alone makes too rarely: a gate that stands open long enough to see who sleeps beside it, one that is shut
 * long enough to see whether its lock comes back after a fault, and one that many want in the same instant. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "chaos/player.h"

enum { SPARE_MS = 3000, TRIES_MAX = 60, LISTEN_MS = 8000, VAULT_TTL_MS = 20000, HEAT_MS = 700, HEAT_TTL_MS = 1500 };

/* A lease over one gate, and what is asked for with it. */
struct lease {
	const char *gate, *terms;
	char token[TOKEN_SIZE], id[MARK_SIZE];
};

static void make_lease(struct player *player, struct lease *lease, const char *gate, const char *terms)
{
	*lease = (struct lease){ .gate = gate, .terms = terms };
	player_token(player, lease->token, lease->id);
}

/* Asks for the gate of the lease what the op says, or for the lease itself where that is what it is about. */
static enum answer ask(struct player *player, const struct lease *lease, struct op op)
{
	static const char *const words[VERBS] = { [VERB_CLOSE] = "close",
		[VERB_PASS] = "pass",
		[VERB_OPEN] = "open",
		[VERB_RENEW] = "renew",
		[VERB_RELEASE] = "release" };
	bool by_id = op.verb == VERB_RENEW || op.verb == VERB_RELEASE,
	     makes = op.verb == VERB_CLOSE || op.verb == VERB_PASS;
	char target[128], form[FORM_SIZE];

	snprintf(op.lease, sizeof(op.lease), "%s", lease->id);
	snprintf(op.gates, sizeof(op.gates), "%s", lease->gate);
	snprintf(target, sizeof(target), "/v1/%s/%s/%s", by_id ? "leases" : "gates", by_id ? lease->id : lease->gate,
		words[op.verb]);
	snprintf(form, sizeof(form), "token=%s%s", lease->token, makes ? lease->terms : "");
	return player_ask(player, &op,
		&(struct asking){ .target = target, .form = form, .patience_ms = (int)op.wait_ms + SPARE_MS });
}

/* Asks until an answer comes. */
static enum answer insist(struct player *player, const struct lease *lease, struct op op)
{
	enum answer answer = ANSWER_UNKNOWN;

	for (int tries = 0; tries < TRIES_MAX && answer == ANSWER_UNKNOWN; tries++) {
		if (tries)
			player_pause(player, 50, 300);
		answer = ask(player, lease, op);
	}
	return answer;
}

/* One deploy after another shuts the bell for a moment, and nobody does in between. */
void play_bell(struct player *player)
{
	struct lease lease;

	make_lease(player, &lease, "bell", "&ttl=2s&wait=2s&drain=2s");
	if (insist(player, &lease, (struct op){ .verb = VERB_CLOSE, .ttl_ms = 2000, .wait_ms = 4000 }) == ANSWER_LIVE)
		player_pause(player, 100, 600);
	insist(player, &lease, (struct op){ .verb = VERB_OPEN });
	player_pause(player, 2500, 4500);
}

/* Comes when the bell is shut, and stays until it opens. */
void play_listener(struct player *player)
{
	struct op check = { .verb = VERB_CHECK, .gates = "bell" };
	struct op wait = { .verb = VERB_WAIT, .gates = "bell", .wait_ms = LISTEN_MS };

	player_pause(player, 20, 150);
	if (player_ask(player, &check, &(struct asking){ .target = "/v1/gates/bell/check", .patience_ms = SPARE_MS }) ==
		ANSWER_SHUT)
		player_ask(player, &wait,
			&(struct asking){
				.target = "/v1/gates/bell/wait?timeout=8s", .patience_ms = LISTEN_MS + SPARE_MS });
}

/* The vault is shut for most of the time, by windows that are renewed. */
void play_guard(struct player *player)
{
	struct lease lease;
	int rounds = player_between(player, 10, 16);

	make_lease(player, &lease, "vault", "&ttl=20s&wait=5s&drain=5s");
	if (insist(player, &lease, (struct op){ .verb = VERB_CLOSE, .ttl_ms = VAULT_TTL_MS, .wait_ms = 10000 }) ==
		ANSWER_LIVE)
		for (; rounds && !player_is_done(player); rounds--) {
			player_pause(player, 1000, 2500);
			insist(player, &lease, (struct op){ .verb = VERB_RENEW, .ttl_ms = VAULT_TTL_MS });
		}
	insist(player, &lease, (struct op){ .verb = VERB_OPEN });
}

/* The lock of the vault, and its end. Unknown: the session was lost, before or over it. */
static enum answer take_lock(struct player *player, const char *mark)
{
	struct statement try = { .sql = "select pg_try_advisory_lock(deploy_gate.key('vault'))",
		.patience_ms = SPARE_MS };
	struct op op = { .verb = VERB_LOCK, .gates = "vault" };
	enum answer answer = ANSWER_UNKNOWN;

	snprintf(op.lease, sizeof(op.lease), "%s", mark);
	player_call(player, &op);
	if (player_run(player, &try))
		answer = try.value[0] == 't' ? ANSWER_LIVE : ANSWER_REFUSED;
	player_done(player, &op, answer);
	return answer;
}

static void drop_lock(struct player *player, const char *mark)
{
	struct statement drop = { .sql = "select pg_advisory_unlock(deploy_gate.key('vault'))",
		.patience_ms = SPARE_MS };
	struct op op = { .verb = VERB_RELEASE, .gates = "vault" };
	bool dropped;

	snprintf(op.lease, sizeof(op.lease), "%s", mark);
	player_call(player, &op);
	dropped = player_run(player, &drop) && drop.value[0] == 't';
	player_done(player, &op, dropped ? ANSWER_ENDED : ANSWER_UNKNOWN);
}

/* Tries the lock of the vault, seldom: a lease whose lock somebody took is contested for a while, and beside that nothing can be
 * told. Nor beside a session that is lost over it: one that was lost since the last time is noticed before, and
 * replaced. */
void play_burglar(struct player *player)
{
	struct statement hello = { .sql = "select 1", .patience_ms = SPARE_MS };
	char mark[MARK_SIZE];

	player_pause(player, 6500, 8000);
	player_run(player, &hello);
	snprintf(mark, sizeof(mark), "burglar-%u-%lld", player->index, player->numbers);
	if (take_lock(player, mark) == ANSWER_LIVE)
		drop_lock(player, mark);
}

/* Returns in an instant that all players have in common. */
static void await_start(void)
{
	int64_t start_ns = (history_now() / (HEAT_MS * MS) + 1) * (HEAT_MS * MS);

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME,
		&(struct timespec){ .tv_sec = start_ns / 1000000000, .tv_nsec = start_ns % 1000000000 }, NULL);
}

void play_racing_deploy(struct player *player)
{
	struct lease lease;

	make_lease(player, &lease, "ring", "&ttl=1500ms&drain=300ms");
	await_start();
	switch (ask(player, &lease, (struct op){ .verb = VERB_CLOSE, .ttl_ms = HEAT_TTL_MS, .wait_ms = 300 })) {
	case ANSWER_LIVE:
		player_pause(player, 50, 150);
		/* fall through */
	case ANSWER_UNKNOWN:
		insist(player, &lease, (struct op){ .verb = VERB_OPEN });
		break;
	default:
		break;
	}
}

void play_racing_job(struct player *player)
{
	struct lease lease;

	make_lease(player, &lease, "ring", "&ttl=1500ms");
	await_start();
	if (ask(player, &lease, (struct op){ .verb = VERB_PASS, .ttl_ms = HEAT_TTL_MS }) != ANSWER_LIVE)
		return;
	player_pause(player, 50, 150);
	insist(player, &lease, (struct op){ .verb = VERB_RELEASE });
}
