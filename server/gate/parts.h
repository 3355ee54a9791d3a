/* parts: what the files of the keeper share. A task is one call while the keeper has it; each kind of task has a file of its own.
 * If you add a kind, also give it a row of verbs. */
#ifndef GATE_PARTS_H
#define GATE_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include <cjson/cJSON.h>

#include "base/names.h"
#include "gate/keeper.h"
#include "pg/account.h"
#include "pg/session.h"

struct attachments;
struct batch;
struct cJSON;
struct change;
struct clearing;
struct reads;
struct snapshot;
struct steps;
struct waiters;

struct task_verbs {
	void (*hang_up)(struct task *);		/* the call is gone: end, now or when the answer is there */
	void (*leave)(struct task *);		/* this replica leaves: answer what waits with UNAVAILABLE */
	void (*sweep)(struct task *);		/* look again, in case a hint was lost; may be NULL */
	void (*release)(struct task *);		/* free what hangs off it, and itself */
};

struct task {
	const struct task_verbs *verbs;
	struct keeper *keeper;
	struct call *call;			/* NULL once the client hung up, or for what nobody asked */
	uv_timer_t *timer;			/* made when first needed: most checks never need one */
	TAILQ_ENTRY(task) entry;
};

TAILQ_HEAD(task_list, task);

enum seat { SEAT_LOCKS, SEAT_READS, SEAT_LISTEN, SEAT_COUNT };

/* A session and its registration. */
struct member {
	struct keeper *keeper;
	enum seat seat;
	struct session *session;
	struct flight registration;
	char why[SESSION_WHY_MAX];
	int64_t number, locks_max;		/* of the locks session */
	bool waits;				/* to be registered, which has been said */
	uv_timer_t again;
};

struct keeper {
	struct uv_loop_s *loop;
	const struct config *config;
	const struct log *log;
	char replica[TOKEN_MADE_LEN + 1];	/* random word of this process */
	char host[256];
	struct member members[SEAT_COUNT];
	struct account account;
	struct batch *batch;
	struct snapshot *snapshot;
	struct reads *reads;
	struct waiters *waiters;
	struct steps *steps;
	struct attachments *attachments;
	struct task_list tasks;			/* oldest first */
	void *noted;				/* ids of windows of which the rows know that jobs wait: a tree of search.h */
	unsigned noted_count;
	uv_idle_t idle;				/* runs while there is something to send */
	uv_timer_t tick, sweep, forget;
	struct change *ticking;			/* the tick under way */
	struct clearing *clearing;		/* the look under way at what the locks session waits for */
	char *touch;				/* gates that others announced, by commas, for the next tick */
	char *reported;				/* the waiting jobs as last told to the rows */
	unsigned places;			/* of passes whose client left, and may be back */
	unsigned in_line;			/* passes that wait at a gate's limit */
	int64_t last_claim;
	uint64_t hints;				/* how often gates were announced so far */
	bool leaving, gone;
	uv_timer_t parting;			/* bounds the handing over */
};

/* Something was added to the batch, the snapshot or the reads: it is sent before the loop sleeps. */
void keeper_nudge(struct keeper *);

/* Whether changes, or looks and reads, can be answered now. */
bool keeper_writes(const struct keeper *);
bool keeper_reads(const struct keeper *);

/* Starts and ends a task. task_answer ends it too; the answer goes nowhere where the call is gone. */
void task_start(struct task *, struct keeper *, const struct task_verbs *, struct call *);
void task_end(struct task *);
void task_answer(struct task *, enum outcome, const char *body, const char *detail);
/* Answers, that nothing is known or something else, and leaves the task to find its own end. */
void task_abandon(struct task *);
void task_answer_alone(struct task *, enum outcome, const char *body, const char *detail);
/* One timer a task: setting it anew forgets what it was set to. Its data is the task. */
void task_wake_in(struct task *, uint64_t ms, uv_timer_cb);
void task_sleep(struct task *);
extern const char task_unreachable[];		/* the sentence for UNAVAILABLE */
extern const char task_unknown[];
extern const char task_leaving[];

/* A change that no client waits for, and so is asked for until it is done; request is taken. done may be NULL. */
void keeper_post(struct keeper *, enum change_kind, char *request, void (*done)(struct keeper *));

/* asking */
const char *change_statement(enum change_kind);

/* Its plain statement, where the request asks for one gate without ancestors and for nothing out of the ordinary; else NULL. */
const char *change_plain_statement(enum change_kind, const cJSON *request);

/* The same request with one member more, which is true; takes it. */
char *request_mark(char *request, const char *name);

/* The gates of a request that has come past the door; the result is the caller's (free). */
struct gates *gates_of_list(const struct cJSON *);

/* closing: the tasks behind CHANGE_CLOSE; terms are taken. */
void closing_start(struct keeper *, struct call *, cJSON *terms);

/* attached: the tasks behind CHANGE_ATTACH; terms are taken. rounds: what renews them, in the keeper's life and anew whenever the
 * locks session has come back. */
void attached_start(struct keeper *, struct call *, cJSON *terms);
void rounds_start(struct keeper *);
void rounds_begin_anew(struct keeper *);
void rounds_stop(struct keeper *);
void rounds_free(struct keeper *);

/* ticking: expiry, stamps, the sweep and what others announced. */
void ticking_start(struct keeper *);
void ticking_stop(struct keeper *);
void ticking_soon(struct keeper *, uint64_t ms);
/* The locks session has a row of its own now, which knows of nobody who waits here. */
void ticking_begin_anew(struct keeper *);
void ticking_hear(struct keeper *, const char *gates, bool from_others);

/* clearing: looks into what is in the way of the locks session, where it does not get on. */
void clearing_sweep(struct keeper *);

/* looking: which windows are known to have jobs waiting behind them is forgotten. */
void looking_forget(struct keeper *);

/* jobs: those that wait here, as JSON by gate. The result is the caller's (free). */
char *jobs_report(const struct keeper *);

/* passing: the tasks behind CHANGE_PASS; terms are taken. */
void passing_start(struct keeper *, struct call *, cJSON *terms);

/* reaping: the tasks behind CHANGE_REAP; terms are taken. */
void reaping_start(struct keeper *, struct call *, cJSON *terms);

/* membership: the three sessions. */
void members_init(struct keeper *);
void members_start(struct keeper *);
void members_stop(struct keeper *);
void members_free(struct keeper *);

#endif
