/* config: the settings of the server. One table (config_table.c) gives each its key, type, bounds, default and help; the flag
 * (--key), the environment name (DEPLOY_GATED_KEY), the parsers, --help and the README's check all derive from it. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/outcome.h"

enum { LISTENERS_MAX = 8, HOST_NAMES_MAX = 32 };

/* What to exit with because of the settings; the command line is whoever's who typed it, the rest the machine's. */
enum { EXIT_NOT_YET = -1, EXIT_ANSWERED = 0, EXIT_USAGE = 64, EXIT_CONFIGURATION = 78 };

struct config {
	const char *database;			/* conninfo; "" for libpq's own environment */
	const char *listen[LISTENERS_MAX];	/* "127.0.0.1:7433", "[::1]:0", "unix:/path" */
	unsigned listen_count;
	const char *file;			/* that settings were read from; "" for none */
	const char *host_names;			/* further names of ours in Host and Origin, by commas */
	const char *name;			/* of this replica; default: host name and first listener */
	const char *log_level, *log_format;
	int64_t max_wait_ms;			/* longest wait of one request */
	int64_t start_timeout_ms;		/* how long to look for a database at start */
	int64_t leave_delay_ms;
	int64_t retention_ms;			/* how long ended leases and events stay */
	int64_t connections_max;		/* clients at once */
	bool known_gates_only;
	bool check_only;			/* --check-config */
};

/* Reads defaults, file, environment and flags, in growing strength: OK, or BAD_REQUEST with a sentence that names the setting,
 * where it was set, and what is allowed. *code is what to exit with: ANSWERED after --help and --version, NOT_YET where all is
 * well. Unless it is that there is nothing to release. */
MUST_CHECK enum outcome config_read(struct config *, int argc, char **argv, int *code, struct fault *);

/* Moves from fresh into running what may change while the server runs (--help marks it); fresh is released. */
void config_reload(struct config *running, struct config *fresh);

/* Frees what config_read copied. */
void config_release(struct config *);

#endif
