#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/die.h"
#include "base/duration.h"
#include "base/names.h"
#include "config.h"

void *setting_member(struct config *config, const struct setting *setting)
{
	return (char *)config + setting->at;
}

static enum outcome set_text(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	const char **text = setting_member(config, setting);
	struct fault inner;

	if (text_check(setting->key, value, &inner) != OUTCOME_OK)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s", inner.detail + strlen(setting->key) + 2);
	free((char *)*text);
	*text = or_die(strdup(value));
	return OUTCOME_OK;
}

static enum outcome set_hosts(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	unsigned commas = 0;

	for (const char *at = value; *at; at++) {
		commas += *at == ',';
		if (!isalnum((unsigned char)*at) && !strchr(".-_,:[]", *at))
			return fault_set(
				fault, OUTCOME_BAD_REQUEST, "host names by commas, without blanks: gate.example,gate");
	}
	if (commas >= HOST_NAMES_MAX)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "at most %d host names", HOST_NAMES_MAX);
	return set_text(config, setting, value, fault);
}

static enum outcome set_word(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	size_t length = strlen(value);

	for (const char *word = setting->words; word; word = strchr(word, '|')) {
		word += *word == '|';
		if (strcspn(word, "|") == length && memcmp(word, value, length) == 0)
			return set_text(config, setting, value, fault);
	}
	return fault_set(fault, OUTCOME_BAD_REQUEST, "\"%.40s\" is none of %s", value, setting->words);
}

static enum outcome set_listen(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	struct address address;
	enum outcome outcome = address_parse(value, &address, fault);

	(void)setting;
	if (outcome != OUTCOME_OK)
		return outcome;
	if (!address_is_local(&address))
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"%.60s can be reached from other machines, and everybody who can connect may do everything: "
			"listen on 127.0.0.1, [::1] or unix:/path",
			value);
	if (config->listen_count == LISTENERS_MAX)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "at most %d listeners", LISTENERS_MAX);
	config->listen[config->listen_count++] = or_die(strdup(value));
	return OUTCOME_OK;
}

static enum outcome set_duration(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	char low[DURATION_TEXT_MAX], high[DURATION_TEXT_MAX];
	struct fault inner;
	int64_t ms = -1;

	duration_format(setting->low, low);
	duration_format(setting->high, high);
	if (duration_parse(setting->key, value, setting->low == 0, &ms, &inner) != OUTCOME_OK)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "%s; allowed is %s to %s",
			inner.detail + strlen(setting->key) + 2, low, high);
	if (ms < setting->low || ms > setting->high)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "\"%.40s\" is out of bounds: allowed is %s to %s", value,
			low, high);
	*(int64_t *)setting_member(config, setting) = ms;
	return OUTCOME_OK;
}

static enum outcome set_number(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno || number < setting->low || number > setting->high)
		return fault_set(fault, OUTCOME_BAD_REQUEST,
			"\"%.40s\" is not a whole number from %" PRId64 " to %" PRId64, value, setting->low,
			setting->high);
	*(int64_t *)setting_member(config, setting) = number;
	return OUTCOME_OK;
}

static enum outcome set_bool(
	struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	bool truth = strcmp(value, "true") == 0;

	if (!truth && strcmp(value, "false") != 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "\"%.40s\" is neither true nor false", value);
	*(bool *)setting_member(config, setting) = truth;
	return OUTCOME_OK;
}

enum outcome setting_set(struct config *config, const struct setting *setting, const char *value, struct fault *fault)
{
	static enum outcome (*const setters[])(
		struct config *, const struct setting *, const char *, struct fault *) = {
		[SETTING_TEXT] = set_text,
		[SETTING_LISTEN] = set_listen,
		[SETTING_HOSTS] = set_hosts,
		[SETTING_WORD] = set_word,
		[SETTING_DURATION] = set_duration,
		[SETTING_NUMBER] = set_number,
		[SETTING_BOOL] = set_bool,
	};

	return setters[setting->type](config, setting, value, fault);
}

void setting_clear(struct config *config, const struct setting *setting)
{
	const char **text = setting_member(config, setting);

	if (setting->type == SETTING_LISTEN) {
		while (config->listen_count > 0)
			free((char *)config->listen[--config->listen_count]);
	} else if (setting->type == SETTING_TEXT || setting->type == SETTING_HOSTS || setting->type == SETTING_WORD) {
		free((char *)*text);
		*text = NULL;
	}
}

void setting_swap(struct config *one, struct config *other, const struct setting *setting)
{
	static const size_t sizes[] = {
		[SETTING_TEXT] = sizeof(char *),
		[SETTING_HOSTS] = sizeof(char *),
		[SETTING_WORD] = sizeof(char *),
		[SETTING_DURATION] = sizeof(int64_t),
		[SETTING_NUMBER] = sizeof(int64_t),
		[SETTING_BOOL] = sizeof(bool),
	};
	char kept[sizeof(int64_t)];

	memcpy(kept, setting_member(one, setting), sizes[setting->type]);
	memcpy(setting_member(one, setting), setting_member(other, setting), sizes[setting->type]);
	memcpy(setting_member(other, setting), kept, sizes[setting->type]);
}
