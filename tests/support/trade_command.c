/* The command of a job or deploy in the scene of the trade. */
#include "support/trade_play.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "support/gates.h"
#include "support/trade_check.h"

enum { WORDS = 8, LEASE_DIGITS = 32, LOOK_MS = 50 };

/* Works until the time is over, or TERM comes: then false. */
static bool work(const sigset_t *term, long takes_ms)
{
	struct timespec time = { .tv_sec = takes_ms / 1000, .tv_nsec = takes_ms % 1000 * 1000000 };

	return sigtimedwait(term, NULL, &time) != SIGTERM;
}

/* Whether a deploy has come since our lease began: then our code is not what it was. */
static bool is_broken(const char *path, const struct trade_line *mine)
{
	struct trade_history history;
	bool inside = false, broken = false;

	trade_read(&history, path);
	for (size_t i = 0; i < history.count; i++) {
		const struct trade_line *line = &history.lines[i];

		if (line->event != TRADE_BEGAN)
			continue;
		inside |= strcmp(line->mark, mine->mark) == 0;
		broken |= inside && line->is_deploy && gates_shut(line->gates, mine->gates);
	}
	trade_history_release(&history);
	return broken;
}

/* Whether this command began before, in another lease. */
static bool is_again(const char *path, const struct trade_line *mine)
{
	struct trade_history history;
	bool again = false;

	trade_read(&history, path);
	for (size_t i = 0; i < history.count; i++)
		again |= history.lines[i].event == TRADE_BEGAN && strcmp(history.lines[i].name, mine->name) == 0 &&
			strcmp(history.lines[i].mark, mine->mark) != 0;
	trade_history_release(&history);
	return again;
}

/* Works until a deploy has broken it, or TERM comes: then false. The second time it is done at once. */
static bool work_for_a_deploy(char **argv, const struct trade_line *mine, const sigset_t *term)
{
	bool breaks = strcmp(argv[6], TERMS_FRAGILE) == 0;

	if (is_again(argv[2], mine))
		return true;
	while (!(breaks && is_broken(argv[2], mine)))
		if (!work(term, LOOK_MS))
			return false;
	return true;
}

static enum trade_event outcome(char **argv, const struct trade_line *mine, const sigset_t *term)
{
	long takes_ms = strtol(argv[7], NULL, 10);

	if (takes_ms ? !work(term, takes_ms) : !work_for_a_deploy(argv, mine, term))
		return TRADE_CUT;
	return strcmp(argv[6], TERMS_FRAGILE) == 0 && is_broken(argv[2], mine) ? TRADE_BROKE : TRADE_ENDED;
}

void trade_as_command(int argc, char **argv)
{
	struct trade_line line = { .event = TRADE_BEGAN };
	char digest[DIGEST_HEX_LEN + 1];
	const char *token = getenv("DEPLOY_GATE_TOKEN");
	sigset_t term;
	int fd;

	if (argc != WORDS || strcmp(argv[1], TRADE_COMMAND) != 0)
		return;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	digest_hex(token ? token : "", digest);
	line.is_deploy = strcmp(argv[3], "deploy") == 0;
	snprintf(line.name, sizeof(line.name), "%s", argv[4]);
	snprintf(line.gates, sizeof(line.gates), "%s", argv[5]);
	snprintf(line.mark, sizeof(line.mark), "%.*s", LEASE_DIGITS, digest);
	fd = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
	trade_write(fd, &line);
	line.event = outcome(argv, &line, &term);
	trade_write(fd, &line);
	/* Not exit(): it may look for leaks, and that can hang where TERM and CONT come together. */
	_exit(line.event == TRADE_ENDED ? EXIT_SUCCESS : EXIT_FAILURE);
}
