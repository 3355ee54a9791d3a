/* Requests over HTTP, one at a time, and what their answers mean. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "base/die.h"
#include "base/json.h"
#include "chaos/player.h"

enum { LOOK_PATIENCE_MS = 4000, LOOKS_MAX = 400, TRIES_MAX = 60 };

/* What a refusal means. OPEN by a token that has no window finds nothing; others are merely refused. */
static const struct {
	long status;
	const char *code;
	enum answer answer;
} refusals[] = {
	{ 423, "closed", ANSWER_SHUT },
	{ 423, "full", ANSWER_SHUT },
	{ 410, "gone", ANSWER_ENDED },
	{ 404, "not_found", ANSWER_MISSING },
	{ 409, "held", ANSWER_REFUSED },
	{ 409, "draining", ANSWER_PLACE_KEPT },
	{ 409, "drain_timeout", ANSWER_REFUSED },
	{ 409, "not_holder", ANSWER_MISSING },
	{ 429, "too_many", ANSWER_PLACE_KEPT },
	{ 503, "unavailable", ANSWER_UNKNOWN },
};

static enum answer success(const struct op *op, const cJSON *body)
{
	const char *state = json_text(body, "state");

	switch (op->verb) {
	case VERB_CHECK:
	case VERB_WAIT:
		return ANSWER_OPEN;
	case VERB_CLOSE:
		return state && strcmp(state, "closed") == 0 ? ANSWER_LIVE : ANSWER_ODD;
	case VERB_OPEN:
	case VERB_RELEASE:
	case VERB_FORCE:
		return ANSWER_ENDED;
	case VERB_LOOK:
		return state && strcmp(state, "ended") == 0 ? ANSWER_ENDED : ANSWER_LIVE;
	default:
		return ANSWER_LIVE;
	}
}

static enum answer refusal(const struct op *op, long status, const cJSON *body)
{
	const char *code = json_text(body, "code");

	for (size_t i = 0; code && i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (refusals[i].status == status && strcmp(refusals[i].code, code) == 0)
			return op->verb == VERB_FORCE && refusals[i].answer == ANSWER_MISSING ? ANSWER_REFUSED
											      : refusals[i].answer;
	return ANSWER_ODD;
}

static void copy_text(char *text, size_t size, const cJSON *body, const char *path)
{
	const char *value = json_text(body, path);

	snprintf(text, size, "%s", value ? value : "");
}

/* What an answer says of the lease it is about. */
static void read_lease(struct op *op, const cJSON *lease)
{
	op->fence = op->verb == VERB_CLOSE || op->verb == VERB_PASS ? json_number(lease, "fence", 0) : 0;
	op->left_ms = json_number(lease, "expires_in_ms", 0);
	op->ago_ms = json_number(lease, "ended_ago_ms", 0);
	op->overrun = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(lease, "overrun"));
	copy_text(op->end, sizeof(op->end), lease, "end");
}

static enum answer read_answer(struct op *op, long status, const char *text)
{
	cJSON *body = cJSON_Parse(text), *lease = cJSON_GetObjectItemCaseSensitive(body, "lease");
	enum answer answer = ANSWER_UNKNOWN;

	op->code = status == 200 || status == 201 ? 0 : status;
	op->made = status == 201;
	if (status == 200 || status == 201)
		answer = success(op, body);
	else if (status)
		answer = refusal(op, status, body);
	if (answer == ANSWER_SHUT)
		copy_text(op->by, sizeof(op->by), body, "gate.window.id");
	if (answer == ANSWER_LIVE || answer == ANSWER_ENDED)
		read_lease(op, lease ? lease : body);
	cJSON_Delete(body);
	return answer;
}

/* Half of the clients come by the way that is cut now and then. */
static void set_address(struct player *player, struct op *op, const char *target)
{
	const struct arena *arena = player->crew->arena;
	const struct post *post;
	char url[FORM_SIZE];

	if (!op->at)
		op->at = player_between(player, 1, (int)arena->count);
	post = &arena->posts[op->at - 1];
	snprintf(url, sizeof(url), "%s%s",
		op->verb != VERB_PROBE && player_chance(player, 50) ? post->way.url : post->url, target);
	curl_easy_setopt(player->curl, CURLOPT_URL, url);
}

static size_t take(char *bytes, size_t size, size_t count, void *out)
{
	return fwrite(bytes, size, count, out);
}

static struct curl_slist *set_request(CURL *curl, const struct asking *asking, FILE *out)
{
	struct curl_slist *fields = NULL;
	char field[TOKEN_SIZE + 32];

	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)asking->patience_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
	if (asking->form)
		curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, asking->form);
	if (asking->token) {
		snprintf(field, sizeof(field), "X-Lease-Token: %s", asking->token);
		fields = curl_slist_append(NULL, field);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
	}
	return fields;
}

enum answer player_ask(struct player *player, struct op *op, const struct asking *asking)
{
	char *text = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));
	struct curl_slist *fields;
	enum answer answer;
	CURLcode came;
	long status = 0;

	curl_easy_reset(player->curl);
	set_address(player, op, asking->target);
	fields = set_request(player->curl, asking, out);
	player_call(player, op);
	came = curl_easy_perform(player->curl);
	if (came == CURLE_OK)
		curl_easy_getinfo(player->curl, CURLINFO_RESPONSE_CODE, &status);
	fclose(out);
	answer = read_answer(op, status, text);
	player_done(player, op, asking->keeps_place && answer == ANSWER_REFUSED ? ANSWER_PLACE_KEPT : answer);
	curl_slist_free_all(fields);
	free(text);
	return op->answer;
}

bool player_gets(
	struct player *player, const char *lease, enum answer (*ask)(struct player *, const void *), const void *terms)
{
	for (int tries = 0; tries < TRIES_MAX && !player_is_done(player); tries++) {
		enum answer answer = ask(player, terms);

		if (answer != ANSWER_UNKNOWN && answer != ANSWER_PLACE_KEPT)
			return answer == ANSWER_LIVE;
		if (player_chance(player, 10)) {
			player_watch(player, lease);
			return false;
		}
		player_pause(player, 0, 300);
	}
	return false;
}

enum answer player_look(struct player *player, const char *lease)
{
	struct op op = { .verb = VERB_LOOK };
	char target[96];

	snprintf(op.lease, sizeof(op.lease), "%s", lease);
	snprintf(target, sizeof(target), "/v1/leases/%s", lease);
	return player_ask(player, &op, &(struct asking){ .target = target, .patience_ms = LOOK_PATIENCE_MS });
}

void player_watch(struct player *player, const char *lease)
{
	enum answer answer;

	for (int looks = 0; looks < LOOKS_MAX && !player_is_done(player); looks++) {
		player_pause(player, 200, 500);
		answer = player_look(player, lease);
		if (answer == ANSWER_ENDED || answer == ANSWER_MISSING)
			return;
	}
}
