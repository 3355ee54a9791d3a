#include "keep.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/json.h"
#include "clock.h"
#include "http.h"
#include "lease.h"

enum { BACK_OFF_LEAST_MS = 250, BACK_OFF_MOST_MS = 2000, ANSWER_LEAST_MS = 500, ANSWER_MOST_MS = 5000 };

void keep_init(struct keep *keep, struct http *http, const struct lease *lease, const struct silence *silence)
{
	cJSON *body = lease_token_json(lease);

	*keep = (struct keep){ .http = http, .silence = *silence, .ttl_ms = silence->life_ms };
	keep->next_ms = silence_renew_at(silence);
	keep->body = json_print(body);
	if (asprintf(&keep->path, "/v1/leases/%s/renew", lease->id) < 0)
		die("out of memory");
	cJSON_Delete(body);
}

void keep_release(struct keep *keep)
{
	free(keep->path);
	free(keep->body);
}

/* Several tries must fit into what is left before the silence counts. */
static int64_t answer_within(const struct keep *keep)
{
	int64_t answer_ms = keep->ttl_ms / 6;

	if (answer_ms > ANSWER_MOST_MS)
		return ANSWER_MOST_MS;
	return answer_ms < ANSWER_LEAST_MS ? ANSWER_LEAST_MS : answer_ms;
}

void keep_tick(struct keep *keep, int64_t now_ms)
{
	if (keep->asked || keep->lost || now_ms < keep->next_ms)
		return;
	http_send(keep->http,
		&(struct request){
			.method = "POST",
			.path = keep->path,
			.body = keep->body,
			.answer_ms = answer_within(keep),
		});
	keep->asked = true;
}

/* A renewal was acknowledged. Near its max a lease lives shorter than its TTL. */
static void acknowledge(struct keep *keep, const struct reply *reply)
{
	int64_t left_ms = json_number(reply->body, "expires_in_ms", keep->ttl_ms);

	keep->failures = 0;
	keep->silence.acked_ms = reply->sent_ms;
	keep->silence.life_ms = left_ms < keep->ttl_ms ? left_ms : keep->ttl_ms;
	keep->next_ms = silence_renew_at(&keep->silence);
}

/* Nobody answered, or not about the lease: elsewhere, at once the first time. */
static void try_elsewhere(struct keep *keep)
{
	int64_t pause_ms = BACK_OFF_LEAST_MS;

	for (unsigned i = 1; i < keep->failures && pause_ms < BACK_OFF_MOST_MS; i++)
		pause_ms *= 2;
	if (pause_ms > keep->ttl_ms / 8)
		pause_ms = keep->ttl_ms / 8 + 1;
	keep->failures++;
	keep->next_ms =
		http_next_url(keep->http) || keep->failures > 1 ? clock_ms() + clock_jitter(pause_ms) : clock_ms();
}

void keep_heard(struct keep *keep, struct reply *reply)
{
	keep->asked = false;
	switch (reply->outcome) {
	case OUTCOME_OK:
	case OUTCOME_MADE:
		acknowledge(keep, reply);
		break;
	case OUTCOME_GONE:
	case OUTCOME_NOT_FOUND:
	case OUTCOME_NOT_HOLDER:
		keep->lost = true;
		snprintf(keep->why, sizeof(keep->why), "%s",
			reply->detail[0] ? reply->detail : outcome_row(reply->outcome)->title);
		break;
	default:
		try_elsewhere(keep);
	}
	reply_release(reply);
}
