#include "config.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/die.h"
#include "config_table.h"
#include "config_value.h"

/* Where a value came from, in the order of their strength, and in words. */
enum source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

struct origin {
	enum source source;
	char words[256];
};

static enum outcome unknown_key(const char *key, const struct origin *origin, struct fault *fault)
{
	const char *nearest = setting_nearest(key);

	if (nearest)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "there is no setting \"%.40s\" (%s): did you mean \"%s\"?",
			key, origin->words, nearest);
	return fault_set(fault, OUTCOME_BAD_REQUEST, "there is no setting \"%.40s\" (%s): --help lists them all", key,
		origin->words);
}

/* What is read into: how strong the source was that each setting came from, so that a stronger one replaces it. */
struct reading {
	struct config *config;
	enum source from[SETTING_COUNT];
	struct fault *fault;
};

static enum outcome apply(
	struct reading *reading, const struct setting *setting, const char *value, const struct origin *origin)
{
	enum source *from = &reading->from[setting - settings];
	struct fault inner;
	enum outcome outcome;

	if (*from != origin->source && setting->type == SETTING_LISTEN)
		setting_clear(reading->config, setting);
	else if (*from == origin->source && setting->type != SETTING_LISTEN && origin->source == FROM_FILE)
		return fault_set(
			reading->fault, OUTCOME_BAD_REQUEST, "%s (%s): given twice", setting->key, origin->words);
	*from = origin->source;
	outcome = setting_set(reading->config, setting, value, &inner);
	if (outcome != OUTCOME_OK)
		return fault_set(reading->fault, outcome, "%s (%s): %s", setting->key, origin->words, inner.detail);
	return OUTCOME_OK;
}

static enum outcome read_defaults(struct reading *reading)
{
	struct origin origin = { FROM_DEFAULT, "default" };
	enum outcome outcome = OUTCOME_OK;

	for (size_t i = 0; i < SETTING_COUNT && outcome == OUTCOME_OK; i++)
		outcome = apply(reading, &settings[i], settings[i].fallback, &origin);
	return outcome;
}

/* Cuts the blanks off both ends, in place. */
static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text + strspn(text, " \t");
}

static enum outcome read_line(struct reading *reading, char *line, const struct origin *origin)
{
	char *key = trim(line), *equals = strchr(key, '=');
	const struct setting *setting;

	if (*key == '\0' || *key == '#')
		return OUTCOME_OK;
	if (!equals)
		return fault_set(reading->fault, OUTCOME_BAD_REQUEST, "%s: write \"key = value\"", origin->words);
	*equals = '\0';
	key = trim(key);
	setting = setting_find(key, strlen(key));
	if (!setting)
		return unknown_key(key, origin, reading->fault);
	if (setting->marks & NOT_IN_FILE)
		return fault_set(reading->fault, OUTCOME_BAD_REQUEST, "%s (%s): only as --%s or in the environment",
			key, origin->words, key);
	return apply(reading, setting, trim(equals + 1), origin);
}

static enum outcome read_file(struct reading *reading, const char *path)
{
	struct origin origin = { .source = FROM_FILE };
	enum outcome outcome = OUTCOME_OK;
	FILE *file = *path ? fopen(path, "re") : NULL;
	char *line = NULL;
	size_t room = 0;

	if (!file)
		return *path ? fault_set(reading->fault, OUTCOME_BAD_REQUEST, "config: cannot read %.200s: %m", path)
			     : OUTCOME_OK;
	for (unsigned number = 1; outcome == OUTCOME_OK && getline(&line, &room, file) >= 0; number++) {
		snprintf(origin.words, sizeof(origin.words), "%.200s line %u", path, number);
		outcome = read_line(reading, line, &origin);
	}
	if (outcome == OUTCOME_OK && ferror(file))
		outcome = fault_set(reading->fault, OUTCOME_BAD_REQUEST, "config: cannot read %.200s: %m", path);
	free(line);
	fclose(file);
	return outcome;
}

/* A name of ours that is no setting is an error only where it looks like a slip of the pen: container platforms put
 * variables of their own (…_PORT, …_SERVICE_HOST) beside a service's name. */
static enum outcome check_environment(struct fault *fault)
{
	for (char **entry = environ; *entry; entry++) {
		size_t length = strcspn(*entry, "=");
		char key[SETTING_KEY_MAX + 1] = "";
		struct origin origin = { .source = FROM_ENVIRONMENT };

		if (strncmp(*entry, SETTING_ENVIRONMENT, sizeof(SETTING_ENVIRONMENT) - 1) != 0)
			continue;
		length -= sizeof(SETTING_ENVIRONMENT) - 1;
		for (size_t i = 0; i < length && i < SETTING_KEY_MAX; i++) {
			char letter = (*entry)[sizeof(SETTING_ENVIRONMENT) - 1 + i];

			key[i] = (char)(letter == '_' ? '-' : tolower((unsigned char)letter));
		}
		snprintf(origin.words, sizeof(origin.words), "environment %.*s", (int)strcspn(*entry, "="), *entry);
		if (length <= SETTING_KEY_MAX && !setting_find(key, length) && setting_nearest(key))
			return unknown_key(key, &origin, fault);
	}
	return OUTCOME_OK;
}

static enum outcome read_environment(struct reading *reading)
{
	enum outcome outcome = check_environment(reading->fault);

	for (size_t i = 0; i < SETTING_COUNT && outcome == OUTCOME_OK; i++) {
		struct origin origin = { .source = FROM_ENVIRONMENT };
		char name[SETTING_ENVIRONMENT_MAX];
		const char *value;

		setting_environment(settings[i].key, name);
		value = getenv(name);
		snprintf(origin.words, sizeof(origin.words), "environment %s", name);
		if (value && *value)
			outcome = apply(reading, &settings[i], value, &origin);
	}
	return outcome;
}

/* One flag of the command line. */
struct flag {
	const struct setting *setting;
	const char *value;
	struct origin origin;
};

/* Reads the flag at *argv, moves *argv behind it. */
static enum outcome next_flag(char ***argv, struct flag *flag, struct fault *fault)
{
	const char *word = *(*argv)++, *key = word + 2;
	size_t length = strcspn(word, "=") - 2;
	char copy[SETTING_KEY_MAX + 16];

	flag->origin.source = FROM_FLAG;
	snprintf(flag->origin.words, sizeof(flag->origin.words), "command line");
	if (strncmp(word, "--", 2) != 0 || !*key)
		return fault_set(
			fault, OUTCOME_BAD_REQUEST, "\"%.60s\" is not a flag: settings are given as --KEY VALUE", word);
	snprintf(copy, sizeof(copy), "%.*s", (int)length, key);
	flag->setting = setting_find(key, length);
	if (!flag->setting)
		return unknown_key(copy, &flag->origin, fault);
	if (key[length] == '=')
		flag->value = key + length + 1;
	else if (flag->setting->type == SETTING_BOOL)
		flag->value = "true";
	else if (**argv)
		flag->value = *(*argv)++;
	else
		return fault_set(fault, OUTCOME_BAD_REQUEST, "--%s: its value is missing", copy);
	return OUTCOME_OK;
}

static enum outcome read_flags(struct reading *reading, char **argv)
{
	enum outcome outcome = OUTCOME_OK;
	struct flag flag;

	while (*argv && outcome == OUTCOME_OK) {
		outcome = next_flag(&argv, &flag, reading->fault);
		if (outcome == OUTCOME_OK)
			outcome = apply(reading, flag.setting, flag.value, &flag.origin);
	}
	return outcome;
}

/* Where the file is has to be known before the rest is read. */
static enum outcome find_file(char **argv, const char **path, struct fault *fault)
{
	struct flag flag;

	*path = getenv(SETTING_ENVIRONMENT "CONFIG");
	if (!*path)
		*path = "";
	while (*argv) {
		enum outcome outcome = next_flag(&argv, &flag, fault);

		if (outcome != OUTCOME_OK)
			return outcome;
		if (flag.setting->at == offsetof(struct config, file))
			*path = flag.value;
	}
	return OUTCOME_OK;
}

/* Does what --help and --version ask for; whether one of them was there. */
static bool answer_questions(char **argv)
{
	for (; *argv; argv++) {
		if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
			settings_help();
			return true;
		}
		if (strcmp(*argv, "--version") == 0) {
			puts("deploy-gated " DEPLOY_GATE_VERSION);
			return true;
		}
	}
	return false;
}

/* A replica without a name gets one that tells it from others. */
static void name_replica(struct config *config)
{
	char host[65] = "localhost", name[256];

	if (*config->name)
		return;
	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%s %s", host, config->listen[0]);
	free((char *)config->name);
	config->name = or_die(strdup(name));
}

enum outcome config_read(struct config *config, int argc, char **argv, int *code, struct fault *fault)
{
	struct reading reading = { .config = config, .fault = fault };
	enum outcome outcome;
	const char *path;

	memset(config, 0, sizeof(*config));
	argv += argc > 0;
	*code = answer_questions(argv) ? EXIT_ANSWERED : EXIT_USAGE;
	if (*code == EXIT_ANSWERED)
		return OUTCOME_OK;
	outcome = find_file(argv, &path, fault);
	if (outcome == OUTCOME_OK)
		*code = EXIT_CONFIGURATION;
	if (outcome == OUTCOME_OK)
		outcome = read_defaults(&reading);
	if (outcome == OUTCOME_OK)
		outcome = read_file(&reading, path);
	if (outcome == OUTCOME_OK)
		outcome = read_environment(&reading);
	if (outcome == OUTCOME_OK) {
		*code = EXIT_USAGE;
		outcome = read_flags(&reading, argv);
	}
	if (outcome != OUTCOME_OK) {
		config_release(config);
		return outcome;
	}
	*code = EXIT_NOT_YET;
	name_replica(config);
	return OUTCOME_OK;
}

void config_reload(struct config *running, struct config *fresh)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (settings[i].marks & RELOADABLE)
			setting_swap(running, fresh, &settings[i]);
	config_release(fresh);
}

void config_release(struct config *config)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		setting_clear(config, &settings[i]);
}
