#include "support/cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_STEPS = 12000, STEP_NS = 5000000 };

/* The user that PostgreSQL and pgbouncer run as where we are root, as in the script of the clusters. */
#define AS_SERVER                                                                                                      \
	"as=; if [ \"$(id -u)\" = 0 ]; then user=$(id -un postgres 2>/dev/null || echo nobody); chown \"$user\" " \
	"\"$1\"; " \
	"as=\"setpriv --reuid=$user --regid=$(id -g \"$user\") --clear-groups env HOME=$1\"; fi; "

static pid_t spawn(const char *const *words, int out)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (out >= 0)
			dup2(out, STDOUT_FILENO);
		execvp(words[0], (char *const *)(uintptr_t)words);
		_exit(127);
	}
	return pid;
}

/* Runs a command that must succeed, and gives the first line that it wrote. */
static void run(const char *const *words, char *line, size_t size)
{
	int ends[2], status;
	size_t length = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) != 0)
		fail_msg("no pipe");
	pid = spawn(words, ends[1]);
	close(ends[1]);
	while (length < size - 1 && (got = read(ends[0], line + length, size - 1 - length)) > 0)
		length += (size_t)got;
	close(ends[0]);
	line[length] = 0;
	line[strcspn(line, "\n")] = 0;
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s %s failed", words[0], words[1]);
}

static void make_directory(char dir[static 48])
{
	snprintf(dir, 48, "/tmp/deploy-gate-test.XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) != 0)
		fail_msg("no directory can be made in /tmp");
}

static void remove_directory(char dir[static 48])
{
	char ignored[16];

	run((const char *const[]){ "rm", "-rf", dir, NULL }, ignored, sizeof(ignored));
	dir[0] = 0;
}

static void launch(struct cluster *cluster, const char *port)
{
	char listen[128];
	const char *at;

	snprintf(listen, sizeof(listen), "listen_addresses=%s", cluster->listen[0] ? cluster->listen : "127.0.0.1");
	run((const char *const[]){ "scripts/postgres", "start", cluster->dir, port, "-c", "fsync=off", "-c", listen,
		    NULL },
		cluster->db.conninfo, sizeof(cluster->db.conninfo));
	at = strstr(cluster->db.conninfo, "port=");
	assert_non_null(at);
	cluster->port = (unsigned)strtoul(at + 5, NULL, 10);
	snprintf(cluster->db.name, sizeof(cluster->db.name), "postgres");
}

static void prepare(struct cluster *cluster)
{
	if (!cluster->dir[0])
		make_directory(cluster->dir);
}

void cluster_start(struct cluster *cluster)
{
	prepare(cluster);
	launch(cluster, "0");
}

static void copy_data(const struct cluster *cluster, const struct cluster *primary)
{
	static const char copy[] =
		AS_SERVER "bin=$(printf '%s\\n' /usr/lib/postgresql/*/bin | sort -rV | head -n 1); rm -rf \"$1/data\"; "
			  "$as cp \"$2/password\" \"$1/password\" && "
			  "$as \"$bin/pg_basebackup\" -c fast -R -X stream -D \"$1/data\" -d \"$3\" >&2";
	char ignored[16];

	run((const char *const[]){ "sh", "-c", copy, "sh", cluster->dir, primary->dir, primary->db.conninfo, NULL },
		ignored, sizeof(ignored));
}

void cluster_follow(struct cluster *cluster, const struct cluster *primary)
{
	prepare(cluster);
	copy_data(cluster, primary);
	launch(cluster, "0");
}

void cluster_stop(struct cluster *cluster, const char *how)
{
	char ignored[16];

	run((const char *const[]){ "scripts/postgres", "stop", cluster->dir, how, NULL }, ignored, sizeof(ignored));
}

void cluster_start_again(struct cluster *cluster)
{
	char port[16];

	snprintf(port, sizeof(port), "%u", cluster->port);
	launch(cluster, port);
}

void cluster_follow_anew(struct cluster *cluster, const struct cluster *primary)
{
	copy_data(cluster, primary);
	cluster_start_again(cluster);
}

void cluster_restart(struct cluster *cluster, const char *how)
{
	char ignored[512];

	run((const char *const[]){ "scripts/postgres", "restart", cluster->dir, how, NULL }, ignored, sizeof(ignored));
}

void cluster_release(struct cluster *cluster)
{
	if (!cluster->dir[0])
		return;
	cluster_stop(cluster, "immediate");
	remove_directory(cluster->dir);
}

static unsigned free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* Waits until somebody answers at the port. */
static void await_port(unsigned port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) }
	};

	for (int step = 0; step < PATIENCE_STEPS; step++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0),
		    failed = connect(fd, (struct sockaddr *)&address, sizeof(address));

		close(fd);
		if (!failed)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = STEP_NS }, NULL);
	}
	fail_msg("nobody listens on port %u", port);
}

static void write_settings(
	const struct pooler *pooler, const struct cluster *cluster, unsigned port, const char *mode, const char *more)
{
	char path[80];
	FILE *out;

	snprintf(path, sizeof(path), "%s/pgbouncer.ini", pooler->dir);
	out = fopen(path, "w");
	assert_non_null(out);
	fprintf(out,
		"[databases]\npostgres = %s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %u\nauth_type = any\n"
		"unix_socket_dir =\npool_mode = %s\n%s\n",
		cluster->db.conninfo, port, mode, more);
	fclose(out);
}

static const char exec_pooler[] =
	AS_SERVER "cd / && exec $as \"$(PATH=$PATH:/usr/sbin command -v pgbouncer)\" -q \"$1/pgbouncer.ini\"";

void pooler_start(struct pooler *pooler, const struct cluster *cluster, const char *mode, const char *more)
{
	unsigned port = free_port();

	make_directory(pooler->dir);
	write_settings(pooler, cluster, port, mode, more);
	pooler->pid = spawn((const char *const[]){ "sh", "-c", exec_pooler, "sh", pooler->dir, NULL }, -1);
	snprintf(pooler->conninfo, sizeof(pooler->conninfo), "host=127.0.0.1 port=%u user=postgres dbname=postgres",
		port);
	await_port(port);
}

void pooler_release(struct pooler *pooler)
{
	if (!pooler->dir[0])
		return;
	kill(pooler->pid, SIGKILL);
	waitpid(pooler->pid, NULL, 0);
	remove_directory(pooler->dir);
}
