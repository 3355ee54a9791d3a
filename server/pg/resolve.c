#include "pg/resolve.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/die.h"

enum { HOSTS_MAX = 32, LIST_MAX = 4096 };

struct resolve {
	uv_getaddrinfo_t lookup;
	struct uv_loop_s *loop;
	void *context;
	void (*found)(void *context, const struct endpoints *, const char *why);
	char *hosts, *ports;			/* as libpq would take them */
	char *next_host, *next_port;		/* what is still to be looked up */
	const char *current_host, *current_port;
	char host[LIST_MAX], hostaddr[LIST_MAX], port[LIST_MAX];
	unsigned names;				/* that had to be looked up */
	char failure[256];
};

static void look_up_next(struct resolve *);

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0 && options->val && *options->val)
			return options->val;
	return NULL;
}

static void append(char list[static LIST_MAX], const char *item, bool first)
{
	size_t used = strlen(list);

	snprintf(list + used, LIST_MAX - used, "%s%s", first ? "" : ",", item);
}

static void add_endpoint(struct resolve *r, const char *address)
{
	bool first = !*r->host;

	append(r->host, r->current_host, first);
	append(r->hostaddr, address, first);
	append(r->port, r->current_port, first);
}

static void free_closed(uv_handle_t *handle)
{
	struct resolve *r = handle->data;

	free(r->hosts);
	free(r->ports);
	free(handle);
	free(r);
}

/* Ends it through a handle of its own, so that found() never runs inside resolve_start. */
static void finish(uv_timer_t *timer)
{
	struct resolve *r = timer->data;
	struct endpoints none = { "", "", "" }, all = { r->host, r->hostaddr, r->port };

	if (r->found)
		r->found(r->context, r->names ? &all : &none, *r->host || !*r->failure ? NULL : r->failure);
	uv_close((uv_handle_t *)timer, free_closed);
}

static void finish_soon(struct resolve *r)
{
	uv_timer_t *timer = or_die(calloc(1, sizeof(*timer)));

	uv_timer_init(r->loop, timer);
	timer->data = r;
	uv_timer_start(timer, finish, 0, 0);
}

static void looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *addresses)
{
	struct resolve *r = lookup->data;
	char text[NI_MAXHOST];

	if (status)
		snprintf(r->failure, sizeof(r->failure), "the database host \"%s\" has no address: %s", r->current_host,
			uv_strerror(status));
	for (struct addrinfo *a = addresses; a; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0)
			add_endpoint(r, text);
	uv_freeaddrinfo(addresses);
	look_up_next(r);
}

static const char *take_item(char **list)
{
	const char *item = strsep(list, ",");

	return item ? item : "";
}

static void look_up_next(struct resolve *r)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

	while (r->found && r->next_host) {
		const char *port = take_item(&r->next_port);

		r->current_host = take_item(&r->next_host);
		r->current_port = *port || r->next_port ? port : r->current_port;
		if (*r->current_host == '/' || *r->current_host == '@' || !*r->current_host) {
			add_endpoint(r, "");
			continue;
		}
		r->names++;
		r->lookup.data = r;
		if (uv_getaddrinfo(r->loop, &r->lookup, looked_up, r->current_host, NULL, &hints) == 0)
			return;
	}
	finish_soon(r);
}

/* What the conninfo says of this, else what libpq would take from its environment. */
static char *effective(const PQconninfoOption *given, const PQconninfoOption *defaults, const char *keyword)
{
	const char *value = option_of(given, keyword);

	return or_die(strdup(value ? value : option_of(defaults, keyword) ? option_of(defaults, keyword) : ""));
}

struct resolve *resolve_start(struct uv_loop_s *loop, const char *conninfo, void *context,
	void (*found)(void *, const struct endpoints *, const char *), char **why)
{
	PQconninfoOption *given = PQconninfoParse(conninfo, why), *defaults = PQconndefaults();
	struct resolve *r = NULL;

	if (!given)
		goto out;
	r = or_die(calloc(1, sizeof(*r)));
	r->loop = loop;
	r->context = context;
	r->found = found;
	r->hosts = effective(given, defaults, "host");
	r->ports = effective(given, defaults, "port");
	r->next_port = r->ports;
	r->current_port = "";
	if (*r->hosts && !option_of(given, "hostaddr") && !option_of(given, "service"))
		r->next_host = r->hosts;
	look_up_next(r);
out:
	PQconninfoFree(given);
	PQconninfoFree(defaults);
	return r;
}

void resolve_cancel(struct resolve *r)
{
	r->found = NULL;
	uv_cancel((uv_req_t *)&r->lookup);
}
