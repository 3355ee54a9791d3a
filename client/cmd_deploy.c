#include <string.h>

#include "client.h"
#include "clock.h"
#include "command.h"
#include "gates.h"
#include "inside.h"
#include "lease.h"
#include "nested.h"

enum { LAPSE_MS = 3000 }; /* from the end of a lease until the service has noticed */

/* Whether the gate is to be left crashed behind a command that ended like that. */
static bool holds(const struct client *client, int code)
{
	return code != 0 && strcmp(client->options.on_failure, "hold") == 0;
}

/* How long it is worth trying to open: what opens by itself, once the lease has run out, needs no more. A gate that is to be
 * held does not come to that by itself. */
static int64_t worth_ms(const struct client *client, const struct wrap_end *end)
{
	return holds(client, end->code) ? client->options.reach_ms : end->over_ms - clock_ms() + LAPSE_MS;
}

/* Opens behind the command. If nobody answers the window lapses by itself within its TTL. */
static int open_again(struct client *client, const struct lease *lease, const struct wrap_end *end)
{
	bool held = holds(client, end->code);
	struct reply reply;
	int code = end->code;

	switch (lease_end(client, lease, held, worth_ms(client, end), &reply)) {
	case OUTCOME_OK:
		if (held)
			lease_say_held(client, lease);
		break;
	case OUTCOME_GONE:
	case OUTCOME_NOT_HOLDER:
		if (end->started)
			code = inside_lost(client, reply.detail);
		break;
	default:
		report_say(&client->report, "the gate could not be %s, and opens when the lease runs out: %s",
			held ? "held shut" : "opened", client->interrupted ? "interrupted" : reply.detail);
	}
	reply_release(&reply);
	return code;
}

/* The gate is ours: runs the command, and opens. */
static int run_inside(
	struct client *client, const struct nested *nested, const struct lease *lease, const struct reply *closed)
{
	struct inside_end end;

	inside_tell(client, nested, lease, closed);
	inside_run(client, lease, closed, &end);
	if (!end.ended && end.wrap.started && end.wrap.cause == WRAP_NONE)
		return open_again(client, lease, &end.wrap);
	if (!end.ended) /* others need not wait for the rest of the TTL */
		(void)lease_give_up(client, lease, end.wrap.started && holds(client, end.wrap.code));
	return end.wrap.started ? inside_lost(client, end.wrap.why) : end.wrap.code;
}

/* Closes what is not inside an outer lease, and runs. */
static int deploy(struct client *client, const struct nested *nested)
{
	struct lease lease;
	struct reply reply;
	int code;

	lease_make(&lease, nested->to_close, false);
	switch (lease_close(client, &lease, &reply)) {
	case OUTCOME_OK:
	case OUTCOME_MADE:
		code = run_inside(client, nested, &lease, &reply);
		break;
	default:
		code = client_end(client, &reply);
	}
	reply_release(&reply);
	return code;
}

int cmd_deploy(struct client *client)
{
	struct nested nested;
	struct wrap_end end;
	struct reply reply;
	int code;

	if (nested_look(client, &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else if (nested.in_way) {
		code = report_end(&client->report, EXIT_USAGE, "usage",
			"cannot close %s from inside a pass: it would wait for us", nested.to_close);
	} else if (!nested.to_close[0]) {
		wrap_run(client, NULL, &end);
		code = end.code;
	} else {
		nested_narrow(client, &nested);
		if (gates_known_ask(client, client->gates, &code))
			code = deploy(client, &nested);
	}
	reply_release(&reply);
	return code;
}
