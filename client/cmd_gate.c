#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/duration.h"
#include "base/json.h"
#include "client.h"
#include "command.h"
#include "gates.h"
#include "table.h"

enum { COLUMNS = 3, PATH_MAX_BYTES = 256 };

enum form { COUNT, SPAN, WORD };

/* What a gate may have settings for: its name in requests and tables, in answers, and where the option is. */
static const struct setting {
	const char *name, *member;
	enum form form;
	size_t offset; /* of the member of struct options: int64_t, or const char * of a WORD */
} settings[] = {
	{ "limit", "limit", COUNT, offsetof(struct options, limit) },
	{ "gap", "gap_ms", SPAN, offsetof(struct options, gap_ms) },
	{ "ttl", "ttl_ms", SPAN, offsetof(struct options, ttl_ms) },
	{ "max", "max_ms", SPAN, offsetof(struct options, max_ms) },
	{ "drain", "drain_ms", SPAN, offsetof(struct options, drain_ms) },
	{ "on_drain", "on_drain", WORD, offsetof(struct options, on_drain) },
	{ "on_expiry", "on_expiry", WORD, offsetof(struct options, on_expiry) },
	{ "grace", "grace_ms", SPAN, offsetof(struct options, grace_ms) },
};
enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

/* Whether the command line says one. */
static bool is_asked(const struct options *options, const struct setting *setting)
{
	const char *member = (const char *)options + setting->offset;

	return setting->form == WORD ? *(const char *const *)member != NULL : *(const int64_t *)member >= 0;
}

static bool asks_any(const struct options *options)
{
	for (unsigned i = 0; i < SETTINGS; i++)
		if (is_asked(options, &settings[i]))
			return true;
	return false;
}

static void add_value(cJSON *body, const struct setting *setting, int64_t number, const char *word)
{
	char text[DURATION_TEXT_MAX];

	if (setting->form == COUNT) {
		json_add_number(body, setting->name, number);
		return;
	}
	if (setting->form == SPAN) {
		duration_format(number, text);
		word = text;
	}
	json_add_text(body, setting->name, word);
}

/* The whole set as it is to be: what was asked for, and the rest as it was. was may be NULL: the rest is left out. */
static cJSON *compose(const struct client *client, const cJSON *was)
{
	const struct options *options = &client->options;
	cJSON *body = or_die(cJSON_CreateObject());

	for (unsigned i = 0; i < SETTINGS; i++) {
		const struct setting *setting = &settings[i];
		const char *asked = (const char *)options + setting->offset;
		bool is_word = setting->form == WORD;
		int64_t number = json_number(was, setting->member, -1);
		const char *word = json_text(was, setting->member);

		if (is_asked(options, setting)) {
			word = is_word ? *(const char *const *)asked : NULL;
			number = is_word ? -1 : *(const int64_t *)asked;
		}
		if (word || number >= 0)
			add_value(body, setting, number, word);
	}
	json_add_text(body, "holder", client->holder);
	json_add_text(body, "reason", options->reason);
	return body;
}

/* The value of a setting in an answer, as people write it; "none" for null. */
static void say(char cell[static DURATION_TEXT_MAX], const cJSON *of, const struct setting *setting)
{
	const char *word = json_text(of, setting->member);
	int64_t number = json_number(of, setting->member, -1);

	if (word)
		snprintf(cell, DURATION_TEXT_MAX, "%s", word);
	else if (number < 0)
		snprintf(cell, DURATION_TEXT_MAX, "none");
	else if (setting->form == SPAN)
		duration_format(number, cell);
	else
		snprintf(cell, DURATION_TEXT_MAX, "%" PRId64, number);
}

static void print_settings(const cJSON *answer)
{
	static const char *const heads[COLUMNS] = { "SETTING", "VALUE", "" };
	const cJSON *defaults = cJSON_GetObjectItemCaseSensitive(answer, "defaults");
	struct table table;

	table_init(&table, COLUMNS);
	table_add(&table, heads);
	for (unsigned i = 0; i < SETTINGS; i++) {
		const cJSON *own = cJSON_GetObjectItemCaseSensitive(answer, settings[i].member);
		bool is_set = own && !cJSON_IsNull(own);
		char cell[DURATION_TEXT_MAX];

		say(cell, is_set ? answer : defaults, &settings[i]);
		table_add(&table, (const char *[COLUMNS]){ settings[i].name, cell, is_set ? NULL : "default" });
	}
	table_print(&table);
}

/* Ends with what the service answered. */
static int finish(struct client *client, struct reply *reply)
{
	int code = EXIT_SUCCESS;

	if (reply->outcome != OUTCOME_OK)
		code = client_end(client, reply);
	else if (client->options.json)
		client_print_json(reply->body);
	else if (!client->options.quiet)
		print_settings(reply->body);
	reply_release(reply);
	return code;
}

/* Sends the set by PUT, or for none at all by DELETE. was may be NULL. */
static int change(struct client *client, const char *path, const cJSON *was)
{
	const struct request request = { .method = asks_any(&client->options) ? "PUT" : "DELETE", .path = path };
	struct reply reply;

	client_send(client, &request, compose(client, was), &reply);
	return finish(client, &reply);
}

int cmd_gate(struct client *client)
{
	const struct options *options = &client->options;
	char path[PATH_MAX_BYTES];
	struct reply reply;
	int code;

	snprintf(path, sizeof(path), "/v1/gates/%s/settings", gates_name(client->gates, 0));
	if (client_ask(client, &(struct request){ .method = "GET", .path = path }, &reply) != OUTCOME_OK)
		return finish(client, &reply);
	if (!gates_known(client, gates_name(client->gates, 0), reply.body, &code)) {
		reply_release(&reply);
		return code;
	}
	if (!options->reset && !asks_any(options))
		return finish(client, &reply);
	code = change(client, path, options->reset ? NULL : reply.body);
	reply_release(&reply);
	return code;
}
