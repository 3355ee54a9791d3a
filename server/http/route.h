/* route: one row of the table of routes. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include <stdbool.h>

#include "base/outcome.h"

struct param;
struct request;

struct route {
	const char *method;		/* HEAD goes where GET does */
	const char *pattern;		/* a path; one segment of it may be {gate}, {gates} or {id} */
	const struct param *params;
	/* Replies, or hands the request over; anything but OUTCOME_OK is a refusal, then it did neither. */
	enum outcome (*handle)(struct request *, struct fault *);
	int kind;			/* of the change or read that handle asks for */
	bool change;			/* logged as such */
	const char *advice;		/* what to do where somebody else is in the way */
	const char *missing;		/* the sentence of a 404 from within */
};

#endif
