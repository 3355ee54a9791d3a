#include "support/run.h"

#include "unit/cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const struct recorded recorded[] = {
	{ "TERM", SIGTERM },
	{ "INT", SIGINT },
	{ "HUP", SIGHUP },
	{ "QUIT", SIGQUIT },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "WINCH", SIGWINCH },
	{ "CONT", SIGCONT },
	{ "TSTP", SIGTSTP },
};
const size_t recorded_count = COUNT(recorded);

static int record(const char *last)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < COUNT(recorded); i++)
		sigaddset(&set, recorded[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		int number = sigwaitinfo(&set, NULL);

		printf("got %s\n", sigabbrev_np(number));
		fflush(stdout);
		if (strcmp(sigabbrev_np(number), last) == 0)
			return RECORDER_EXIT;
	}
}

static int list_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	while ((entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(directory))
			printf("open %s\n", entry->d_name);
	closedir(directory);
	return 0;
}

static _Noreturn void become(const struct world *world, const char *const *words)
{
	const char *argv[24] = { world->client };

	for (size_t i = 0; i < COUNT(argv) - 2 && words[i]; i++)
		argv[i + 1] = strcmp(words[i], SELF) == 0 ? world->self : words[i];
	execv(argv[0], (char **)argv);
	_exit(99);
}

void run_start(const struct world *world, struct run *run, const char *const *words)
{
	int ends[2];

	*run = (struct run){ .size = 0 };
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	run->pid = fork();
	if (run->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		dup2(STDOUT_FILENO, INHERITED);
		close_range(STDERR_FILENO + 1, INHERITED - 1, CLOSE_RANGE_CLOEXEC);
		close_range(INHERITED + 1, ~0U, CLOSE_RANGE_CLOEXEC);
		become(world, words);
	}
	close(ends[1]);
	run->fd = ends[0];
}

/* Reads what there is, waiting for it; false at the end of the output. */
static bool read_more(struct run *run, int64_t end_ms)
{
	struct pollfd ready = { .fd = run->fd, .events = POLLIN };
	ssize_t got;

	if (end_ms <= now_ms() || poll(&ready, 1, (int)(end_ms - now_ms())) <= 0)
		fail_msg("nothing came in time behind: %s", run->output);
	got = read(run->fd, run->output + run->size, sizeof(run->output) - 1 - run->size);
	if (got <= 0)
		return false;
	run->size += (size_t)got;
	run->output[run->size] = '\0';
	return true;
}

void run_await(struct run *run, const char *text)
{
	int64_t end_ms = now_ms() + PATIENCE_MS;

	while (!strstr(run->output, text))
		if (!read_more(run, end_ms))
			fail_msg("\"%s\" never came: %s", text, run->output);
}

unsigned run_times(const struct run *run, const char *text)
{
	unsigned count = 0;

	for (const char *at = strstr(run->output, text); at; at = strstr(at + 1, text))
		count++;
	return count;
}

int run_finish(struct run *run)
{
	int64_t end_ms = now_ms() + PATIENCE_MS;
	int status;

	while (read_more(run, end_ms))
		;
	close(run->fd);
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int run_words(const struct world *world, struct run *run, const char *const *words)
{
	run_start(world, run, words);
	return run_finish(run);
}

/* As start, on a terminal of its own. */
void run_start_on_terminal(const struct world *world, struct run *run, const char *const *words)
{
	*run = (struct run){ .size = 0 };
	run->pid = forkpty(&run->fd, NULL, NULL, NULL);
	if (run->pid == 0)
		become(world, words);
}

static void start_server(struct world *world, const char *program)
{
	char listen[96];

	snprintf(world->socket, sizeof(world->socket), "%s/gate.sock", world->place);
	snprintf(listen, sizeof(listen), "unix:%s", world->socket);
	setenv("DEPLOY_GATE_URL", listen, 1);
	world->server = fork();
	if (world->server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(program, "deploy-gated", "--listen", listen, "--database", world->db.conninfo, NULL);
		_exit(127);
	}
}

int world_begin(void **state)
{
	const char *client = getenv("DEPLOY_GATE_BIN"), *server = getenv("DEPLOY_GATED_BIN");
	struct world *world;
	struct run run;

	if (!client || !server) {
		print_error("DEPLOY_GATE_BIN and DEPLOY_GATED_BIN name the programs to test\n");
		return -1;
	}
	world = calloc(1, sizeof(*world));
	if (!world)
		return -1;
	*state = world;
	world->client = client;
	memcpy(world->place, "/tmp/test-run-XXXXXX", sizeof("/tmp/test-run-XXXXXX"));
	if (!mkdtemp(world->place) || readlink("/proc/self/exe", world->self, sizeof(world->self) - 1) < 0)
		return -1;
	setenv("DEPLOY_GATE_STATE_DIR", world->place, 1);
	unsetenv("DEPLOY_GATE_TOKEN");
	db_create(&world->db);
	start_server(world, server);
	return run_words(world, &run, WORDS("-q", "deploy", "a", "--reach", "30s", "--", "true"));
}

int world_end(void **state)
{
	struct world *world = *state;

	if (!world || !world->server)
		return 0;
	kill(world->server, SIGCONT);
	kill(world->server, SIGTERM);
	waitpid(world->server, NULL, 0);
	db_drop(&world->db);
	unlink(world->socket);
	rmdir(world->place);
	free(world);
	return 0;
}

bool run_as_command(int argc, char **argv, int *code)
{
	if (argc > 2 && strcmp(argv[1], "record") == 0)
		*code = record(argv[2]);
	else if (argc > 1 && strcmp(argv[1], "descriptors") == 0)
		*code = list_descriptors();
	else
		return false;
	return true;
}
