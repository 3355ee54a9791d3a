/* rounds: one change renews all that are attached here, every 2 s; those of short lives by themselves in between, and those near
 * a gate that was announced at once. What it says of each is told after its commit and not before: a stream that merely stands proves nothing. */
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "base/container.h"
#include "base/die.h"
#include "base/json.h"
#include "gate/attached.h"
#include "pg/batch.h"

enum {
	ROUND_MS = 2000,
	PACE_PARTS = 4,			/* a lease is renewed so many times in its time to live … */
	PACE_LEAST_MS = 100,		/* … if that is not more often than this */
	ROUND_MAX = 1000,		/* leases renewed by one change */
	REST_FACTOR = 4,		/* after a change it rests for so many times as long as that took … */
	REST_MAX_MS = 200		/* … but no longer, so that hints by the dozen are not a change each */
};

static void on_timer(uv_timer_t *);

static uint64_t pace_ms(const struct attached *a)
{
	uint64_t pace = a->ttl_ms / PACE_PARTS;

	pace = pace > PACE_LEAST_MS ? pace : PACE_LEAST_MS;
	return pace < ROUND_MS ? pace : ROUND_MS;
}

/* One that cannot wait for the full round shortens the way to the next. */
static void mind_pace(struct attachments *all, const struct attached *a)
{
	uint64_t pace = pace_ms(a), at = uv_now(all->keeper->loop) + pace;

	if (pace < ROUND_MS && at < all->quick_at_ms)
		all->quick_at_ms = at;
}

static uint64_t next_round_ms(const struct attachments *all)
{
	return all->quick_at_ms < all->full_at_ms ? all->quick_at_ms : all->full_at_ms;
}

void rounds_plan(struct attachments *all)
{
	uint64_t now = uv_now(all->keeper->loop), at = next_round_ms(all);

	if (all->request || all->keeper->gone || (!all->count && !all->broken))
		return;
	if (all->due && all->rest_until_ms < at)
		at = all->rest_until_ms;
	if (all->broken && keeper_writes(all->keeper))
		at = now;
	uv_timer_start(&all->timer, on_timer, at > now ? at - now : 0, 0);
}

void rounds_join(struct attached *a)
{
	struct attachments *all = a->task.keeper->attachments;

	TAILQ_INSERT_TAIL(&all->list, a, entry);
	all->count++;
	mind_pace(all, a);
	rounds_plan(all);
}

void rounds_hasten(struct attached *a)
{
	struct attachments *all = a->task.keeper->attachments;

	a->due = all->due = true;
	rounds_plan(all);
}

/* {"streams": {…}}; takes the object. */
static char *request_of(cJSON *streams)
{
	cJSON *request = or_die(cJSON_CreateObject());

	cJSON_AddItemToObject(request, "streams", streams);
	return json_finish(request);
}

static void ask_for(struct attached *a, cJSON *streams)
{
	struct attachments *all = a->task.keeper->attachments;

	a->due = false;
	a->asked = true;
	json_add_text(streams, a->id, a->stream);
	TAILQ_REMOVE(&all->list, a, entry);
	TAILQ_INSERT_TAIL(&all->list, a, entry);
}

/* Those that are due, as far as one change takes them. */
static char *request_due(struct attachments *all)
{
	cJSON *streams = or_die(cJSON_CreateObject());
	struct attached *next;
	int room = ROUND_MAX;

	all->due = false;
	for (struct attached *a = TAILQ_FIRST(&all->list); a && !all->due; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->due && room-- > 0)
			ask_for(a, streams);
		else
			all->due = a->due;
	}
	return request_of(streams);
}

/* How long to leave the writer to others: where one change does not take all, half a round at most is spent so. */
static uint64_t rest_ms(const struct attachments *all, uint64_t took_ms)
{
	uint64_t most = ROUND_MS / 2 / (1 + all->count / ROUND_MAX), rest = REST_FACTOR * took_ms;

	most = most < REST_MAX_MS ? most : REST_MAX_MS;
	return rest < most ? rest : most;
}

/* Those asked for of whom nothing was said: either they are not there any more, or nothing is known. */
static void settle_rest(struct attachments *all, enum outcome outcome)
{
	struct attached *next;

	for (struct attached *a = TAILQ_FIRST(&all->list); a; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (!a->asked)
			continue;
		a->asked = false;
		if (outcome == OUTCOME_OK)
			attached_finish(a);
		else
			attached_stay(a);
	}
}

static void came_out(struct change *change, enum outcome outcome, const char *body)
{
	struct attachments *all = container_of(change, struct attachments, round);
	uint64_t now = uv_now(all->keeper->loop);
	struct line line;

	while (outcome == OUTCOME_OK && body && line_read(&body, &line)) {
		struct attached *a = attached_find(all, line.id);

		/* Another stream may have come in its place since. */
		if (!a || !a->asked)
			continue;
		a->asked = false;
		attached_hear(a, &line, all->asked_ns);
	}
	settle_rest(all, outcome);
	free(all->request);
	all->request = NULL;
	all->rest_until_ms = now + rest_ms(all, now - all->began_ms);
	rounds_plan(all);
}

static void send_round(struct attachments *all)
{
	struct keeper *k = all->keeper;

	all->request = request_due(all);
	all->round = (struct change){ .statement = change_statement(CHANGE_RENEW_ATTACHED),
		.request = all->request,
		.turn = TURN_FIRST,
		.done = came_out };
	/* Time left counts from here: whatever the way there and back takes is the lease's loss, never its gain. */
	all->asked_ns = uv_hrtime();
	all->began_ms = uv_now(k->loop);
	batch_add(k->batch, &all->round);
	keeper_nudge(k);
}

/* The time has come for all of them, or for those that cannot wait so long. */
static void make_due(struct attachments *all)
{
	uint64_t now = uv_now(all->keeper->loop);
	bool full = now >= all->full_at_ms;

	if (full)
		all->full_at_ms = now + ROUND_MS;
	all->quick_at_ms = UINT64_MAX;
	for (struct attached *a = TAILQ_FIRST(&all->list); a; a = TAILQ_NEXT(a, entry)) {
		if (full || pace_ms(a) < ROUND_MS)
			a->due = all->due = true;
		mind_pace(all, a);
	}
}

/* Nothing can be renewed now: the streams stand, and nothing is known. All are due once the session is back. */
static void outlast(struct attachments *all)
{
	all->due = false;
	for (struct attached *a = TAILQ_FIRST(&all->list); a; a = TAILQ_NEXT(a, entry))
		if (a->due)
			attached_stay(a);
	rounds_plan(all);
}

static void tell_broken(struct attachments *all)
{
	keeper_post(all->keeper, CHANGE_DETACH, request_of(all->broken), NULL);
	all->broken = NULL;
}

static void on_timer(uv_timer_t *timer)
{
	struct attachments *all = timer->data;

	if (uv_now(timer->loop) >= next_round_ms(all))
		make_due(all);
	if (!keeper_writes(all->keeper)) {
		outlast(all);
		return;
	}
	if (all->broken)
		tell_broken(all);
	if (all->due && uv_now(timer->loop) >= all->rest_until_ms && all->count)
		send_round(all);
	else
		rounds_plan(all);
}

void rounds_begin_anew(struct keeper *k)
{
	k->attachments->full_at_ms = uv_now(k->loop);
	rounds_plan(k->attachments);
}

void rounds_start(struct keeper *k)
{
	struct attachments *all = k->attachments = or_die(calloc(1, sizeof(*all)));

	all->keeper = k;
	all->quick_at_ms = UINT64_MAX;
	TAILQ_INIT(&all->list);
	uv_timer_init(k->loop, &all->timer);
	all->timer.data = all;
}

void rounds_stop(struct keeper *k)
{
	uv_close((uv_handle_t *)&k->attachments->timer, NULL);
}

void rounds_free(struct keeper *k)
{
	free(k->attachments->request);
	cJSON_Delete(k->attachments->broken);
	free(k->attachments);
}
