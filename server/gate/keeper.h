/* keeper: what may be asked of the gates. The one door between what speaks to clients and what speaks to PostgreSQL;
 * knows no HTTP.
 * Owns a call from the moment it is handed over until its answered() ran or keeper_hang_up() returned; then it is the
 * caller's again. answered() runs from the loop, never from inside the function that hands the call over. */
#ifndef GATE_KEEPER_H
#define GATE_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

struct cJSON;
struct config;
struct gates;
struct keeper;
struct log;
struct task;
struct uv_loop_s;

/* What comes back. Valid only while answered() runs. */
struct answer {
	enum outcome outcome;
	/* A JSON object, or NULL: the lease (OK, MADE), what was read, or the facts of a refusal: {"gate": …} as in
	 * GET /v1/gates/{gate}, {"lease": …} for GONE and TOKEN_USED, {"detail": …} for BAD_REQUEST. */
	const char *body;
	/* A sentence for a person where the body does not tell it all, or NULL. */
	const char *detail;
};

/* What the holder of an attached lease is told. Valid only while told() runs. */
struct news {
	/* attached, renewed, closing, stop or lost; NULL: the lease was not renewed, and nothing is known of it. */
	const char *kind;
	const char *lease;		/* JSON, of so many bytes */
	size_t size;
	uint64_t of_ns;			/* times left count from this uv_hrtime(), which was before they were asked for */
};

struct call {
	void (*answered)(struct call *, const struct answer *);
	/* Of CHANGE_ATTACH alone, once the lease is attached: any number of times before answered(), and as that runs. */
	void (*told)(struct call *, const struct news *);
	struct task *task;		/* the keeper's */
};

/* Each change is one function of the same name in SQL, which takes one JSON object and answers with an outcome word.
 * A "digest" is digest_hex() of the lease's token, an "id" the public id of a lease. All durations are in ms. */
enum change_kind {
	CHANGE_CLOSE,		/* digest gates holder reason release url job ttl_ms max_ms wait_ms drain_ms on_drain on_expiry
				 * grace_ms timeout_ms takeover: OK (same token), MADE, HELD, DRAINING, FROZEN, GONE, TOKEN_USED,
				 * BAD_REQUEST (ttl above the max of the gate) */
	CHANGE_PASS,		/* digest gates holder reason job ttl_ms wait_ms timeout_ms inside (digest of the token that it
				 * acts under): OK (same token), MADE, CLOSED, FULL, NOT_FOUND, GONE, TOKEN_USED */
	CHANGE_OPEN,		/* digest gates outcome("failed") reason: OK, NOT_HOLDER, GONE */
	CHANGE_FORCE_OPEN,	/* gate reason by lease: OK, HELD, NOT_HOLDER, GONE */
	CHANGE_RENEW,		/* id digest ttl_ms: OK, NOT_FOUND, NOT_HOLDER, GONE */
	CHANGE_RELEASE,		/* id digest: OK, NOT_FOUND, NOT_HOLDER, GONE */
	CHANGE_ATTACH,		/* id digest: NOT_FOUND, NOT_HOLDER, GONE; else it is told news, and OK once there is no more: it
				 * is lost, another attach has taken its place, or this replica leaves */
	CHANGE_AMEND,		/* id digest (absent: as admin) reason url max_ms: OK, NOT_FOUND, NOT_HOLDER, GONE */
	CHANGE_SETTINGS,	/* gate limit gap_ms ttl_ms max_ms drain_ms on_drain on_expiry grace_ms, reason by: OK */
	CHANGE_FORGET_SETTINGS,	/* gate, reason by: OK */
	CHANGE_REAP,		/* kind gates older_than_ms (absent: all) reason by: OK {"leases": […]}, those that it ended, oldest
				 * first; once PostgreSQL goes out of reach UNAVAILABLE, and some may have been ended already */
	/* From here on the keeper's own, never asked from outside. */
	CHANGE_RENEW_ATTACHED,
	CHANGE_DETACH,
	CHANGE_UNCLAIM,
	CHANGE_TICK,
	CHANGE_JOBS_WAIT,
	CHANGE_LEAVE,
	CHANGE_FORGET,
	CHANGE_COUNT
};

/* Reads are one function each as well; they take one JSON object and answer OK or NOT_FOUND, if they say no more. */
enum read_kind {
	READ_GATES,		/* prefix after limit: {"gates": […], "next": …} */
	READ_GATE,		/* gate */
	READ_LEASE,		/* id */
	READ_ATTACH,		/* id digest: what CHANGE_ATTACH would answer now, as OK, NOT_FOUND, NOT_HOLDER or GONE */
	READ_EVENTS,		/* gate kind since until after limit: {"events": […], "next": …}, newest first */
	READ_REPLICAS,		/* {"replicas": […]} */
	READ_SETTINGS,		/* gate */
	READ_COUNT
};

struct keeper *keeper_new(struct uv_loop_s *, const struct config *, const struct log *);

/* Once the loop ran dry of it: see keeper_stop. */
void keeper_free(struct keeper *);

/* Connects; goes on reconnecting until keeper_stop. */
void keeper_start(struct keeper *);

/* Answers whatever waits with UNAVAILABLE and refuses what comes, but keeps its sessions. */
void keeper_leave(struct keeper *);

/* Hands its leases to another replica, if there is one, and gives up its sessions. Within 2 s the loop runs dry of it. */
void keeper_stop(struct keeper *);

/* Whether every session is up and verified; if not, why[] says which and why not. */
enum { KEEPER_WHY_MAX = 480 };
bool keeper_ready(const struct keeper *, char why[static KEEPER_WHY_MAX]);

/* One look, at once: OK {"state": "open", "known": …} or CLOSED with the gate. inside is the digest of the lease token that the
 * caller acts under, or NULL. Takes the gates. */
void keeper_check(struct keeper *, struct call *, struct gates *, const char *inside);

/* As keeper_check, but answers OK as soon as all are open at one instant and CLOSED only after timeout_ms. For the list of who
 * waits id, holder and job are copied; the latter may be NULL. Who asks again, here or elsewhere, with the same id and holder
 * waits once. */
struct wait_terms {
	const char *inside, *id, *holder, *job;
	int64_t timeout_ms;
};
void keeper_wait(struct keeper *, struct call *, struct gates *, const struct wait_terms *);

/* A change. An ATTACH stays until its client hangs up or there is no more to tell. A CLOSE waits in the queue, and a PASS before its gates, as wait_ms and timeout_ms say. request is a JSON object;
 * it is taken. */
void keeper_change(struct keeper *, struct call *, enum change_kind, struct cJSON *request);

/* A read of what is committed. request is a JSON object; it is taken. */
void keeper_read(struct keeper *, struct call *, enum read_kind, char *request);

/* The caller does not want the answer any more (its client hung up): answered() will not run. A queued or draining close
 * loses its claim, not its place. */
void keeper_hang_up(struct call *);

#endif
