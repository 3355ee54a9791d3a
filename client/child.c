#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/die.h"
#include "descriptors.h"
#include "signals.h"

enum { FAILED = 127, SIGNALLED = 128 };

/* In the child: becomes the command, or writes why not. Calls only what may be called between fork and exec. */
static _Noreturn void become(const struct child *child, char **argv, const struct signals *signals,
	const struct descriptors *inherited, pid_t parent, int report)
{
	int error;

	setpgid(0, 0);
	if (child->foreground)
		tcsetpgrp(child->terminal, getpid());
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(FAILED); /* we died before the death signal was asked for */
	descriptors_keep_only(inherited);
	signals_restore(signals);
	execvp(argv[0], argv);
	error = errno;
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(FAILED);
	_exit(FAILED);
}

/* What the child wrote of why it could not become the command; 0 if it became it. */
static int read_report(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == sizeof(error) ? error : 0;
}

/* Whether our group has the terminal: a shell hands it to a whole job. */
static bool in_foreground(const struct child *child)
{
	return child->terminal >= 0 && tcgetpgrp(child->terminal) == getpgrp();
}

static void hand_over_terminal(struct child *child)
{
	child->foreground = in_foreground(child);
	if (child->foreground)
		tcsetpgrp(child->terminal, child->pid);
}

/* Takes the terminal back if the command has it. A shell that we are in the background of would not survive the loss. */
static void take_terminal(const struct child *child)
{
	if (child->foreground || (child->terminal >= 0 && tcgetpgrp(child->terminal) == child->pid))
		tcsetpgrp(child->terminal, getpgrp());
}

int child_start(struct child *child, char **argv, const struct signals *signals, const struct descriptors *inherited)
{
	pid_t parent = getpid();
	int report[2], error;

	*child = (struct child){ .terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY) };
	/* a script without job control has what it puts into the background in its own group, with INT ignored */
	child->foreground = in_foreground(child) && !signal_is_ignored(SIGINT);
	if (pipe2(report, O_CLOEXEC) != 0)
		die("no descriptors for a pipe");
	child->pid = fork();
	if (child->pid == 0)
		become(child, argv, signals, inherited, parent, report[1]);
	close(report[1]);
	if (child->pid > 0)
		setpgid(child->pid, child->pid);
	error = child->pid < 0 ? errno : read_report(report[0]);
	close(report[0]);
	if (error && child->pid > 0)
		child_reap(child);
	return error;
}

void child_continue(struct child *child)
{
	if (!child->foreground || tcgetpgrp(child->terminal) != child->pid)
		hand_over_terminal(child);
	child_signal(child, SIGCONT);
}

/* The command stopped: the terminal goes back to the shell, and we stop, so that the shell sees it. Whoever continues
 * us continues the command. Without a terminal it is somebody's business with the command alone. */
static void stop_too(struct child *child)
{
	take_terminal(child);
	kill(0, SIGTSTP); /* the rest of our job, as the terminal would have; ours is taken back by SIGCONT */
	kill(getpid(), SIGSTOP);
	child_continue(child);
}

/* A command that wants the terminal gets it if we have been put into the foreground, which nobody tells those who run. */
static void stopped_by(struct child *child, int number)
{
	bool wants_terminal = number == SIGTTIN || number == SIGTTOU;

	if (wants_terminal && in_foreground(child))
		child_continue(child);
	else if (wants_terminal || child->foreground || (number == SIGTSTP && in_foreground(child)))
		stop_too(child);
}

void child_look(struct child *child)
{
	siginfo_t info = { .si_pid = 0 };

	if (child->ended)
		return;
	if (waitid(P_PID, (id_t)child->pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid)
		stopped_by(child, info.si_status);
	info.si_pid = 0;
	if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || !info.si_pid)
		return;
	child->ended = true;
	child->status = info.si_code == CLD_EXITED ? info.si_status : SIGNALLED + info.si_status;
}

void child_signal(const struct child *child, int number)
{
	kill(-child->pid, number);
}

/* Whether /proc/PID/stat tells of a process of that group that is no zombie. */
static bool runs_in_group(const char *pid, pid_t group)
{
	char path[64], line[512];
	const char *fields;
	FILE *file;
	size_t got;
	long found;
	char *end;

	snprintf(path, sizeof(path), "/proc/%.16s/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	got = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[got] = '\0';
	fields = strrchr(line, ')'); /* the name before may hold anything; then: state, parent, group */
	if (!fields || strlen(fields) < 4 || fields[2] == 'Z' || fields[2] == 'X')
		return false;
	strtol(fields + 4, &end, 10);
	found = strtol(end, NULL, 10);
	return found == group;
}

bool child_group_lives(const struct child *child)
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;
	bool lives = false;

	if (!directory)
		return false;
	while (!lives && (entry = readdir(directory)) != NULL)
		lives = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && runs_in_group(entry->d_name, child->pid);
	closedir(directory);
	return lives;
}

void child_reap(struct child *child)
{
	take_terminal(child);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (child->terminal >= 0)
		close(child->terminal);
	child->terminal = -1;
}
