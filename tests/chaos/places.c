#include "chaos/places.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "chaos/arena.h"

/* A cluster has 130 MiB at its start, and keeps less than as much of its log. */
#define DISK_SIZE "size=400m"

/* Runs a script with one word as $1; whether it succeeded. */
static bool succeeds(const char *script, const char *word)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execlp("sh", "sh", "-c", script, "sh", word, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void make_directory(char dir[static 48])
{
	snprintf(dir, 48, "/tmp/deploy-gate-chaos.XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) != 0)
		fail_msg("no directory can be made in /tmp");
}

static void remove_clusters(struct arena *arena)
{
	for (int i = 0; i < 2; i++) {
		struct cluster *cluster = &arena->clusters[i];

		cluster_stop(cluster, "immediate");
		umount2(cluster->dir, MNT_DETACH);
		cluster_release(cluster);
	}
}

/* However this process ends, its clusters end with it: a child sees to that. */
static void guard_clusters(struct arena *arena)
{
	pid_t parent = getpid();
	sigset_t end;

	arena->guard = fork();
	if (arena->guard != 0)
		return;
	sigfillset(&end);
	sigprocmask(SIG_BLOCK, &end, NULL);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	sigemptyset(&end);
	sigaddset(&end, SIGUSR1);
	while (getppid() == parent)
		sigwaitinfo(&end, NULL);
	remove_clusters(arena);
	rmdir(arena->dir);
	_exit(0);
}

void places_make(struct arena *arena)
{
	make_directory(arena->dir);
	arena->has_network = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	arena->has_disks =
		geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	if (arena->has_network && !succeeds("ip link set lo up", ""))
		fail_msg("the network of the chaos cannot be set up: is iproute2 installed?");
	for (int i = 0; i < 2; i++) {
		char *dir = arena->clusters[i].dir;

		make_directory(dir);
		if (arena->has_disks && mount("tmpfs", dir, "tmpfs", 0, DISK_SIZE) != 0)
			arena->has_disks = false;
	}
	guard_clusters(arena);
}

static void keep_log(const struct arena *arena, const struct cluster *cluster)
{
	char name[80];

	snprintf(name, sizeof(name), "%s/postgres.%u.log", arena->dir, cluster->port);
	setenv("KEPT", name, 1);
	succeeds("cp \"$1/log\" \"$KEPT\"", cluster->dir);
}

void places_unmake(struct arena *arena, bool keep)
{
	for (int i = 0; keep && i < 2; i++)
		keep_log(arena, &arena->clusters[i]);
	kill(arena->guard, SIGKILL);
	waitpid(arena->guard, NULL, 0);
	remove_clusters(arena);
	if (keep)
		fprintf(stderr, "the logs are in %s\n", arena->dir);
	else
		succeeds("rm -r \"$1\"", arena->dir);
}

void places_join(const char *address)
{
	if (!succeeds("ip addr add \"$1/32\" dev lo", address))
		fail_msg("no address %s", address);
}

void places_part(const char *address)
{
	if (!succeeds("ip addr del \"$1/32\" dev lo", address))
		fail_msg("no address %s to take away", address);
}

static void ballast_path(const struct cluster *cluster, char out[static 64])
{
	snprintf(out, 64, "%s/ballast", cluster->dir);
}

void places_fill(const struct cluster *cluster)
{
	static const char zeros[65536];
	char path[64];
	int fd;

	ballast_path(cluster, path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (size_t size = sizeof(zeros); size > 0;)
		if (write(fd, zeros, size) <= 0)
			size /= 2;
	close(fd);
}

void places_empty(const struct cluster *cluster)
{
	char path[64];

	ballast_path(cluster, path);
	unlink(path);
}

unsigned places_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

void places_pause(int64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}
