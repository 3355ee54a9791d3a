#include "config_table.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/distance.h"
#include "config.h"

#define HOUR_MS (60LL * 60 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define AT(member) offsetof(struct config, member)

const struct setting settings[SETTING_COUNT] = {
	{ "database", SETTING_TEXT, AT(database), "", 0, 0, NULL, 0,
		"connection string of PostgreSQL; empty: PGHOST, PGDATABASE … of libpq" },
	{ "listen", SETTING_LISTEN, AT(listen), "127.0.0.1:7433", 0, 0, NULL, 0,
		"where to listen: ADDRESS:PORT (port 0: any free one) or unix:/path; may be given several times" },
	{ "config", SETTING_TEXT, AT(file), "", 0, 0, NULL, NOT_IN_FILE, "file of lines \"key = value\"" },
	{ "host-names", SETTING_HOSTS, AT(host_names), "", 0, 0, NULL, RELOADABLE,
		"further names, by commas, under which clients may call this server (Host, Origin)" },
	{ "name", SETTING_TEXT, AT(name), "", 0, 0, NULL, 0,
		"name of this replica; empty: host name and first listener" },
	{ "log-level", SETTING_WORD, AT(log_level), "info", 0, 0, "debug|info|warn|error", RELOADABLE,
		"least level that is logged: debug, info, warn or error" },
	{ "log-format", SETTING_WORD, AT(log_format), "logfmt", 0, 0, "logfmt|json", RELOADABLE, "logfmt or json" },
	{ "max-wait", SETTING_DURATION, AT(max_wait_ms), "1h", 1000, 7 * DAY_MS, NULL, RELOADABLE,
		"longest time that one request may wait" },
	{ "start-timeout", SETTING_DURATION, AT(start_timeout_ms), "10s", 0, HOUR_MS, NULL, 0,
		"how long to look for the database at start" },
	{ "leave-delay", SETTING_DURATION, AT(leave_delay_ms), "0s", 0, HOUR_MS, NULL, RELOADABLE,
		"time between /readyz saying 503 and the end of the server" },
	{ "retention", SETTING_DURATION, AT(retention_ms), "90d", 60 * 1000, 366 * DAY_MS, NULL, RELOADABLE,
		"how long ended leases and events are kept" },
	{ "connections", SETTING_NUMBER, AT(connections_max), "12500", 16, 1000000, NULL, 0,
		"most clients at once; at most 80 % of them may wait" },
	{ "known-gates-only", SETTING_BOOL, AT(known_gates_only), "false", 0, 0, NULL, RELOADABLE,
		"a gate that nobody ever closed or declared is not found, instead of open" },
	{ "check-config", SETTING_BOOL, AT(check_only), "false", 0, 0, NULL, NOT_IN_FILE,
		"check the settings and exit" },
};

const struct setting *setting_find(const char *key, size_t length)
{
	for (size_t i = 0; i < SETTING_COUNT; i++)
		if (strlen(settings[i].key) == length && memcmp(settings[i].key, key, length) == 0)
			return &settings[i];
	return NULL;
}

const char *setting_nearest(const char *key)
{
	const char *nearest = NULL;
	unsigned least = 3;

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		unsigned away = word_distance(settings[i].key, key);

		if (away < least) {
			least = away;
			nearest = settings[i].key;
		}
	}
	return nearest;
}

void setting_environment(const char *key, char name[static SETTING_ENVIRONMENT_MAX])
{
	char *at = name + sizeof(SETTING_ENVIRONMENT) - 1;

	memcpy(name, SETTING_ENVIRONMENT, sizeof(SETTING_ENVIRONMENT) - 1);
	for (; *key; key++)
		*at++ = (char)(*key == '-' ? '_' : toupper((unsigned char)*key));
	*at = '\0';
}

void settings_help(void)
{
	puts("usage: deploy-gated [--KEY VALUE]… | --help | --version\n\n"
	     "Each setting is a flag, an environment name (DEPLOY_GATED_ and the key in capitals, _ for -) and a line\n"
	     "\"key = value\" of the file, in that order of strength. Those marked * are read again on SIGHUP.\n");
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting *setting = &settings[i];

		printf("  --%-17s%c %s", setting->key, setting->marks & RELOADABLE ? '*' : ' ', setting->help);
		if (*setting->fallback)
			printf(" (default %s)", setting->fallback);
		putchar('\n');
	}
}
