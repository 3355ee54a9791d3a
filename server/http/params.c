#include "http/params.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/die.h"
#include "base/digest.h"
#include "base/distance.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/names.h"
#include "http/decode.h"
#include "http/moment.h"

void params_init(struct params *params, const struct param *table)
{
	*params = (struct params){ .table = table };
}

static size_t rows_of(const struct param *table)
{
	size_t rows = 0;

	while (table[rows].name)
		rows++;
	return rows;
}

void params_release(struct params *params)
{
	for (size_t i = 0; params->values && params->table[i].name; i++)
		free(params->values[i]);
	free(params->values);
	free(params->format);
	params->values = NULL;
	params->format = NULL;
}

static const struct param *find_row(const struct params *params, const char *name)
{
	for (const struct param *row = params->table; row->name; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}

int params_knows(const struct params *params, const char *name)
{
	return find_row(params, name) != NULL;
}

const char *params_value(const struct params *params, const char *name)
{
	const struct param *row = find_row(params, name);

	if (strcmp(name, "format") == 0)
		return params->format;
	return row && params->values ? params->values[row - params->table] : NULL;
}

/* Says that there is no such parameter, and which one may have been meant, or which there are. */
static enum outcome unknown_name(const struct params *params, const char *name, struct fault *fault)
{
	const char *nearest = NULL;
	unsigned least = 3;
	char list[300] = "";
	size_t length = 0;

	for (const struct param *row = params->table; row->name; row++) {
		unsigned away = word_distance(row->name, name);

		if (away < least) {
			least = away;
			nearest = row->name;
		}
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s, ", row->name);
		length = length < sizeof(list) ? length : sizeof(list) - 1;
	}
	if (nearest)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%.60s: there is no such parameter; did you mean %s?",
			name, nearest);
	return fault_set(
		fault, OUTCOME_BAD_REQUEST, "%.60s: there is no such parameter here; there are: %sformat", name, list);
}

/* Where the value of that name belongs, which is still free; NULL with the fault if there is no such place. */
static char **find_place(struct params *params, const char *name, struct fault *fault)
{
	const struct param *row = find_row(params, name);
	char **place = &params->format;

	if (strcmp(name, "format") != 0) {
		if (!row) {
			unknown_name(params, name, fault);
			return NULL;
		}
		if (!params->values)
			params->values = or_die(calloc(rows_of(params->table), sizeof(char *)));
		place = &params->values[row - params->table];
	}
	if (!*place)
		return place;
	fault_set(fault, OUTCOME_BAD_REQUEST, "%s: given twice", name);
	return NULL;
}

enum outcome params_add(struct params *params, const char *name, const char *value, struct fault *fault)
{
	char **place = find_place(params, name, fault);

	if (!place)
		return fault->outcome;
	if (place == &params->format && strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "format: \"%.40s\" is neither json nor text", value);
	*place = or_die(strdup(value));
	return OUTCOME_OK;
}

/* Reads name=value&name=value …, decoding in place. */
static enum outcome read_pairs(struct params *params, char *text, bool in_query, struct fault *fault)
{
	enum outcome outcome = OUTCOME_OK;

	for (char *next; text && outcome == OUTCOME_OK; text = next) {
		char *value;

		next = strchr(text, '&');
		if (next)
			*next++ = '\0';
		if (*text == '\0')
			continue;
		value = strchr(text, '=');
		if (value)
			*value++ = '\0';
		outcome = decode_percent("name of a parameter", text, true, fault);
		if (outcome == OUTCOME_OK && in_query && (strcmp(text, "token") == 0 || strcmp(text, "secret") == 0))
			return fault_set(fault, OUTCOME_BAD_REQUEST,
				"%s: not in the query string, where it would land in logs; send it in the body%s", text,
				strcmp(text, "token") == 0 ? ", or as X-Lease-Token" : "");
		if (outcome == OUTCOME_OK && value)
			outcome = decode_percent(text, value, true, fault);
		if (outcome == OUTCOME_OK)
			outcome = params_add(params, text, value ? value : "", fault);
	}
	return outcome;
}

enum outcome params_read_query(struct params *params, char *query, struct fault *fault)
{
	return read_pairs(params, query, true, fault);
}

enum outcome params_read_form(struct params *params, char *form, struct fault *fault)
{
	const char *first = form + strspn(form, " \t\r\n");

	if (*first == '{' || strncasecmp(first, "%7B", 3) == 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"the body looks like JSON but was sent as a form: add the header Content-Type: "
			"application/json");
	return read_pairs(params, form, false, fault);
}

bool params_ask_for_text(const char *query)
{
	static const char asks[] = "format=text";
	const size_t length = sizeof(asks) - 1;

	for (; query; query = strchr(query, '&')) {
		query += *query == '&';
		if (strncmp(query, asks, length) == 0 && (query[length] == '&' || query[length] == '\0'))
			return true;
	}
	return false;
}

static enum outcome read_member(struct params *params, const cJSON *member, struct fault *fault)
{
	const struct param *row = find_row(params, member->string);
	enum outcome outcome;
	char *text;

	if (cJSON_IsString(member))
		return params_add(params, member->string, member->valuestring, fault);
	if (!row)
		return unknown_name(params, member->string, fault);
	if (!(cJSON_IsBool(member) && row->type == PARAM_BOOL) &&
		!(cJSON_IsNumber(member) && (row->type == PARAM_NUMBER || row->type == PARAM_DURATION)))
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: must be %s", row->name,
			row->type == PARAM_BOOL		? "true or false"
				: row->type == PARAM_NUMBER ? "a number"
							    : "a string");
	text = json_print(member);
	outcome = params_add(params, member->string, text, fault);
	free(text);
	return outcome;
}

enum outcome params_read_json(struct params *params, const char *body, size_t size, struct fault *fault)
{
	cJSON *object;
	enum outcome outcome = json_parse(body, size, &object, fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	if (!cJSON_IsObject(object))
		outcome = fault_set(fault, OUTCOME_BAD_REQUEST, "the body must be a JSON object: {\"reason\": \"…\"}");
	for (const cJSON *member = object->child; member && outcome == OUTCOME_OK; member = member->next)
		outcome = read_member(params, member, fault);
	cJSON_Delete(object);
	return outcome;
}

static enum outcome fill_text(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	enum outcome outcome =
		row->type == PARAM_URL ? url_check(row->name, value, fault) : text_check(row->name, value, fault);

	if (outcome == OUTCOME_OK)
		json_add_text(object, row->key, value);
	return outcome;
}

static enum outcome fill_token(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	enum outcome outcome = token_check(value, fault);
	char digest[DIGEST_HEX_LEN + 1];

	if (outcome != OUTCOME_OK)
		return outcome;
	digest_hex(value, digest);
	json_add_text(object, row->key, digest);
	return OUTCOME_OK;
}

static enum outcome fill_duration(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	int64_t ms = 0;
	enum outcome outcome = duration_parse(row->name, value, row->marks & PARAM_ZERO_OK, &ms, fault);

	if (outcome == OUTCOME_OK)
		json_add_number(object, row->key, ms);
	return outcome;
}

static enum outcome fill_gate(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	enum outcome outcome = gate_name_check(value, fault);

	if (outcome == OUTCOME_OK)
		json_add_text(object, row->key, value);
	return outcome;
}

static enum outcome fill_gates(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	struct gates *gates;
	enum outcome outcome = gates_parse(value, &gates, fault);

	if (outcome != OUTCOME_OK)
		return outcome;
	json_add_gates(object, row->key, gates);
	free(gates);
	return OUTCOME_OK;
}

static enum outcome fill_bool(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	int truth = strcmp(value, "true") == 0;

	if (!truth && strcmp(value, "false") != 0)
		return fault_set(
			fault, OUTCOME_BAD_REQUEST, "%s: \"%.40s\" is neither true nor false", row->name, value);
	json_add_bool(object, row->key, truth);
	return OUTCOME_OK;
}

static enum outcome fill_number(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || number < row->low || number > row->high)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: \"%.40s\" is not a whole number from %" PRId64 " to %" PRId64, row->name, value, row->low,
			row->high);
	json_add_number(object, row->key, number);
	return OUTCOME_OK;
}

static enum outcome fill_time(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	if (!moment_is_valid(value))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: \"%.40s\" is not a time: write 2024-05-31T14:30:00Z or 2024-05-31T14:30:00%%2B02:00 "
			"(a plus in a query string is %%2B)",
			row->name, value);
	json_add_text(object, row->key, value);
	return OUTCOME_OK;
}

static enum outcome fill_word(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	size_t length = strlen(value);

	for (const char *word = row->words; word; word = strchr(word, '|')) {
		word += *word == '|';
		if (strcspn(word, "|") == length && memcmp(word, value, length) == 0) {
			json_add_text(object, row->key, value);
			return OUTCOME_OK;
		}
	}
	return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: \"%.40s\" is none of %s", row->name, value, row->words);
}

static enum outcome fill_id(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	if (strlen(value) != LEASE_ID_LEN || strspn(value, "0123456789abcdef") != LEASE_ID_LEN)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%s: \"%.40s\" is not the id of a lease, which has %d hex digits", row->name, value,
			LEASE_ID_LEN);
	json_add_text(object, row->key, value);
	return OUTCOME_OK;
}

static enum outcome fill(const struct param *row, const char *value, cJSON *object, struct fault *fault)
{
	static enum outcome (*const fillers[])(const struct param *, const char *, cJSON *, struct fault *) = {
		[PARAM_TEXT] = fill_text,
		[PARAM_URL] = fill_text,
		[PARAM_TOKEN] = fill_token,
		[PARAM_DURATION] = fill_duration,
		[PARAM_GATE] = fill_gate,
		[PARAM_GATES] = fill_gates,
		[PARAM_BOOL] = fill_bool,
		[PARAM_NUMBER] = fill_number,
		[PARAM_TIME] = fill_time,
		[PARAM_WORD] = fill_word,
		[PARAM_ID] = fill_id,
	};

	if (*value == '\0' && (row->marks & PARAM_REQUIRED))
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s: must not be empty", row->name);
	return fillers[row->type](row, value, object, fault);
}

enum outcome params_fill(const struct params *params, cJSON *object, struct fault *fault)
{
	enum outcome outcome = OUTCOME_OK;

	for (size_t i = 0; params->table[i].name && outcome == OUTCOME_OK; i++) {
		const struct param *row = &params->table[i];
		const char *value = params->values ? params->values[i] : NULL;

		if (value)
			outcome = fill(row, value, object, fault);
		else if (row->marks & PARAM_REQUIRED)
			outcome = fault_set(fault, OUTCOME_BAD_REQUEST, "%s: is missing%s", row->name,
				row->type == PARAM_TOKEN ? " (in the body, or as X-Lease-Token)" : "");
	}
	return outcome;
}
