/* What makes the server that can be broken: functions that the linker puts in the place of the server's own, which go by
 * __real_ then. Each does what it should unless the environment names its breakage. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "gate/waiters.h"
#include "pg/sights.h"
#include "pg/snapshot.h"

enum { NAMES_MAX = 64, NAME_MAX_BYTES = 129, CACHED_MS = 1000, SWEEP_MS = 250 };

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's names
void __real_waiters_wake(struct waiters *, const char *gate);
void __wrap_waiters_wake(struct waiters *, const char *gate);
int __real_uv_timer_start(uv_timer_t *, uv_timer_cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *, uv_timer_cb, uint64_t timeout, uint64_t repeat);
const struct sight *__real_sights_find(const struct sights *, const char *name);
const struct sight *__wrap_sights_find(const struct sights *, const char *name);

static bool is_broken(const char *how)
{
	const char *breakage = getenv("DEPLOY_GATED_BREAKAGE");

	return breakage && strcmp(breakage, how) == 0;
}

/* Asleep: a change wakes nobody, and the sweep, the one timer of that pace, never runs. */

void __wrap_waiters_wake(struct waiters *waiters, const char *gate)
{
	if (!is_broken("asleep"))
		__real_waiters_wake(waiters, gate);
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb run, uint64_t timeout, uint64_t repeat)
{
	if (repeat == SWEEP_MS && is_broken("asleep"))
		return 0;
	return __real_uv_timer_start(timer, run, timeout, repeat);
}

/* Cached: a gate that is shut looks open as long as it was seen so within the last second. */

struct memory {
	char name[NAME_MAX_BYTES];
	uint64_t open_ns;
};

static struct memory *memory_of(const char *name)
{
	static struct memory memories[NAMES_MAX];
	unsigned i = 0;

	while (i < NAMES_MAX - 1 && memories[i].name[0] && strcmp(memories[i].name, name) != 0)
		i++;
	if (!memories[i].name[0])
		snprintf(memories[i].name, NAME_MAX_BYTES, "%s", name);
	return &memories[i];
}

const struct sight *__wrap_sights_find(const struct sights *sights, const char *name)
{
	static const struct sight open = { .state = SIGHT_OPEN, .known = true };
	const struct sight *sight = __real_sights_find(sights, name);
	struct memory *memory;

	if (!is_broken("cached"))
		return sight;
	memory = memory_of(name);
	if (sight->state == SIGHT_OPEN)
		memory->open_ns = uv_hrtime();
	return uv_hrtime() - memory->open_ns < CACHED_MS * 1000000ULL ? &open : sight;
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
