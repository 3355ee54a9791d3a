/* trade_play: the scene of the trade: real clients that run jobs and deploys, whose commands are this test program itself and
 * write down when they begin and end. What goes wrong here fails the running test. */
#ifndef SUPPORT_TRADE_PLAY_H
#define SUPPORT_TRADE_PLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/stage.h"
#include "support/trade_lines.h"

enum { TRADE_PLAYERS = 16 };	/* clients at once; each has a command */

struct trade {
	struct stage *stage;
	char path[48];		/* of the history */
	char self[256];
	int fd;			/* appends to it */
	uint64_t seed;		/* of what is left to chance; changes */
	unsigned live, started;
	struct trade_player {
		pid_t pid;	/* 0: nobody */
		int output;	/* of the client's standard error */
		struct trade_line about;
		char said[2048];
		size_t size;
		bool is_shut;
	} players[TRADE_PLAYERS];
};

/* One job or deploy. */
struct trade_order {
	const char *name, *gates;
	const char *terms;	/* those of trade_check */
	bool is_deploy;
	int takes_ms;		/* its command; 0: until a deploy ends or breaks it, and then nothing */
	int number;		/* of a job its tries, of a deploy its drain in ms */
};

/* Opens an empty history; keeps it, and says where, or removes it. */
void trade_open(struct trade *, struct stage *, uint64_t seed);
void trade_close(struct trade *, bool keep);

/* Starts a client. There must be room for it. */
void trade_start(struct trade *, const struct trade_order *);

/* Hears what clients say and sees who has ended, for a moment. */
void trade_turn(struct trade *);

/* Until that command has begun; until all have ended. */
void trade_await(struct trade *, const char *name);
void trade_finish(struct trade *);

/* How many deploys are under way. */
unsigned trade_deploys(const struct trade *);

/* Adds what the service knows of the leases of this history, and gives all of it. */
void trade_gather(struct trade *, struct trade_history *);

/* A number from least to most, by chance. */
int trade_chance(struct trade *, int least, int most);

/* The command of a job or deploy, whose words are TRADE_COMMAND HISTORY job|deploy NAME GATES TERMS MS: it writes down that it
 * begins, works for that long, writes down how that ended, and ends the program. main hands its arguments here first;
 * it returns where the program was not called as one. */
#define TRADE_COMMAND "trade"
void trade_as_command(int argc, char **argv);

#endif
