/* Jobs and questions over HTTP, and the probes that tell when a replica was well. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "chaos/player.h"

enum { SPARE_MS = 3000, TRIES_MAX = 60, PROBE_PATIENCE_MS = 1000, PROBE_PAUSE_MS = 100 };

/* A job's pass. */
struct permit {
	struct op terms;
	char token[TOKEN_SIZE];
	int wait_ms;
};

static enum answer ask_pass(struct player *player, const struct permit *permit)
{
	struct op op = permit->terms;
	char target[128], form[FORM_SIZE];
	int patience_ms = player_chance(player, 10) ? player_between(player, 5, 300) : permit->wait_ms + SPARE_MS;

	snprintf(target, sizeof(target), "/v1/gates/%s/pass", op.gates);
	snprintf(form, sizeof(form), "token=%s&ttl=%lldms&wait=%dms&holder=p%u", permit->token, op.ttl_ms,
		permit->wait_ms, player->index);
	return player_ask(player, &op, &(struct asking){ .target = target, .form = form, .patience_ms = patience_ms });
}

static enum answer ask_for_pass(struct player *player, const void *permit)
{
	return ask_pass(player, permit);
}

/* A renewal, or the release. */
static enum answer ask_again(struct player *player, const struct permit *permit, enum verb verb)
{
	struct op op = { .verb = verb, .ttl_ms = verb == VERB_RENEW ? permit->terms.ttl_ms : 0 };
	char target[128], form[FORM_SIZE];

	snprintf(op.lease, sizeof(op.lease), "%s", permit->terms.lease);
	snprintf(target, sizeof(target), "/v1/leases/%s/%s", op.lease, verb == VERB_RENEW ? "renew" : "release");
	snprintf(form, sizeof(form), "token=%s", permit->token);
	return player_ask(player, &op, &(struct asking){ .target = target, .form = form, .patience_ms = SPARE_MS });
}

static void work_inside(struct player *player, const struct permit *permit)
{
	for (int steps = player_between(player, 0, 3); steps; steps--) {
		player_pause(player, 10, 150);
		switch (player_between(player, 0, 3)) {
		case 0:
			player_look(player, permit->terms.lease);
			break;
		case 1:
			ask_pass(player, permit);
			break;
		default:
			ask_again(player, permit, VERB_RENEW);
		}
	}
}

void play_job(struct player *player)
{
	static const int waits_ms[] = { 0, 1000, 4000, 8000 };
	struct permit permit = { .terms = { .verb = VERB_PASS } };

	player_pause(player, 50, 1200);
	snprintf(permit.terms.gates, GATES_SIZE, "%s", player_jobs_gates(player));
	player_token(player, permit.token, permit.terms.lease);
	permit.terms.ttl_ms = player_between(player, 1500, 4000);
	permit.terms.wait_ms = permit.wait_ms = waits_ms[player_between(player, 0, 3)];
	if (!player_gets(player, permit.terms.lease, ask_for_pass, &permit))
		return;
	work_inside(player, &permit);
	if (player_chance(player, 8)) {
		player_watch(player, permit.terms.lease);
		return;
	}
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		enum answer answer = ask_again(player, &permit, VERB_RELEASE);

		if (answer != ANSWER_UNKNOWN && answer != ANSWER_PLACE_KEPT)
			return;
		player_pause(player, 50, 300);
	}
}

void play_check(struct player *player)
{
	bool waits = player_chance(player, 40);
	struct op op = { .verb = waits ? VERB_WAIT : VERB_CHECK };
	int wait_ms = player_between(player, 100, 6000);
	char target[128];

	snprintf(op.gates, sizeof(op.gates), "%s", player_jobs_gates(player));
	if (waits)
		snprintf(target, sizeof(target), "/v1/gates/%s/wait?timeout=%dms", op.gates, wait_ms);
	else
		snprintf(target, sizeof(target), "/v1/gates/%s/check", op.gates);
	op.wait_ms = waits ? wait_ms : 0;
	player_ask(player, &op, &(struct asking){ .target = target, .patience_ms = (waits ? wait_ms : 0) + SPARE_MS });
	player_pause(player, 10, 150);
}

/* A change at one replica, the same pass again and again, and a check. Well is who answers both soon. */
void play_probe(struct player *player)
{
	struct op op = { .verb = VERB_PROBE, .at = player->replica };
	char target[64], form[FORM_SIZE], gate[32];
	struct asking asking = { .target = target, .form = form, .patience_ms = PROBE_PATIENCE_MS };
	static const struct timespec pause = { .tv_nsec = PROBE_PAUSE_MS * MS };

	snprintf(gate, sizeof(gate), "probe-%u", player->replica);
	snprintf(op.gates, sizeof(op.gates), "%s", gate);
	snprintf(target, sizeof(target), "/v1/gates/%s/pass", gate);
	snprintf(form, sizeof(form), "token=%s-%s-%s-%s&ttl=1h", gate, gate, gate, gate);
	if (player_ask(player, &op, &asking) == ANSWER_LIVE) {
		snprintf(target, sizeof(target), "/v1/gates/%s/check", gate);
		asking.form = NULL;
		player_ask(player, &op, &asking);
	}
	nanosleep(&pause, NULL);
}
