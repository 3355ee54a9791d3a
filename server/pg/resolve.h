/* resolve: looks host names of a conninfo up on the loop, because libpq would block in it. */
#ifndef PG_RESOLVE_H
#define PG_RESOLVE_H

#include <stdbool.h>

struct resolve;
struct uv_loop_s;

/* Host, address and port lists for libpq, alike in length: a name with two addresses stands in them twice. All empty where the
 * conninfo names no host that has to be looked up. Valid while found() runs; why is NULL unless a name has no address. */
struct endpoints {
	const char *host, *hostaddr, *port;
};

/* Looks up what the conninfo, or libpq's environment, names. found() runs from the loop, once, unless cancelled. The resolve
 * frees itself. NULL if the conninfo is malformed: then *why is a sentence to be freed. */
struct resolve *resolve_start(struct uv_loop_s *, const char *conninfo, void *context,
	void (*found)(void *context, const struct endpoints *, const char *why), char **why);
void resolve_cancel(struct resolve *);

#endif
