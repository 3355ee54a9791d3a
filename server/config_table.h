/* config_table: all settings there are. The README's check and --help read it too. */
#ifndef CONFIG_TABLE_H
#define CONFIG_TABLE_H

#include <stddef.h>

#include "config_value.h"

#define SETTING_ENVIRONMENT "DEPLOY_GATED_"
enum {
	SETTING_COUNT = 14,
	SETTING_KEY_MAX = 32,
	SETTING_ENVIRONMENT_MAX = SETTING_KEY_MAX + sizeof(SETTING_ENVIRONMENT)
};

extern const struct setting settings[SETTING_COUNT];

/* The setting of that key, which need not end in NUL; NULL if there is none. */
const struct setting *setting_find(const char *key, size_t length);

/* The key that somebody who wrote this one may have meant, or NULL. */
const char *setting_nearest(const char *key);

/* Writes the name in the environment that belongs to a key: "max-wait" to DEPLOY_GATED_MAX_WAIT. */
void setting_environment(const char *key, char name[static SETTING_ENVIRONMENT_MAX]);

/* Prints all of them, with defaults, on standard output. */
void settings_help(void);

#endif
