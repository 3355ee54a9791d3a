#include "support/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAIRS_MAX = 256, PIECE = 16384 };

/* Two connections: what comes in at one goes out at the other. In poll's array they stand side by side, from 1 on. */
struct pairs {
	struct pollfd at[1 + 2 * PAIRS_MAX];
	nfds_t count;
};

static int listen_on(unsigned *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t size = sizeof(address);
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, PAIRS_MAX) != 0 ||
		getsockname(fd, (struct sockaddr *)&address, &size) != 0)
		fail_msg("no port for a proxy: %s", strerror(errno));
	*port = ntohs(address.sin_port);
	return fd;
}

/* Connects to the server; -1 where that fails. */
static int reach(const char *target)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in inet = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool is_local = strncmp(target, "unix:", 5) == 0;
	const struct sockaddr *address = is_local ? (void *)&local : (void *)&inet;
	int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(local.sun_path, sizeof(local.sun_path), "%s", target + 5);
	inet.sin_port = htons((uint16_t)strtoul(strrchr(target, ':') + 1, NULL, 10));
	if (connect(fd, address, is_local ? sizeof(local) : sizeof(inet)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void take_connection(struct pairs *pairs, const char *target)
{
	int near = accept4(pairs->at[0].fd, NULL, NULL, SOCK_CLOEXEC);
	int far = near < 0 || pairs->count + 2 > 1 + 2 * PAIRS_MAX ? -1 : reach(target);

	if (far < 0) {
		close(near);
		return;
	}
	pairs->at[pairs->count++] = (struct pollfd){ .fd = near, .events = POLLIN };
	pairs->at[pairs->count++] = (struct pollfd){ .fd = far, .events = POLLIN };
}

/* Passes one piece on. False: either side is gone. */
static bool pass_on(int from, int to)
{
	char piece[PIECE];
	ssize_t got = read(from, piece, sizeof(piece));

	for (ssize_t at = 0, put; at < got; at += put) {
		put = write(to, piece + at, (size_t)(got - at));
		if (put <= 0)
			return false;
	}
	return got > 0;
}

static void look_at_pair(struct pairs *pairs, nfds_t first)
{
	struct pollfd *near = &pairs->at[first], *far = near + 1;
	bool lives = (!near->revents || pass_on(near->fd, far->fd)) && (!far->revents || pass_on(far->fd, near->fd));

	if (lives)
		return;
	close(near->fd);
	close(far->fd);
	pairs->count -= 2;
	memmove(near, far + 1, (pairs->count - first) * sizeof(*near));
}

static _Noreturn void pump(int fd, const char *target)
{
	struct pairs pairs = { .at[0] = { .fd = fd, .events = POLLIN }, .count = 1 };

	for (;;) {
		nfds_t count = pairs.count;

		poll(pairs.at, count, -1);
		for (nfds_t first = count; first > 1; first -= 2)
			look_at_pair(&pairs, first - 2);
		if (pairs.at[0].revents)
			take_connection(&pairs, target);
	}
}

void proxy_mend(struct proxy *proxy)
{
	int fd = listen_on(&proxy->port);

	proxy->pid = fork();
	if (proxy->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
		pump(fd, proxy->target);
	}
	close(fd);
}

void proxy_start(struct proxy *proxy, const char *target)
{
	*proxy = (struct proxy){ .port = 0 };
	snprintf(proxy->target, sizeof(proxy->target), "%s", target);
	proxy_mend(proxy);
	snprintf(proxy->url, sizeof(proxy->url), "http://127.0.0.1:%u", proxy->port);
}

void proxy_stall(const struct proxy *proxy)
{
	kill(proxy->pid, SIGSTOP);
}

void proxy_go_on(const struct proxy *proxy)
{
	kill(proxy->pid, SIGCONT);
}

void proxy_cut(struct proxy *proxy)
{
	kill(proxy->pid, SIGKILL);
	waitpid(proxy->pid, NULL, 0);
	proxy->pid = 0;
}

void proxy_release(struct proxy *proxy)
{
	if (proxy->pid > 0)
		proxy_cut(proxy);
	*proxy = (struct proxy){ 0 };
}
