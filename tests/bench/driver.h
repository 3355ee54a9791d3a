/* driver: a connection of its own, which sets a scene and looks whether everybody is in place. One request at a time; any
 * trouble ends the program. */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <stdint.h>

#include "callers.h"

struct cJSON;

/* The gate of all scenes. */
#define GATE "/v1/gates/bench-scene"

struct driver {
	struct callers *callers;
	struct cJSON *answer;		/* to its last request */
};

void driver_init(struct driver *, uint16_t port);
void driver_release(struct driver *);

/* Sends a request; waits until it has been answered. */
void driver_send(struct driver *, const char *path, const char *form);
void driver_finish(struct driver *);

/* Asks for the gate until so many wait there; the numbers that can be asked for. */
typedef int64_t driver_count_fn(const struct cJSON *gate);
void driver_until(struct driver *, driver_count_fn *, int64_t wanted);
int64_t driver_jobs(const struct cJSON *gate);
int64_t driver_deploys(const struct cJSON *gate);

/* Sends "close", "open" or "pass" for a token, of a caller. Those that have to wait do. */
void send_verb(struct callers *, unsigned caller, const char *verb, const char *token);

#endif
