/* Deploys over HTTP, and who forces their windows open. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "chaos/player.h"

enum { SPARE_MS = 3000, TRIES_MAX = 60, STOP_MS = 10000 };

/* What a deploy asks for. */
struct deal {
	struct op terms;		/* of its close: gates, lease, ttl and so on */
	char token[TOKEN_SIZE];
	int wait_ms, drain_ms, timeout_ms;
	int patience_ms;		/* 0: as it comes */
};

static void make_deal(struct player *player, struct deal *deal)
{
	static const char *const drains[] = { "abort", "abort", "abort", "proceed", "stop" };
	static const int waits_ms[] = { 0, 0, 500, 2000, 6000 };

	*deal = (struct deal){ .terms = { .verb = VERB_CLOSE } };
	snprintf(deal->terms.gates, GATES_SIZE, "%s", player_windows_gates(player));
	snprintf(deal->terms.drain, WORD_SIZE, "%s", drains[player_between(player, 0, 4)]);
	player_token(player, deal->token, deal->terms.lease);
	deal->wait_ms = waits_ms[player_between(player, 0, 4)];
	deal->drain_ms = player_between(player, 500, 2500);
	deal->timeout_ms = player_chance(player, 15) ? player_between(player, 50, 1500) : 0;
	deal->terms.ttl_ms = player_between(player, 1500, 4000);
	deal->terms.grace_ms = player_chance(player, 20) ? player_between(player, 500, 2000) : 0;
	deal->terms.wait_ms = deal->wait_ms + deal->drain_ms + (strcmp(deal->terms.drain, "stop") == 0 ? STOP_MS : 0);
	deal->terms.holds = player_chance(player, 5);
}

/* Hangs up early now and then, mostly while it waits. */
static int patience(struct player *player, const struct deal *deal)
{
	if (deal->patience_ms)
		return deal->patience_ms;
	if (player_chance(player, 15))
		return player_between(player, 5, 400);
	return deal->wait_ms + deal->drain_ms + SPARE_MS;
}

static enum answer ask_close(struct player *player, const struct deal *deal)
{
	struct op op = deal->terms;
	char target[128], form[FORM_SIZE], timeout[32] = "", grace[32] = "";
	bool bounded = deal->timeout_ms && player_chance(player, 50);

	if (bounded)
		snprintf(timeout, sizeof(timeout), "&timeout=%dms", deal->timeout_ms);
	if (op.grace_ms)
		snprintf(grace, sizeof(grace), "&grace=%lldms", op.grace_ms);
	snprintf(target, sizeof(target), "/v1/gates/%s/close", op.gates);
	snprintf(form, sizeof(form), "token=%s&ttl=%lldms&wait=%dms&drain=%dms&on_drain=%s&on_expiry=%s&holder=p%u%s%s",
		deal->token, op.ttl_ms, deal->wait_ms, deal->drain_ms, op.drain, op.holds ? "hold" : "open",
		player->index, timeout, grace);
	return player_ask(player, &op,
		&(struct asking){ .target = target,
			.form = form,
			.patience_ms = patience(player, deal),
			.keeps_place = bounded });
}

/* Who loses patience: asks once more, and only then hangs up on what was asked first. */
static enum answer ask_close_twice(struct player *player, const struct deal *deal)
{
	struct deal first = *deal;
	enum answer answer;
	pid_t pid = fork();

	if (pid == 0) {
		first.patience_ms = player_between(player, 50, 600);
		ask_close(player, &first);
		_exit(0);
	}
	/* The first has the number that would be next. */
	player->numbers++;
	player_pause(player, 10, 100);
	answer = ask_close(player, deal);
	waitpid(pid, NULL, 0);
	return answer;
}

static enum answer ask_for_window(struct player *player, const void *deal)
{
	return player_chance(player, 20) ? ask_close_twice(player, deal) : ask_close(player, deal);
}

static void ask_renew(struct player *player, const struct deal *deal)
{
	struct op op = { .verb = VERB_RENEW, .ttl_ms = deal->terms.ttl_ms };
	char target[128], form[FORM_SIZE];

	snprintf(op.lease, sizeof(op.lease), "%s", deal->terms.lease);
	snprintf(target, sizeof(target), "/v1/leases/%s/renew", op.lease);
	snprintf(form, sizeof(form), "token=%s&ttl=%lldms", deal->token, op.ttl_ms);
	player_ask(player, &op, &(struct asking){ .target = target, .form = form, .patience_ms = SPARE_MS });
}

/* A check, or a job, under the deploy's own token. */
static void ask_inside(struct player *player, const struct deal *deal, bool with_pass)
{
	struct op op = { .verb = with_pass ? VERB_PASS : VERB_CHECK };
	char target[128], form[FORM_SIZE], token[TOKEN_SIZE] = "";
	const struct asking asking = {
		.target = target, .form = with_pass ? form : NULL, .token = deal->token, .patience_ms = SPARE_MS
	};

	snprintf(op.gates, sizeof(op.gates), "%s", deal->terms.gates);
	snprintf(op.inside, sizeof(op.inside), "%s", deal->terms.lease);
	if (with_pass) {
		player_token(player, token, op.lease);
		op.ttl_ms = 2000;
	}
	snprintf(target, sizeof(target), "/v1/gates/%s/%s", op.gates, with_pass ? "pass" : "check");
	snprintf(form, sizeof(form), "token=%s&ttl=2000ms", token);
	player_ask(player, &op, &asking);
}

static void ask_open(struct player *player, const struct deal *deal, bool failed)
{
	struct op op = { .verb = VERB_OPEN, .holds = failed };
	char target[128], form[FORM_SIZE];
	const struct asking asking = { .target = target, .form = form, .patience_ms = SPARE_MS };

	snprintf(op.gates, sizeof(op.gates), "%s", deal->terms.gates);
	snprintf(op.lease, sizeof(op.lease), "%s", deal->terms.lease);
	snprintf(target, sizeof(target), "/v1/gates/%s/open", op.gates);
	snprintf(form, sizeof(form), "token=%s%s", deal->token, failed ? "&outcome=failed" : "");
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		op.at = 0;
		player_ask(player, &op, &asking);
		if (op.answer != ANSWER_UNKNOWN && op.answer != ANSWER_PLACE_KEPT)
			return;
		player_pause(player, 50, 300);
	}
}

static void work_inside(struct player *player, const struct deal *deal)
{
	for (int steps = player_between(player, 0, 4); steps; steps--) {
		player_pause(player, 10, 200);
		switch (player_between(player, 0, 5)) {
		case 0:
			player_look(player, deal->terms.lease);
			break;
		case 1:
			ask_inside(player, deal, player_chance(player, 40));
			break;
		case 2:
			ask_close(player, deal);
			break;
		default:
			ask_renew(player, deal);
		}
	}
}

void play_deploy(struct player *player)
{
	struct deal deal;

	player_pause(player, 20, 600);
	make_deal(player, &deal);
	if (!player_gets(player, deal.terms.lease, ask_for_window, &deal))
		return;
	work_inside(player, &deal);
	if (!player_chance(player, 12)) {
		ask_open(player, &deal, player_chance(player, 5));
		return;
	}
	/* A deploy that stood still, and goes on when its window is over. */
	player_watch(player, deal.terms.lease);
	player_pause(player, 0, 300);
	ask_renew(player, &deal);
}

/* Force-open of whatever shuts a gate, as somebody does who has looked. */
void play_force(struct player *player)
{
	struct op look = { .verb = VERB_CHECK }, force = { .verb = VERB_FORCE };
	char target[128], form[FORM_SIZE];

	player_pause(player, 300, 2500);
	snprintf(look.gates, sizeof(look.gates), "%s", player_gate(player));
	snprintf(target, sizeof(target), "/v1/gates/%s/check", look.gates);
	player_ask(player, &look, &(struct asking){ .target = target, .patience_ms = SPARE_MS });
	if (!look.by[0])
		return;
	force.at = 0;
	snprintf(force.gates, sizeof(force.gates), "%s", look.gates);
	snprintf(force.lease, sizeof(force.lease), "%s", look.by);
	snprintf(target, sizeof(target), "/v1/gates/%s/force-open", force.gates);
	snprintf(form, sizeof(form), "lease=%s&reason=chaos", force.lease);
	player_ask(player, &force, &(struct asking){ .target = target, .form = form, .patience_ms = SPARE_MS });
}
