#include "waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "base/advice.h"
#include "base/json.h"
#include "client.h"
#include "clock.h"

/* The first answer comes soon, so that it can be told what is waited for; nginx gives up after 60 s. */
enum { FIRST_SLICE_MS = 1000, SLICE_MS = 30 * 1000, PACE_MS = 1000, KEY_MAX = 256, BRIEF_MAX = 1024 };

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What stays true of a refusal while one waits: no times. */
static void say_briefly(const struct reply *reply, char brief[BRIEF_MAX])
{
	const char *state = json_text(reply->body, "gate.state"), *by = json_text(reply->body, "gate.closed_by");
	const char *holder = json_text(reply->body, "gate.window.holder");
	const char *reason = json_text(reply->body, "gate.window.reason");
	bool is_closed = state && strcmp(state, "closed") == 0;

	if (by && holder && *holder && (is_closed || (state && strcmp(state, "draining") == 0)))
		snprintf(brief, BRIEF_MAX, "%s is %s %s %s%s%s%s", by, state, is_closed ? "by" : "for", holder,
			reason && *reason ? " (" : "", reason ? reason : "", reason && *reason ? ")" : "");
	else
		snprintf(brief, BRIEF_MAX, "%s", reply->detail);
}

/* Tells what is in the way. It is news when another window, or another kind of shutness, is. */
static void tell(struct client *client, struct reply *reply)
{
	const char *state = json_text(reply->body, "gate.state"), *by = json_text(reply->body, "gate.closed_by");
	const char *window = json_text(reply->body, "gate.window.id");
	const struct outcome_row *row = outcome_row(reply->outcome);
	char key[KEY_MAX], brief[BRIEF_MAX];

	snprintf(key, sizeof(key), "%s %s %s %s", row->word, state ? state : "", by ? by : "", window ? window : "");
	advice_drop(reply);
	if (!reply->detail[0])
		snprintf(reply->detail, sizeof(reply->detail), "%s", row->title);
	say_briefly(reply, brief);
	report_waiting(&client->report, key, reply->detail, brief);
}

/* What the service refuses for now. */
static bool is_not_yet(const struct waiting *waiting, const struct reply *reply)
{
	if (outcome_row(reply->outcome)->exit != outcome_row(OUTCOME_HELD)->exit)
		return false;
	return clock_ms() < waiting->deadline_ms || (reply->outcome == OUTCOME_DRAINING && waiting->through_draining);
}

/* After a refusal that came before its time: not again at once. */
static bool pace(struct client *client, const struct waiting *waiting, const struct reply *reply, int64_t slice_ms)
{
	int64_t now_ms = clock_ms(), pause_ms = reply->retry_after_ms ? reply->retry_after_ms : PACE_MS;

	if (now_ms - reply->sent_ms >= slice_ms - PACE_MS / 4)
		return true;
	if (waiting->deadline_ms > now_ms)
		pause_ms = least(pause_ms, waiting->deadline_ms - now_ms);
	return client_pause(client, pause_ms);
}

static bool exchange(struct client *client, struct waiting *waiting, struct reply *reply, int64_t slice_ms)
{
	int64_t left_ms = waiting->deadline_ms - clock_ms();
	struct request request = { .patience_ms = slice_ms };
	bool answered;

	waiting->compose(waiting, &request, left_ms > 0 ? left_ms : 0, slice_ms);
	answered = client_exchange(client, &request, reply);
	free(waiting->text);
	waiting->text = NULL;
	return answered;
}

/* A slice of the time that is left; with nothing left as much as a drain wants. */
static int64_t next_slice(const struct waiting *waiting, int64_t slice_ms)
{
	int64_t left_ms = waiting->deadline_ms - clock_ms();

	if (waiting->through_draining)
		return slice_ms;
	return left_ms < 1 ? 1 : least(left_ms, slice_ms);
}

/* Whether the service lets nobody wait that long with one request. It always does for as long as the first slice. */
static bool is_too_long(const struct reply *reply, int64_t slice_ms)
{
	return reply->outcome == OUTCOME_BAD_REQUEST && slice_ms > FIRST_SLICE_MS &&
		strstr(reply->detail, ADVICE_IN_STEPS);
}

/* From now on, for --reach, but not beyond the end of the waiting, or of the first reach if that is later. */
static struct reach reach_within(const struct client *client, const struct waiting *waiting, int64_t first_end_ms)
{
	struct reach reach = reach_begin(client);
	int64_t last_ms = waiting->deadline_ms > first_end_ms ? waiting->deadline_ms : first_end_ms;

	if (!waiting->through_draining)
		reach.end_ms = least(reach.end_ms, last_ms);
	return reach;
}

enum outcome waiting_ask(struct client *client, struct waiting *waiting, struct reply *reply)
{
	struct reach reach = reach_begin(client);
	int64_t first_end_ms = reach.end_ms;
	int64_t most_ms = SLICE_MS;
	bool first = true;

	for (;; reply_release(reply)) {
		int64_t slice_ms = next_slice(waiting, first ? FIRST_SLICE_MS : most_ms);

		if (!exchange(client, waiting, reply, slice_ms))
			break;
		if (reply->outcome == OUTCOME_UNAVAILABLE) {
			if (!reach_again(client, &reach, reply))
				break;
			continue;
		}
		reach = reach_within(client, waiting, first_end_ms);
		if (is_too_long(reply, slice_ms)) {
			most_ms = slice_ms / 2 > FIRST_SLICE_MS ? slice_ms / 2 : FIRST_SLICE_MS;
			continue;
		}
		if (!is_not_yet(waiting, reply))
			break;
		first = false;
		tell(client, reply);
		if (!pace(client, waiting, reply, slice_ms))
			break;
	}
	return client_asked(client, reply);
}
