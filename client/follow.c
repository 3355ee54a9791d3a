#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "base/json.h"
#include "client.h"
#include "clock.h"
#include "keep.h"
#include "lease.h"
#include "state.h"

enum { UP_WITHIN_MS = 3000, OUT_OF_THE_WAY = 64 };

/* What the process left behind works with. */
struct follower {
	struct client *client;
	const struct state *state;
	const struct lease *lease;
	struct keep keep;
	int process; /* descriptor of the followed one */
	int up;	     /* where to tell that we are up, or -1 */
};

enum outcome follow_find(int64_t pid, int *process, struct fault *fault)
{
	*process = pidfd_open((pid_t)pid, 0);
	if (*process < 0)
		return fault_set(fault, OUTCOME_BAD_REQUEST, "--while-pid: %s", strerror(errno));
	return OUTCOME_OK;
}

static bool has_ended(int process)
{
	struct pollfd ended = { .fd = process, .events = POLLIN };

	return poll(&ended, 1, 0) > 0;
}

/* Closes all descriptors but the standard ones and these, which move out of the way for that. */
static void keep_only(int *const *kept, size_t count)
{
	unsigned from = STDERR_FILENO + 1;

	for (size_t i = 0; i < count; i++)
		*kept[i] = fcntl(*kept[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	for (size_t i = 0; i < count; i++) {
		if (*kept[i] < 0)
			_exit(EXIT_INTERNAL);
		close_range(from, (unsigned)*kept[i] - 1, 0);
		from = (unsigned)*kept[i] + 1;
	}
	close_range(from, UINT_MAX, 0);
}

/* Leaves terminal, directory and whatever was inherited: whoever reads our output need not wait for us. */
static void detach(struct follower *follower)
{
	int *const kept[] = { &follower->process, &follower->up, &follower->client->signals.fd };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (null < 0 || chdir("/") != 0)
		_exit(EXIT_INTERNAL);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	keep_only(kept, sizeof(kept) / sizeof(*kept));
	follower->client->report.quiet = true;
}

static void tell_up(struct follower *follower)
{
	if (follower->up >= 0)
		close(follower->up);
	follower->up = -1;
}

/* Keeps the window until the process has ended, or the window has, or a signal comes. */
static void keep_on(struct follower *follower)
{
	struct client *client = follower->client;
	struct keep *keep = &follower->keep;
	int64_t begun_ms = clock_ms(), granted_ms = keep->silence.acked_ms;

	while (!keep->lost && !has_ended(follower->process) && !client_is_interrupted(client)) {
		keep_drive(keep, follower->process, INT64_MAX);
		if (keep->silence.acked_ms != granted_ms || clock_ms() - begun_ms > UP_WITHIN_MS)
			tell_up(follower);
	}
	tell_up(follower);
}

/* The end: of the process, which opens the gate, or of the window, which ends the process unless somebody opened. */
static void finish(struct follower *follower)
{
	struct client *client = follower->client;
	const char *on_lost = client->options.on_lost;
	struct reply reply;

	if (!follower->keep.lost) {
		client->interrupted = 0;
		if (lease_open(client, follower->lease, false, &reply) == OUTCOME_OK)
			state_forget(follower->state, client->gates, follower->lease->token);
		reply_release(&reply);
	} else if (!follower->keep.handed_back && (!on_lost || strcmp(on_lost, "nothing") != 0)) {
		pidfd_send_signal(follower->process, SIGTERM, NULL, 0);
	}
}

static _Noreturn void follow(struct follower *follower, const struct reply *closed)
{
	int64_t ttl_ms = json_number(closed->body, "ttl_ms", follower->client->options.ttl_ms);
	struct silence silence = { .acked_ms = closed->sent_ms, .life_ms = ttl_ms, .ttl_ms = ttl_ms };

	detach(follower);
	client_begin_afresh(follower->client);
	keep_init(&follower->keep, follower->client->http, follower->lease, &silence);
	keep_on(follower);
	keep_release(&follower->keep);
	finish(follower);
	_exit(EXIT_SUCCESS);
}

bool follow_leave(struct client *client, const struct state *state, const struct lease *lease,
	const struct reply *closed, int process)
{
	struct follower follower = {
		.client = client,
		.state = state,
		.lease = lease,
		.process = process,
	};
	int ends[2];
	char none;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		follower.up = ends[1];
		follow(&follower, closed);
	}
	close(ends[1]);
	while (pid > 0 && read(ends[0], &none, sizeof(none)) < 0 && errno == EINTR)
		;
	close(ends[0]);
	return pid > 0;
}
