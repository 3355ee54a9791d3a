#include "chaos/player.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <libpq-fe.h>

#include "base/die.h"
#include "base/digest.h"

enum { NUMBERS_OF_ONE = 100000000, LEASE_DIGITS = 32, CREW_SEEDS = 1000 };

/* A small tree, a set, and a gate of its own; those that are named often are fought for. */
static const char *const windows_gates[] = { "shop", "shop.web", "shop.web.cart", "shop.api", "depot", "mill",
	"depot,mill" };
static const char *const jobs_gates[] = { "shop.web", "shop.web.cart", "shop.web.cart", "shop.api", "depot", "depot",
	"mill", "depot,mill" };
static const char *const gates[] = { "shop.web", "shop.web.cart", "shop.api", "depot", "depot", "mill" };

#define PICK(player, list) (list)[player_between(player, 0, (int)(sizeof(list) / sizeof((list)[0])) - 1)]

void player_init(struct player *player, const struct crew *crew, unsigned index)
{
	*player = (struct player){ .crew = crew, .index = index, .dice = { crew->seed * CREW_SEEDS + index } };
	player->fd = open(crew->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	player->curl = or_die(curl_easy_init());
	if (player->fd < 0)
		die("the history cannot be opened");
}

void player_release(struct player *player)
{
	PQfinish(player->pg);
	curl_easy_cleanup(player->curl);
	close(player->fd);
}

int player_between(struct player *player, int least, int most)
{
	return dice_between(&player->dice, least, most);
}

bool player_chance(struct player *player, int percent)
{
	return dice_between(&player->dice, 1, 100) <= percent;
}

bool player_is_done(const struct player *player)
{
	return history_now() >= player->crew->end_ns;
}

void player_pause(struct player *player, int least_ms, int most_ms)
{
	int64_t ns = player_between(player, least_ms, most_ms) * MS, left_ns = player->crew->end_ns - history_now();

	ns = ns < left_ns ? ns : left_ns;
	if (ns > 0)
		nanosleep(&(struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 }, NULL);
}

const char *player_windows_gates(struct player *player)
{
	return PICK(player, windows_gates);
}

const char *player_jobs_gates(struct player *player)
{
	return PICK(player, jobs_gates);
}

const char *player_gate(struct player *player)
{
	return PICK(player, gates);
}

void player_token(struct player *player, char token[static TOKEN_SIZE], char lease[static MARK_SIZE])
{
	char hex[DIGEST_HEX_LEN + 1];

	snprintf(token, TOKEN_SIZE, "%016llx%016llx", (unsigned long long)dice_roll(&player->dice),
		(unsigned long long)dice_roll(&player->dice));
	digest_hex(token, hex);
	snprintf(lease, MARK_SIZE, "%.*s", LEASE_DIGITS, hex);
}

void player_call(struct player *player, struct op *op)
{
	op->number = player->index * (long long)NUMBERS_OF_ONE + ++player->numbers;
	history_call(player->fd, op);
}

void player_done(struct player *player, struct op *op, enum answer answer)
{
	op->answer = answer;
	history_done(player->fd, op);
}
