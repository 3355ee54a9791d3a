#include "base/json.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/json_scan.h"
#include "base/names.h"

enum { DEPTH_MAX = 16, MEMBERS_MAX = 1024, PATH_MAX_BYTES = 512 };

/* Checks one object for doubled names: not said by the grammar, but two readers could see two different things. */
static enum outcome check_names(const cJSON *object, struct fault *fault)
{
	unsigned count = 0;

	for (const cJSON *member = object->child; member; member = member->next) {
		if (++count > MEMBERS_MAX)
			return fault_set(
				fault, OUTCOME_BAD_REQUEST, "the JSON has an object of over %d members", MEMBERS_MAX);
		for (const cJSON *other = object->child; other != member; other = other->next)
			if (strcmp(other->string, member->string) == 0)
				return fault_set(fault, OUTCOME_BAD_REQUEST, "the JSON has the name \"%.60s\" twice",
					member->string);
	}
	return OUTCOME_OK;
}

static enum outcome check_tree(const cJSON *value, struct fault *fault)
{
	enum outcome outcome = cJSON_IsObject(value) ? check_names(value, fault) : OUTCOME_OK;

	for (const cJSON *child = value->child; child && outcome == OUTCOME_OK; child = child->next)
		outcome = check_tree(child, fault);
	return outcome;
}

enum outcome json_parse(const char *text, size_t size, cJSON **result, struct fault *fault)
{
	size_t at;
	const char *wrong = json_scan(text, size, DEPTH_MAX, &at);
	enum outcome outcome;
	cJSON *value;

	if (wrong)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "not JSON: %s (at byte %zu)", wrong, at + 1);
	value = or_die(cJSON_ParseWithLength(text, size));
	outcome = check_tree(value, fault);
	if (outcome != OUTCOME_OK) {
		cJSON_Delete(value);
		return outcome;
	}
	*result = value;
	return OUTCOME_OK;
}

void json_add_text(cJSON *object, const char *name, const char *text)
{
	if (text)
		or_die(cJSON_AddStringToObject(object, name, text));
}

/* As raw digits: cJSON keeps numbers as doubles and prints large ones wrong. */
void json_add_number(cJSON *object, const char *name, int64_t number)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, number);
	json_add_raw(object, name, digits);
}

void json_add_bool(cJSON *object, const char *name, int truth)
{
	or_die(cJSON_AddBoolToObject(object, name, truth));
}

void json_add_raw(cJSON *object, const char *name, const char *json)
{
	or_die(cJSON_AddRawToObject(object, name, json));
}

void json_add_gates(cJSON *object, const char *name, const struct gates *gates)
{
	cJSON *list = or_die(cJSON_AddArrayToObject(object, name));

	for (unsigned i = 0; i < gates->count; i++)
		cJSON_AddItemToArray(list, or_die(cJSON_CreateString(gates_name(gates, i))));
}

/* The member at a dotted path, or NULL. */
static const cJSON *find(const cJSON *value, const char *path)
{
	char name[128];

	while (value && *path) {
		size_t length = strcspn(path, ".");

		if (length >= sizeof(name))
			return NULL;
		memcpy(name, path, length);
		name[length] = '\0';
		value = cJSON_IsObject(value) ? cJSON_GetObjectItemCaseSensitive(value, name) : NULL;
		path += length + (path[length] == '.');
	}
	return value;
}

static bool fits_integer(double number)
{
	return number > -9.2e18 && number < 9.2e18;
}

const char *json_text(const cJSON *object, const char *path)
{
	return cJSON_GetStringValue(find(object, path));
}

int64_t json_number(const cJSON *object, const char *path, int64_t fallback)
{
	const cJSON *member = find(object, path);

	if (cJSON_IsRaw(member))
		return strtoll(member->valuestring, NULL, 10);
	if (!cJSON_IsNumber(member) || !fits_integer(member->valuedouble))
		return fallback;
	return (int64_t)member->valuedouble;
}

char *json_print(const cJSON *value)
{
	return or_die(cJSON_PrintUnformatted(value));
}

char *json_finish(cJSON *value)
{
	char *text = json_print(value);

	cJSON_Delete(value);
	return text;
}

static void print_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '\r')
			fputs("\\r", out);
		else
			fputc(*text, out);
	}
}

static void print_scalar(FILE *out, const cJSON *value)
{
	if (cJSON_IsString(value) || cJSON_IsRaw(value))
		print_escaped(out, value->valuestring);
	else if (cJSON_IsBool(value))
		fputs(cJSON_IsTrue(value) ? "true" : "false", out);
	else if (fits_integer(value->valuedouble) && value->valuedouble == (double)(int64_t)value->valuedouble)
		fprintf(out, "%" PRId64, (int64_t)value->valuedouble);
	else
		fprintf(out, "%.17g", value->valuedouble);
}

static void print_lines(FILE *out, const char *path, const cJSON *value);

static void print_child(FILE *out, const char *path, const cJSON *child, unsigned index)
{
	char longer[PATH_MAX_BYTES], number[12];

	snprintf(number, sizeof(number), "%u", index);
	snprintf(longer, sizeof(longer), "%s%s%s", path, *path ? "." : "", child->string ? child->string : number);
	print_lines(out, longer, child);
}

static void print_lines(FILE *out, const char *path, const cJSON *value)
{
	const cJSON *state = *path ? NULL : cJSON_GetObjectItemCaseSensitive(value, "state");
	unsigned index = 0;

	if (cJSON_IsNull(value))
		return;
	if (!cJSON_IsObject(value) && !cJSON_IsArray(value)) {
		fprintf(out, "%s: ", *path ? path : "value");
		print_scalar(out, value);
		fputc('\n', out);
		return;
	}
	if (state)
		print_child(out, path, state, 0);
	for (const cJSON *child = value->child; child; child = child->next, index++)
		if (child != state)
			print_child(out, path, child, index);
}

char *json_print_text(const cJSON *value)
{
	char *text = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&text, &size));

	print_lines(out, "", value);
	if (fclose(out) != 0)
		die("out of memory");
	return text;
}

/* The number that belongs to the member whose name ends before this quote, if the time that it tells moves: by that much a
 * millisecond. NULL for anything else: in a text that looks alike a quote would stand behind a backslash, and no colon here. */
static const char *moving_number(const char *text, const char *quote, int64_t *pace)
{
	static const struct {
		const char *ending;
		int64_t pace;
	} times[] = { { "_in_ms", -1 }, { "_ago_ms", 1 } };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		size_t length = strlen(times[i].ending);
		const char *at = quote + 1;

		if ((size_t)(quote - text) <= length || memcmp(quote - length, times[i].ending, length) != 0)
			continue;
		at += strspn(at, " \t\r\n");
		if (*at++ != ':')
			return NULL;
		at += strspn(at, " \t\r\n");
		*pace = times[i].pace;
		return strchr("-0123456789", *at) ? at : NULL;
	}
	return NULL;
}

char *json_later(const char *text, int64_t ms)
{
	const char *copied = text;
	char *later = NULL;
	size_t size;
	FILE *out = or_die(open_memstream(&later, &size));

	for (const char *quote = strchr(text, '"'); quote; quote = strchr(quote + 1, '"')) {
		int64_t pace, number;
		const char *at = moving_number(text, quote, &pace);
		char *end;

		if (!at)
			continue;
		number = strtoll(at, &end, 10);
		fwrite(copied, 1, (size_t)(at - copied), out);
		fprintf(out, "%" PRId64, number + pace * ms);
		copied = end;
	}
	fputs(copied, out);
	if (fclose(out) != 0)
		die("out of memory");
	return later;
}
