/* Jobs and deploys that run inside of the client: it holds the lease and keeps it alive, and its command is this program. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"
#include "base/digest.h"
#include "chaos/player.h"
#include "chaos/wrapped.h"

enum {
	TTL_MS = 9000,
	PATIENCE_MS = 60000,
	STEP_MS = 20,
	EXIT_REFUSED = 75,
	EXIT_DRAIN_TIMEOUT = 79,
	WORDS_MAX = 40,
	DIGITS = 32
};

/* One client under way. Its holder's name is its mark until the id of its lease is known. */
struct wrapper {
	struct op grant, end;
	bool is_deploy;
	int wait_ms, takes_ms;
	pid_t pid;
};

/* The command. */

static void await_end(const sigset_t *term, long takes_ms)
{
	struct timespec time = { .tv_sec = takes_ms / 1000, .tv_nsec = takes_ms % 1000 * MS };

	sigtimedwait(term, NULL, &time);
}

/* argv: self act PATH GRANT END is-deploy GATES takes-ms. The end is noted before the client can know of it. */
bool wrapped_run(int argc, char **argv)
{
	const char *token = getenv("DEPLOY_GATE_TOKEN"), *fence = getenv("DEPLOY_GATE_FENCE");
	struct op op = { .verb = VERB_CLOSE };
	char digest[DIGEST_HEX_LEN + 1];
	sigset_t term;
	int fd;

	if (argc != 8 || strcmp(argv[1], WRAPPED_WORD) != 0)
		return false;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	fd = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
	digest_hex(token ? token : "", digest);
	snprintf(op.lease, sizeof(op.lease), "%.*s", DIGITS, digest);
	snprintf(op.gates, sizeof(op.gates), "%s", argv[6]);
	op.number = strtoll(argv[3], NULL, 10);
	op.answer = ANSWER_LIVE;
	op.fence = fence && *argv[5] == '1' ? strtoll(fence, NULL, 10) : 0;
	history_done(fd, &op);
	await_end(&term, strtol(argv[7], NULL, 10));
	op.number = strtoll(argv[4], NULL, 10);
	op.verb = *argv[5] == '1' ? VERB_OPEN : VERB_RELEASE;
	history_call(fd, &op);
	return true;
}

/* The client. */

static _Noreturn void become(const struct player *player, const struct wrapper *w)
{
	const struct arena *arena = player->crew->arena;
	const char *client = getenv("DEPLOY_GATE_BIN"), *words[WORDS_MAX];
	char urls[256] = "", wait[16], ttl[16], grant[24], end[24], takes[16],
	     is_deploy[2] = { w->is_deploy ? '1' : '0' };
	size_t count = 0;

	for (unsigned i = 0; i < arena->count; i++) {
		const struct post *post = &arena->posts[(player->index + i) % arena->count];
		size_t size = strlen(urls);

		snprintf(urls + size, sizeof(urls) - size, "%s%s", i ? "," : "", i ? post->url : post->way.url);
	}
	snprintf(wait, sizeof(wait), "%dms", w->wait_ms);
	snprintf(ttl, sizeof(ttl), "%dms", TTL_MS);
	snprintf(grant, sizeof(grant), "%lld", w->grant.number);
	snprintf(end, sizeof(end), "%lld", w->end.number);
	snprintf(takes, sizeof(takes), "%d", w->takes_ms);
	for (const char *const *word = (const char *const[]){ client, "-q", "--url", urls,
		     w->is_deploy ? "deploy" : "run", w->grant.gates, "--wait", wait, "--ttl", ttl, "--holder",
		     w->grant.lease, "--on-silence", "stop", "--kill-after", "1s", "--reach", "10s",
		     w->is_deploy ? "--drain" : "--on-close", w->is_deploy ? "2s" : "finish", "--", player->crew->self,
		     WRAPPED_WORD, player->crew->path, grant, end, is_deploy, w->grant.gates, takes, NULL };
		*word; word++)
		words[count++] = *word;
	words[count] = NULL;
	unsetenv("DEPLOY_GATE_TOKEN");
	dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(client, (char *const *)(uintptr_t)words);
	_exit(99);
}

static void start(struct player *player, struct wrapper *w)
{
	*w = (struct wrapper){ .is_deploy = player_chance(player, 40) };
	w->wait_ms = player_between(player, 0, 5000);
	w->takes_ms = player_between(player, 50, 2500);
	w->grant = (struct op){ .verb = w->is_deploy ? VERB_CLOSE : VERB_PASS, .ttl_ms = TTL_MS, .sure = 1 };
	w->grant.wait_ms = w->wait_ms + 2000;
	snprintf(w->grant.gates, GATES_SIZE, "%s",
		w->is_deploy ? player_windows_gates(player) : player_jobs_gates(player));
	snprintf(w->grant.lease, MARK_SIZE, "wrapper-%u-%lld", player->index, player->numbers);
	player_call(player, &w->grant);
	w->end = (struct op){ .verb = VERB_OPEN, .number = w->grant.number + 1 };
	player->numbers++;
	w->pid = fork();
	if (w->pid < 0)
		die("no process can be made");
	if (w->pid == 0)
		become(player, w);
}

/* Waits for its end; kills it, or tells it to end, before that now and then. The exit code, or 128 and the signal. */
static int await_exit(struct player *player, const struct wrapper *w)
{
	int64_t begun_ns = history_now(), hurt_ns = NEVER;
	int status, number = SIGKILL;

	if (player_chance(player, 12)) {
		hurt_ns = begun_ns + player_between(player, 50, 4000) * MS;
		number = player_chance(player, 60) ? SIGKILL : SIGTERM;
	}
	while (waitpid(w->pid, &status, WNOHANG) != w->pid) {
		int64_t now = history_now();

		if (now > hurt_ns || now > begun_ns + PATIENCE_MS * MS) {
			kill(w->pid, now > hurt_ns ? number : SIGKILL);
			hurt_ns = NEVER;
		}
		nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * MS }, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Which lease it had, by its holder's name. False: nobody can tell now. "": none. */
static bool find_lease(struct player *player, const struct wrapper *w, char lease[static MARK_SIZE])
{
	char sql[256];
	struct statement find = { .sql = sql, .patience_ms = 3000 };

	snprintf(sql, sizeof(sql), "select id from deploy_gate.lease where holder = '%s'", w->grant.lease);
	if (!player_run(player, &find))
		return false;
	snprintf(lease, MARK_SIZE, "%.*s", MARK_SIZE - 1, find.value);
	return true;
}

/* How the grant came out where the command has not begun, or what is to be watched where the end is not known. */
static void resolve(struct player *player, struct wrapper *w)
{
	char lease[MARK_SIZE];

	player_pause(player, 1000, 1500);
	while (!find_lease(player, w, lease) && !player_is_done(player))
		player_pause(player, 200, 500);
	if (player_is_done(player))
		return;
	snprintf(w->grant.lease, MARK_SIZE, "%s", lease);
	player_done(player, &w->grant, lease[0] ? ANSWER_UNKNOWN : ANSWER_REFUSED);
	if (lease[0])
		player_watch(player, lease);
}

void play_wrapper(struct player *player)
{
	struct wrapper w;
	int code;

	player_pause(player, 50, 1500);
	start(player, &w);
	code = await_exit(player, &w);
	w.end.lease[0] = '\0';
	/* Its code is that of its command also where nobody took the news that it is done. */
	player_done(player, &w.end, ANSWER_UNKNOWN);
	if (code == EXIT_REFUSED || code == EXIT_DRAIN_TIMEOUT)
		player_done(player, &w.grant, ANSWER_REFUSED);
	else if (code != 0)
		resolve(player, &w);
}
