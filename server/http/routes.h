/* routes: what can be asked for. One table; 404, 405 and Allow derive from it. */
#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

#include <stddef.h>

#include "base/outcome.h"
#include "http/route.h"

enum { ALLOW_MAX = 64 };

/* Ends with a row whose method is NULL. */
extern const struct route routes[];

/* Where a route's {…} matched in the path. */
struct capture {
	const char *at;
	size_t size;
};

/* The route for a method and a raw path, without its query. OUTCOME_NOT_FOUND; OUTCOME_METHOD_NOT_ALLOWED, and then allow lists
 * the methods there are. */
MUST_CHECK enum outcome routes_find(const char *method, const char *path, const struct route **, struct capture *,
	char allow[static ALLOW_MAX], struct fault *);

#endif
