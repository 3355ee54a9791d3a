#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client.h"
#include "clock.h"
#include "command.h"
#include "gates.h"
#include "keep.h"
#include "lease.h"
#include "nested.h"
#include "wrap.h"

/* The lease ended, or may have, before the command did: that goes before the command's own status. */
static int end_lost(struct client *client, const char *why)
{
	return report_end(&client->report, EXIT_LOST, "lost", "%s", why);
}

/* Whether the gate is to be left crashed behind a command that ended like that. */
static bool holds(const struct client *client, int code)
{
	return code != 0 && strcmp(client->options.on_failure, "hold") == 0;
}

/* Opens behind the command. If nobody answers the window lapses by itself within its TTL. */
static int open_again(struct client *client, const struct lease *lease, const struct wrap_end *end)
{
	struct reply reply;
	int code = end->code;

	switch (lease_open(client, lease, holds(client, end->code), &reply)) {
	case OUTCOME_OK:
		break;
	case OUTCOME_GONE:
	case OUTCOME_NOT_HOLDER:
		if (end->started)
			code = end_lost(client, reply.detail);
		break;
	default:
		report_say(&client->report, "the gate could not be opened, and opens when the lease runs out: %s",
			client->interrupted ? "interrupted" : reply.detail);
	}
	reply_release(&reply);
	return code;
}

static void tell_command(const struct client *client, const struct lease *lease, const struct reply *reply)
{
	char fence[24];

	snprintf(fence, sizeof(fence), "%" PRId64, json_number(reply->body, "fence", 0));
	wrap_tell(lease->token, lease->gates, fence, client->options.release);
}

/* Runs the command under the window, acknowledged by what was sent at acked_ms, and opens. */
static int run_inside(struct client *client, const struct lease *lease, int64_t acked_ms)
{
	struct silence silence = {
		.acked_ms = acked_ms,
		.life_ms = client->options.ttl_ms,
		.grace_ms = client->options.grace_ms > 0 ? client->options.grace_ms : 0,
	};
	struct keep keep;
	struct wrap_end end;

	keep_init(&keep, client->http, lease, &silence);
	wrap_run(client, &keep, &end);
	keep_release(&keep);
	if (!end.lost)
		return open_again(client, lease, &end);
	if (!keep.lost) /* ended in silence: others need not wait for the rest of the TTL */
		(void)lease_give_up(client, lease, holds(client, end.code));
	return end_lost(client, end.why);
}

/* The gate is ours. A close that stood in the queue was sent long ago, and our clock counts from the sending: then
 * one renewal first. */
static int begin(struct client *client, const struct lease *lease, const struct reply *closed)
{
	struct reply renewed = { .sent_ms = closed->sent_ms };
	int code;

	tell_command(client, lease, closed);
	if (clock_ms() - closed->sent_ms > client->options.ttl_ms / 6 &&
		lease_renew(client, lease, -1, &renewed) != OUTCOME_OK) {
		code = client_end(client, &renewed);
		(void)lease_give_up(client, lease, false);
	} else {
		code = run_inside(client, lease, renewed.sent_ms);
	}
	reply_release(&renewed);
	return code;
}

/* Closes what is not inside an outer lease, and runs. */
static int deploy(struct client *client, const char *gates)
{
	char token[TOKEN_MADE_LEN + 1];
	struct lease lease;
	struct reply reply;
	int code;

	token_make(token);
	lease_init(&lease, gates, token);
	switch (lease_close(client, &lease, &reply)) {
	case OUTCOME_OK:
	case OUTCOME_MADE:
		code = begin(client, &lease, &reply);
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

	if (nested_look(client, client->options.argument[0], &nested, &reply) != OUTCOME_OK) {
		code = client_end(client, &reply);
	} else if (nested.is_pass && nested.inside) {
		code = report_end(&client->report, EXIT_USAGE, "usage", "cannot close %s from inside a pass of it",
			nested.covered);
	} else if (!nested.todo[0]) {
		wrap_run(client, NULL, &end);
		code = end.code;
	} else if (gates_known_ask(client, client->gates, &code)) {
		code = deploy(client, nested.todo);
	}
	reply_release(&reply);
	return code;
}
