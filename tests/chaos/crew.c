#include "chaos/crew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "chaos/holds.h"
#include "chaos/places.h"

enum { PATIENCE_MS = 75000, STEP_MS = 20, LOOK_TRIES = 20, LOOKER = CREW_MAX + 1 };

static const struct {
	void (*turn)(struct player *);
	unsigned count;
} roles[] = {
	{ play_deploy, 10 },
	{ play_job, 10 },
	{ play_check, 8 },
	{ play_sql, 8 },
	{ play_wrapper, 5 },
	{ play_force, 1 },
	{ play_bell, 1 },
	{ play_listener, 6 },
	{ play_guard, 1 },
	{ play_burglar, 1 },
	{ play_racing_deploy, 3 },
	{ play_racing_job, 3 },
};

static bool is_forever(void (*turn)(struct player *))
{
	return turn == play_probe;
}

static _Noreturn void play(const struct crew *crew, unsigned index, unsigned replica, void (*turn)(struct player *))
{
	struct player player;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	player_init(&player, crew, index);
	player.replica = replica;
	while (is_forever(turn) || !player_is_done(&player))
		turn(&player);
	player_release(&player);
	exit(EXIT_SUCCESS);
}

static void add(struct crew_list *list, unsigned replica, void (*turn)(struct player *))
{
	pid_t pid;

	if (list->count == CREW_MAX)
		die("more clients than there is room for");
	pid = fork();
	if (pid < 0)
		die("no process can be made");
	if (pid == 0)
		play(list->crew, (unsigned)list->count + 1, replica, turn);
	list->pids[list->count++] = pid;
}

void crew_start(struct crew_list *list, const struct crew *crew)
{
	*list = (struct crew_list){ .crew = crew };
	for (size_t r = 0; r < sizeof(roles) / sizeof(roles[0]); r++)
		for (unsigned i = 0; i < roles[r].count; i++)
			add(list, 0, roles[r].turn);
	for (unsigned replica = 1; replica <= crew->arena->count; replica++, list->probers++)
		add(list, replica, play_probe);
}

static bool ends_well(pid_t pid, int64_t deadline_ns)
{
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (history_now() > deadline_ns) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return false;
		}
		places_pause(STEP_MS);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

unsigned crew_finish(struct crew_list *list)
{
	int64_t deadline_ns = history_now() + PATIENCE_MS * MS;
	unsigned bad = 0;

	for (size_t i = 0; i < list->count - list->probers; i++)
		bad += !ends_well(list->pids[i], deadline_ns);
	for (size_t i = list->count - list->probers; i < list->count; i++)
		ends_well(list->pids[i], 0);
	return bad;
}

void crew_look_back(const struct crew *crew)
{
	struct history history;
	struct health health;
	struct holds holds;
	struct player player;

	history_read(&history, crew->path);
	health_init(&health, &history);
	holds_init(&holds, &history, &health);
	player_init(&player, crew, LOOKER);
	for (size_t i = 0; i < holds.count; i++) {
		const struct hold *hold = &holds.list[i];

		if (!hold_is_lease(hold) || strchr(hold->mark, '-'))
			continue;
		for (int tries = 0; tries < LOOK_TRIES && player_look(&player, hold->mark) == ANSWER_UNKNOWN; tries++)
			places_pause(STEP_MS);
	}
	player_release(&player);
	holds_release(&holds);
	health_release(&health);
	history_release(&history);
}
