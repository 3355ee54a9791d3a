/* What happens on the ways between the parts. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/faults.h"
#include "chaos/kinds.h"
#include "chaos/places.h"

static bool answers(const char *address, unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answered;

	inet_pton(AF_INET, address, &to.sin_addr);
	answered = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return answered;
}

static bool has_network(const struct arena *arena)
{
	return arena->has_network;
}

static void part(struct strike *strike)
{
	strike_say(strike, "%s", strike_post(strike)->name);
	places_part(strike->post->address);
}

static bool is_apart(struct strike *strike)
{
	return !answers(strike->post->address, arena_primary(strike->arena)->port);
}

static void rejoin(struct strike *strike)
{
	places_join(strike->post->address);
}

static void cut(struct strike *strike)
{
	strike_say(strike, "those of %s", strike_post(strike)->name);
	proxy_cut(&strike->post->way);
}

static bool is_cut(struct strike *strike)
{
	return !answers("127.0.0.1", strike->post->way.port);
}

static void mend(struct strike *strike)
{
	proxy_mend(&strike->post->way);
}

static void silence(struct strike *strike)
{
	strike_say(strike, "those of %s", strike_post(strike)->name);
	strike_freeze(strike, strike->post->way.pid);
}

const struct fault way_faults[] = {
	{ "partition", "the network loses all packets between a replica and PostgreSQL", has_network, part, is_apart,
		rejoin, 300, 9000, false },
	{ "clients-cut", "all connections of clients to a replica end", NULL, cut, is_cut, mend, 100, 2000, false },
	{ "clients-silent", "nothing passes between a replica and its clients", NULL, silence, strike_is_frozen,
		strike_thaw, 300, 5000, false },
	{ .name = NULL },
};
