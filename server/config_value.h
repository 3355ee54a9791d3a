/* config_value: one setting, and what may be its value. */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

struct config;

enum setting_type {
	SETTING_TEXT,
	SETTING_LISTEN,			/* an address; the only one that may be given several times */
	SETTING_HOSTS,
	SETTING_WORD,
	SETTING_DURATION,
	SETTING_NUMBER,
	SETTING_BOOL
};

enum setting_mark { RELOADABLE = 1, NOT_IN_FILE = 2 };

struct setting {
	const char *key;
	enum setting_type type;
	size_t at;			/* of its member in struct config */
	const char *fallback;		/* the default, as a person would write it */
	int64_t low, high;		/* bounds of a number, or of a duration in ms */
	const char *words;		/* the words allowed, by | */
	unsigned marks;
	const char *help;
};

/* The member of a configuration that a setting is about. */
void *setting_member(struct config *, const struct setting *);

/* Sets it, or says what is wrong with the value and what is allowed; adds to the listeners. */
MUST_CHECK enum outcome setting_set(struct config *, const struct setting *, const char *value, struct fault *);

/* Frees what setting_set copied for it. */
void setting_clear(struct config *, const struct setting *);

/* Exchanges the values of a setting, which is not that of the listeners. */
void setting_swap(struct config *, struct config *, const struct setting *);

#endif
