#include "inside.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "client.h"
#include "clock.h"
#include "keep.h"
#include "lease.h"
#include "nested.h"

int inside_lost(struct client *client, const char *why)
{
	return report_end(&client->report, EXIT_LOST, "lost", "%s", why);
}

void inside_tell(const struct client *client, const struct nested *nested, const struct lease *lease,
	const struct reply *granted)
{
	struct outers outers = nested->outers;
	bool behind = lease->is_pass && nested->window;
	char fence[24];

	outers_add(&outers, lease, behind);
	outers_hand_down(&outers);
	if (behind)
		return;
	snprintf(fence, sizeof(fence), "%" PRId64, json_number(granted->body, "fence", 0));
	outers_tell(lease->gates, fence, client->options.release);
}

/* A lease that was waited for was asked for long ago, and our clock counts from the asking: so it is first seen to live.
 * False: it does not, or it was not seen to for its whole TTL, or a signal came. */
static bool see_alive(struct client *client, struct keep *keep)
{
	int64_t asked_ms = keep->silence.acked_ms, end_ms = clock_ms() + keep->silence.ttl_ms;

	while (!keep->lost && keep->silence.acked_ms == asked_ms && clock_ms() < end_ms) {
		keep_drive(keep, client->signals.fd, end_ms);
		if (client_is_interrupted(client))
			return false;
	}
	return !keep->lost && keep->silence.acked_ms != asked_ms;
}

static int end_unseen(struct client *client, const struct keep *keep)
{
	const struct reply unanswered = { .outcome = OUTCOME_UNAVAILABLE };

	if (!client->interrupted && keep->lost)
		return inside_lost(client, keep->why);
	return client_end(client, &unanswered);
}

void inside_run(struct client *client, const struct lease *lease, const struct reply *granted, struct inside_end *end)
{
	int64_t ttl_ms = json_number(granted->body, "ttl_ms", client->options.ttl_ms);
	struct silence silence = {
		.acked_ms = granted->sent_ms,
		.life_ms = json_number(granted->body, "expires_in_ms", ttl_ms),
		.grace_ms = json_number(granted->body, "grace_ms", 0),
		.ttl_ms = ttl_ms,
	};
	struct keep keep;

	*end = (struct inside_end){ .ended = false };
	keep_init(&keep, client->http, lease, &silence);
	if (clock_ms() - granted->sent_ms > ttl_ms / 6 && !see_alive(client, &keep))
		end->wrap.code = end_unseen(client, &keep);
	else
		wrap_run(client, &keep, &end->wrap);
	end->ended = keep.lost;
	end->overrun = keep.overrun;
	keep_release(&keep);
}
