#include "keep.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "clock.h"
#include "endings.h"
#include "instant.h"
#include "lease.h"

enum {
	BACK_OFF_LEAST_MS = 250,
	BACK_OFF_MOST_MS = 2000,
	ANSWER_LEAST_MS = 500,
	ANSWER_MOST_MS = 5000,
	TICK_MS = 1000,		/* the clock of poll stands still while the machine sleeps, ours does not */
	SILENCE_MOST_MS = 6000, /* the service promises a word each 5 s */
	GRACE_MS = 5000		/* at least, of a window that was ever attached */
};

static bool hear(void *context, const char *piece, size_t size);
static void take_event(void *context, const char *name, const char *data);

void keep_init(struct keep *keep, struct http *http, const struct lease *lease, const struct silence *silence)
{
	*keep = (struct keep){ .http = http, .lease = lease, .silence = *silence };
	keep->listener = (struct listener){ hear, keep };
	sse_init(&keep->sse, take_event, keep);
	keep->renew_body = json_finish(lease_token_json(lease));
	if (asprintf(&keep->renew_path, "/v1/leases/%s/renew", lease->id) < 0 ||
		asprintf(&keep->attach_path, "/v1/leases/%s/attach", lease->id) < 0)
		die("out of memory");
}

void keep_release(struct keep *keep)
{
	if (keep->way != KEEP_NOTHING)
		http_cancel(keep->http);
	keep->way = KEEP_NOTHING;
	sse_release(&keep->sse);
	free(keep->attach_path);
	free(keep->renew_path);
	free(keep->renew_body);
}

/* Several tries must fit into what is left before the silence counts. */
static int64_t answer_within(const struct keep *keep)
{
	int64_t answer_ms = keep->silence.ttl_ms / 6;

	if (answer_ms > ANSWER_MOST_MS)
		return ANSWER_MOST_MS;
	return answer_ms < ANSWER_LEAST_MS ? ANSWER_LEAST_MS : answer_ms;
}

static int64_t word_within(const struct keep *keep)
{
	int64_t word_ms = keep->silence.ttl_ms * 2 / 5;

	return word_ms < SILENCE_MOST_MS ? word_ms : SILENCE_MOST_MS;
}

int64_t keep_due_at(const struct keep *keep)
{
	switch (keep->way) {
	case KEEP_ATTACHING:
		return keep->sent_ms + answer_within(keep);
	case KEEP_ATTACHED:
		return keep->stale ? 0 : keep->heard_ms + word_within(keep);
	case KEEP_RENEWING:
		return INT64_MAX; /* its request has a time of its own */
	case KEEP_NOTHING:
		break;
	}
	return keep->lost ? INT64_MAX : keep->next_ms;
}

static void send_attach(struct keep *keep)
{
	sse_release(&keep->sse);
	sse_init(&keep->sse, take_event, keep);
	keep->way = KEEP_ATTACHING;
	keep->stale = false;
	http_send(keep->http,
		&(struct request){
			.method = "GET",
			.path = keep->attach_path,
			.lease_token = keep->lease->token,
			.answer_ms = answer_within(keep),
			.listener = &keep->listener,
		});
}

static void send_renewal(struct keep *keep)
{
	keep->way = KEEP_RENEWING;
	http_send(keep->http,
		&(struct request){
			.method = "POST",
			.path = keep->renew_path,
			.body = keep->renew_body,
			.answer_ms = answer_within(keep),
		});
}

/* Nobody answered, or not about the lease: elsewhere, at once the first time. */
static void try_elsewhere(struct keep *keep)
{
	int64_t pause_ms = BACK_OFF_LEAST_MS, most_ms = keep->silence.ttl_ms / 8 + 1;

	for (unsigned i = 1; i < keep->failures && pause_ms < BACK_OFF_MOST_MS; i++)
		pause_ms *= 2;
	keep->failures++;
	keep->next_ms = clock_ms();
	if (http_next_url(keep->http) || keep->failures > 1)
		keep->next_ms += clock_jitter(pause_ms < most_ms ? pause_ms : most_ms);
}

/* Gives up a stream that says nothing, or that says what held long ago: that one is asked for again where it was. */
static void give_up_stream(struct keep *keep)
{
	http_cancel(keep->http);
	if (keep->stale) {
		keep->next_ms = clock_ms();
	} else {
		keep->plainly = keep->way == KEEP_ATTACHING;
		try_elsewhere(keep);
	}
	keep->way = KEEP_NOTHING;
}

void keep_tick(struct keep *keep, int64_t now_ms)
{
	if (now_ms < keep_due_at(keep))
		return;
	if (keep->way != KEEP_NOTHING)
		give_up_stream(keep);
	if (now_ms < keep_due_at(keep))
		return;
	keep->sent_ms = clock_ms();
	if (keep->plainly)
		send_renewal(keep);
	else
		send_attach(keep);
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool is_true(const cJSON *object, const char *member)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, member));
}

/* The lease lives on, by what was sent at acked_ms. Near its max it lives shorter than its TTL. */
static void acknowledge(struct keep *keep, const cJSON *lease, int64_t acked_ms)
{
	int64_t left_ms = json_number(lease, "expires_in_ms", keep->silence.ttl_ms);

	keep->failures = 0;
	keep->silence.acked_ms = acked_ms;
	keep->silence.life_ms = left_ms < keep->silence.ttl_ms ? left_ms : keep->silence.ttl_ms;
	keep->max_reached = is_true(lease, "max_reached");
	keep->overrun |= is_true(lease, "overrun");
}

/* An event may have been long on its way. What the service's clock showed when it was written, and what it showed at the
 * first event, which cannot have been written before we asked, tell when at the earliest it was. The later a stream
 * is, or the more that clock is set back, the more this errs on the safe side; if by much, we ask anew. */
static void acknowledge_event(struct keep *keep, const cJSON *lease)
{
	int64_t now_ms = clock_ms(), written_ms, acked_ms = keep->sent_ms;

	if (!instant_parse(json_text(lease, "expires_at"), &written_ms))
		return;
	written_ms -= json_number(lease, "expires_in_ms", 0);
	if (keep->way == KEEP_ATTACHING)
		keep->base_ms = written_ms;
	acked_ms += written_ms - keep->base_ms;
	keep->way = KEEP_ATTACHED;
	keep->plainly = false;
	keep->heard_ms = now_ms;
	keep->stale = now_ms - acked_ms > keep->silence.ttl_ms / 5;
	keep->silence.grace_ms = keep->lease->is_pass ? 0 : most(json_number(lease, "grace_ms", 0), GRACE_MS);
	if (!keep->stale)
		acknowledge(keep, lease, acked_ms < now_ms ? acked_ms : now_ms);
}

/* Whether a deploy waits for us; one may also have given up. */
static void note_closing(struct keep *keep, const cJSON *closing)
{
	const char *holder = json_text(closing, "holder"), *reason = json_text(closing, "reason");
	int64_t left_ms = json_number(closing, "deadline_in_ms", 0);
	char left[DURATION_TEXT_MAX];

	keep->closing = cJSON_IsObject(closing);
	if (!keep->closing)
		return;
	duration_say(left_ms, left);
	snprintf(keep->why, sizeof(keep->why), "a deploy%s%.200s wants in%s%.200s%s%s%s", holder ? " by " : "",
		holder ? holder : "", reason ? " (" : "", reason ? reason : "", reason ? ")" : "",
		left_ms > 0 ? ", and waits for " : "", left_ms > 0 ? left : "");
}

static void note_lost(struct keep *keep, const cJSON *lease)
{
	keep->lost = true;
	keep->handed_back = ending_is_orderly(json_text(lease, "end"));
	ending_say(lease, keep->why, sizeof(keep->why));
}

static void take_event(void *context, const char *name, const char *data)
{
	struct keep *keep = context;
	struct fault unread;
	cJSON *lease;

	if (json_parse(data, strlen(data), &lease, &unread) != OUTCOME_OK)
		return;
	if (strcmp(name, "lost") == 0) {
		note_lost(keep, lease);
	} else {
		acknowledge_event(keep, lease);
		note_closing(keep, cJSON_GetObjectItemCaseSensitive(lease, "closing"));
		keep->stop |= strcmp(name, "stop") == 0 || is_true(lease, "stop");
	}
	cJSON_Delete(lease);
}

static bool hear(void *context, const char *piece, size_t size)
{
	struct keep *keep = context;

	return sse_feed(&keep->sse, piece, size);
}

/* A service that has no streams knows of no such path either; it is asked for a renewal before that is believed. */
static void take_refusal(struct keep *keep, const struct reply *reply, bool attaching)
{
	switch (reply->outcome) {
	case OUTCOME_NOT_FOUND:
		if (attaching) {
			keep->plainly = true;
			keep->next_ms = clock_ms();
			return;
		}
		/* fall through */
	case OUTCOME_GONE:
	case OUTCOME_NOT_HOLDER:
		keep->lost = true;
		keep->handed_back = ending_is_orderly(json_text(reply->body, "lease.end"));
		snprintf(keep->why, sizeof(keep->why), "%s",
			reply->detail[0] ? reply->detail : outcome_row(reply->outcome)->title);
		return;
	default:
		keep->plainly = attaching && reply->status != 0; /* something between us that knows no streams */
		try_elsewhere(keep);
	}
}

void keep_heard(struct keep *keep, struct reply *reply)
{
	enum keep_way way = keep->way;

	keep->way = KEEP_NOTHING;
	if (way == KEEP_RENEWING && reply->outcome == OUTCOME_OK) {
		acknowledge(keep, reply->body, reply->sent_ms);
		keep->plainly = false;
		keep->next_ms = silence_renew_at(&keep->silence);
	} else if (way == KEEP_ATTACHED && reply->outcome == OUTCOME_UNAVAILABLE) {
		try_elsewhere(keep);
	} else {
		take_refusal(keep, reply, way == KEEP_ATTACHING);
	}
	reply_release(reply);
}

void keep_drive(struct keep *keep, int fd, int64_t until_ms)
{
	int64_t now_ms = clock_ms();
	struct reply reply;

	keep_tick(keep, now_ms);
	until_ms = least(least(until_ms, keep_due_at(keep)), now_ms + TICK_MS);
	if (http_drive(keep->http, fd, most(until_ms - now_ms, 0), &reply))
		keep_heard(keep, &reply);
}
