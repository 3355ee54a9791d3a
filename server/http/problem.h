/* problem: a refusal, as RFC 9457 wants it and as a person does. */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "base/outcome.h"

struct cJSON;

struct problem {
	enum outcome outcome;
	const char *facts;		/* JSON object with "gate" or "lease", or NULL */
	const char *detail;		/* what the facts do not tell, or NULL */
	const char *advice;		/* what to do where somebody else is in the way, or NULL */
};

/* The problem as JSON: type, code, title, status, detail, and of the facts state, gate and lease. The caller's (free). */
char *problem_print(const struct problem *);

/* The sentences for a person: who, why, since when, until when, what to do. facts may be NULL. The caller's (free). */
char *problem_detail(const struct problem *, const struct cJSON *facts);

#endif
