#include "signals.h"

#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/die.h"

static const int interrupting[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD };
static const int passed_on[] = { SIGWINCH, SIGCONT, SIGTSTP };

bool signal_is_ignored(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void add_wanted(sigset_t *set, const int *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!signal_is_ignored(numbers[i]))
			sigaddset(set, numbers[i]);
}

/* Blocks the set and lets the descriptor tell of it. SIGTTOU is blocked only: the terminal can then be handed over from
 * the background. */
static void listen_for(struct signals *signals, const sigset_t *set)
{
	sigset_t blocked = *set;

	sigaddset(&blocked, SIGTTOU);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signals->fd = signalfd(signals->fd, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		die("no descriptor for signals");
}

void signals_init(struct signals *signals)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, standard = { .sa_handler = SIG_DFL };
	sigset_t set;

	signals->fd = -1;
	sigprocmask(SIG_SETMASK, NULL, &signals->before);
	sigaction(SIGPIPE, &ignore, &signals->pipe);
	sigaction(SIGCHLD, &standard, &signals->child);
	sigemptyset(&set);
	add_wanted(&set, interrupting, sizeof(interrupting) / sizeof(*interrupting));
	listen_for(signals, &set);
}

void signals_take_all(struct signals *signals)
{
	sigset_t set;

	sigemptyset(&set);
	add_wanted(&set, interrupting, sizeof(interrupting) / sizeof(*interrupting));
	add_wanted(&set, passed_on, sizeof(passed_on) / sizeof(*passed_on));
	listen_for(signals, &set);
}

void signals_take_few(struct signals *signals)
{
	sigset_t set;

	sigemptyset(&set);
	add_wanted(&set, interrupting, sizeof(interrupting) / sizeof(*interrupting));
	listen_for(signals, &set);
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++)
		if (!sigismember(&signals->before, passed_on[i]))
			sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int signals_next(struct signals *signals)
{
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

void signals_restore(const struct signals *signals)
{
	sigaction(SIGPIPE, &signals->pipe, NULL);
	sigaction(SIGCHLD, &signals->child, NULL);
	sigprocmask(SIG_SETMASK, &signals->before, NULL);
}

const char *signal_name(int number)
{
	const char *name = sigabbrev_np(number);

	return name ? name : "?";
}
