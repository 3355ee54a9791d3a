#include "http/clients.h"

#include <stdlib.h>
#include <sys/socket.h>

/* A client that keeps its connection gets longer to begin the next request than one that just connected. */
static const uint64_t limits_ms[] = {
	[CLIENT_HEADER] = 10000,
	[CLIENT_BODY] = 30000,
	[CLIENT_BUSY] = UINT64_MAX,
	[CLIENT_REPLY] = 60000,
	[CLIENT_IDLE] = 75000,
	[CLIENT_CUT] = UINT64_MAX,
};

/* How long it must have been so before it may be cut to make room for others; UINT64_MAX: never. Less would cut those who just
 * came in a crowd. */
static const uint64_t spared_ms[] = {
	[CLIENT_HEADER] = 1000,
	[CLIENT_BODY] = 1000,
	[CLIENT_BUSY] = UINT64_MAX,
	[CLIENT_REPLY] = 1000,
	[CLIENT_IDLE] = 0,
	[CLIENT_CUT] = UINT64_MAX,
};

void clients_init(struct clients *clients)
{
	TAILQ_INIT(&clients->list);
	clients->count = 0;
}

struct client *clients_add(struct clients *clients, const struct listener *listener, int fd, uint64_t now_ms)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->listener = listener;
	client->fd = fd;
	client->phase = CLIENT_HEADER;
	client->since_ms = now_ms;
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	clients->count++;
	return client;
}

void clients_remove(struct clients *clients, struct client *client)
{
	TAILQ_REMOVE(&clients->list, client, entry);
	clients->count--;
	reply_forget(&client->kept);
	free(client);
}

void client_enter(struct client *client, enum client_phase phase, uint64_t now_ms)
{
	if (client->phase == CLIENT_CUT)
		return;
	client->phase = phase;
	client->since_ms = now_ms;
}

static void cut(struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
	client->phase = CLIENT_CUT;
}

void clients_sweep(struct clients *clients, uint64_t now_ms)
{
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (now_ms - client->since_ms > limits_ms[client->phase])
		cut(client);
}

/* Whether there is more to say for cutting the one than the other. */
static bool goes_before(const struct client *one, const struct client *other)
{
	if ((one->phase == CLIENT_IDLE) != (other->phase == CLIENT_IDLE))
		return one->phase == CLIENT_IDLE;
	return one->since_ms < other->since_ms;
}

static bool cut_one(struct clients *clients, uint64_t now_ms)
{
	struct client *client, *first = NULL;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (now_ms - client->since_ms >= spared_ms[client->phase] && (!first || goes_before(client, first)))
		first = client;
	if (first)
		cut(first);
	return first != NULL;
}

bool clients_make_room(struct clients *clients, unsigned most, uint64_t now_ms)
{
	unsigned made = 0;

	while (made < most && cut_one(clients, now_ms))
		made++;
	return made > 0;
}
