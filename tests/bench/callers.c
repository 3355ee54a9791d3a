#include "callers.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/die.h"

enum { REQUEST_MAX = 1024, REPLY_MAX = 64 * 1024, EVENTS_MAX = 256 };

struct caller {
	int fd;
	uint64_t sent_ns;
	size_t filled;
	char reply[REPLY_MAX];		/* untouched pages cost nothing */
};

struct callers {
	int epoll;
	unsigned count, under_way;
	heard_fn *heard;
	void *context;
	struct caller *list;
};

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int connect_to(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("cannot connect to the server");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

struct callers *callers_new(uint16_t port, unsigned count, heard_fn *heard, void *context)
{
	struct callers *c = or_die(calloc(1, sizeof(*c)));

	*c = (struct callers){
		.epoll = epoll_create1(EPOLL_CLOEXEC), .count = count, .heard = heard, .context = context
	};
	c->list = or_die(calloc(count, sizeof(*c->list)));
	for (unsigned i = 0; i < count; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		c->list[i].fd = connect_to(port);
		if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->list[i].fd, &event) != 0)
			die("epoll");
	}
	return c;
}

void callers_free(struct callers *c)
{
	for (unsigned i = 0; i < c->count; i++)
		close(c->list[i].fd);
	close(c->epoll);
	free(c->list);
	free(c);
}

void callers_send(struct callers *c, unsigned index, const char *path, const char *form)
{
	struct caller *caller = &c->list[index];
	char request[REQUEST_MAX];
	int size;

	if (form)
		size = snprintf(request, sizeof(request),
			"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(form),
			form);
	else
		size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
	if (size >= REQUEST_MAX)
		die("a request is too long");
	caller->filled = 0;
	caller->sent_ns = now_ns();
	c->under_way++;
	if (send(caller->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
		die("the server does not take a request");
}

static size_t announced_size(const char *reply)
{
	static const char field[] = "Content-Length: ";
	const char *length = strstr(reply, field);

	return length ? strtoul(length + sizeof(field) - 1, NULL, 10) : 0;
}

/* The body, once all of the reply is there; else NULL. */
static const char *whole_body(const struct caller *caller)
{
	const char *body = strstr(caller->reply, "\r\n\r\n");

	if (!body)
		return NULL;
	body += 4;
	return caller->filled < (size_t)(body - caller->reply) + announced_size(caller->reply) ? NULL : body;
}

static void take(struct callers *c, unsigned index)
{
	struct caller *caller = &c->list[index];
	ssize_t size = recv(caller->fd, caller->reply + caller->filled, REPLY_MAX - 1 - caller->filled, 0);
	const char *body;

	if (size <= 0)
		die("the server hung up, or a reply is too long");
	caller->filled += (size_t)size;
	caller->reply[caller->filled] = '\0';
	body = whole_body(caller);
	if (!body)
		return;
	c->under_way--;
	c->heard(c->context,
		&(struct heard){ .caller = index,
			.status = (int)strtol(caller->reply + strlen("HTTP/1.1 "), NULL, 10),
			.body = body,
			.sent_ns = caller->sent_ns,
			.at_ns = now_ns() });
}

void callers_run(struct callers *c)
{
	struct epoll_event events[EVENTS_MAX];

	while (c->under_way) {
		int count = epoll_wait(c->epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++)
			take(c, events[i].data.u32);
	}
}
