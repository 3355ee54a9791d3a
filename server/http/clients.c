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
};

void clients_init(struct clients *clients)
{
	TAILQ_INIT(&clients->list);
	clients->count = 0;
}

struct client *clients_add(struct clients *clients, const struct listener *listener, int fd, uint64_t now_ms)
{
	struct client *client = malloc(sizeof(*client));

	if (!client)
		return NULL;
	client->listener = listener;
	client->fd = fd;
	client->waiting = NULL;
	client->watched = false;
	client_enter(client, CLIENT_HEADER, now_ms);
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	clients->count++;
	return client;
}

void clients_remove(struct clients *clients, struct client *client)
{
	TAILQ_REMOVE(&clients->list, client, entry);
	clients->count--;
	free(client);
}

void client_enter(struct client *client, enum client_phase phase, uint64_t now_ms)
{
	client->phase = phase;
	client->since_ms = now_ms;
}

static void cut(struct client *client)
{
	shutdown(client->fd, SHUT_RDWR);
}

void clients_sweep(struct clients *clients, uint64_t now_ms)
{
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (now_ms - client->since_ms > limits_ms[client->phase])
		cut(client);
}

bool clients_cut_idlest(struct clients *clients)
{
	struct client *client, *idlest = NULL;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (client->phase == CLIENT_IDLE && (!idlest || client->since_ms < idlest->since_ms))
		idlest = client;
	if (!idlest)
		return false;
	cut(idlest);
	client_enter(idlest, CLIENT_REPLY, idlest->since_ms);	/* so that it is not chosen again before it is gone */
	return true;
}
