/* What happens to the replicas themselves. */
#include <signal.h>
#include <stdlib.h>

#include "chaos/faults.h"
#include "chaos/kinds.h"

static void tell_to_leave(struct strike *strike)
{
	strike_say(strike, "%s", strike_post(strike)->name);
	server_signal(&strike->post->server, SIGTERM);
}

static bool has_left(struct strike *strike)
{
	return strike->post->server.pid > 0 && server_wait(&strike->post->server) == 0;
}

static void end_at_once(struct strike *strike)
{
	strike_say(strike, "%s", strike_post(strike)->name);
	server_signal(&strike->post->server, SIGKILL);
}

static bool has_died(struct strike *strike)
{
	return strike->post->server.pid > 0 && server_wait(&strike->post->server) == 128 + SIGKILL;
}

static void raise_again(struct strike *strike)
{
	arena_raise(strike->arena, strike->post);
}

static void stop_moving(struct strike *strike)
{
	strike_say(strike, "%s", strike_post(strike)->name);
	strike_freeze(strike, strike->post->server.pid);
}

/* It stands still, and so long that its claims do not count any more, or that it was ended. */
static bool is_silent(struct strike *strike)
{
	return strike_is_frozen(strike) &&
		arena_true(strike->arena,
			"select not exists (select from deploy_gate.session where name = '%s' and role = 'locks'"
			" and ended_at is null and stamped_at > clock_timestamp() - interval '5 s')",
			strike->post->name);
}

const struct fault replica_faults[] = {
	{ "replica-leaves", "TERM to a replica, which is started again", NULL, tell_to_leave, has_left, raise_again, 0,
		3000, false },
	{ "replica-dies", "KILL to a replica, which is started again", NULL, end_at_once, has_died, raise_again, 0,
		6000, false },
	{ "replica-pauses", "a replica stands still for up to 3 s", NULL, stop_moving, strike_is_frozen, strike_thaw,
		200, 3000, false },
	{ "replica-hangs", "a replica stands still for over 5 s, so that others go on without it", NULL, stop_moving,
		is_silent, strike_thaw, 500, 4000, false },
	{ .name = NULL },
};
