/* player: one client in the chaos, a process of its own that asks one thing after another at random, and writes down what it asks
 * and what it is told. What goes wrong beside that ends the program. */
#ifndef CHAOS_PLAYER_H
#define CHAOS_PLAYER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chaos/arena.h"
#include "chaos/dice.h"
#include "chaos/history.h"

enum { TOKEN_SIZE = 33, FORM_SIZE = 512 };

/* What all players know. */
struct crew {
	const struct arena *arena;	/* its addresses alone */
	const char *path;		/* of the history */
	const char *self;		/* this program, to be the command of a wrapper */
	uint64_t seed;
	int64_t end_ns;			/* no new turn begins after it */
};

struct player {
	const struct crew *crew;
	int fd;				/* of the history, to append to */
	unsigned index;
	long long numbers;		/* of ops so far */
	struct dice dice;
	void *curl;			/* a connection of its own for each request, kept for none */
	struct pg_conn *pg;		/* NULL: not connected */
	char backend[80];		/* which it is, or was: a condition on pg_stat_activity */
	unsigned replica;		/* of a prober, from 1 */
};

void player_init(struct player *, const struct crew *, unsigned index);
void player_release(struct player *);

/* Chance: a number from least to most; true in that many of a hundred cases. */
int player_between(struct player *, int least, int most);
bool player_chance(struct player *, int percent);

/* Whether the time is over; waits for a while, or until it is. */
bool player_is_done(const struct player *);
void player_pause(struct player *, int least_ms, int most_ms);

/* The gates of a deploy, of a job, and of somebody in plain SQL, who names one. */
const char *player_windows_gates(struct player *);
const char *player_jobs_gates(struct player *);
const char *player_gate(struct player *);

/* A fresh token, and the public id of its lease. */
void player_token(struct player *, char token[static TOKEN_SIZE], char lease[static MARK_SIZE]);

/* Begins an op: gives it a number, and writes its line. */
void player_call(struct player *, struct op *);
void player_done(struct player *, struct op *, enum answer);

/* Asks over HTTP what the op is, at a replica by chance unless op->at says which, and writes both lines. The target, without the
 * address, stands for a POST where there is a form, else for a GET; token is sent as X-Lease-Token, NULL for none. Hangs up after
 * patience_ms. */
struct asking {
	const char *target, *form, *token;
	int patience_ms;
	bool keeps_place;		/* a refusal may come before the wait is over */
};
enum answer player_ask(struct player *, struct op *, const struct asking *);

/* Asks for the lease until it is known how it came out, at whichever replica. False: it is not ours, or given up. */
bool player_gets(
	struct player *, const char *lease, enum answer (*ask)(struct player *, const void *terms), const void *terms);

/* Looks at a lease, once or until it is over. */
enum answer player_look(struct player *, const char *lease);
void player_watch(struct player *, const char *lease);

/* Runs one statement in the player's session, which it opens where there is none. value is the first that it gives, "" for none;
 * state its SQLSTATE: "00000" for success, "lost" where the session is gone, or was given up after patience_ms. Whether it was a
 * success. */
enum { VALUE_SIZE = 256, STATE_SIZE = 6 };
struct statement {
	const char *sql;
	int patience_ms;
	char value[VALUE_SIZE], state[STATE_SIZE];
};
bool player_run(struct player *, struct statement *);

/* The scripts: what one turn of each kind of client is. */
void play_deploy(struct player *);
void play_job(struct player *);
void play_check(struct player *);
void play_force(struct player *);
void play_probe(struct player *);
void play_sql(struct player *);
void play_wrapper(struct player *);
void play_bell(struct player *);
void play_listener(struct player *);
void play_guard(struct player *);
void play_burglar(struct player *);
void play_racing_deploy(struct player *);
void play_racing_job(struct player *);

#endif
