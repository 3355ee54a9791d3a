/* params: the parameters of a request, from its query string, its form or its JSON body, held against a table. */
#ifndef HTTP_PARAMS_H
#define HTTP_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/outcome.h"

struct cJSON;

enum param_type {
	PARAM_TEXT,
	PARAM_URL,
	PARAM_TOKEN,			/* becomes its digest */
	PARAM_DURATION,			/* becomes milliseconds */
	PARAM_GATE,
	PARAM_GATES,			/* by commas; becomes a list */
	PARAM_BOOL,
	PARAM_NUMBER,
	PARAM_TIME,			/* RFC 3339 */
	PARAM_WORD,
	PARAM_ID			/* of a lease */
};

enum param_mark { PARAM_REQUIRED = 1, PARAM_ZERO_OK = 2 };

struct param {
	const char *name;
	enum param_type type;
	const char *key;		/* its name in the request object */
	unsigned marks;
	int64_t low, high;		/* of a number */
	const char *words;		/* by | */
};

/* A table of them ends with a row whose name is NULL. Every table has "format" without a row. */
enum { PARAMS_MAX = 20 };

struct params {
	const struct param *table;
	char *format;
	char **values;			/* by row of the table; NULL until the first came */
};

void params_init(struct params *, const struct param *table);
void params_release(struct params *);

/* Take in what was sent. Unknown names, doubles, and secrets in a query are OUTCOME_BAD_REQUEST. query and form are decoded
 * in place. */
MUST_CHECK enum outcome params_read_query(struct params *, char *query, struct fault *);
MUST_CHECK enum outcome params_read_form(struct params *, char *form, struct fault *);
MUST_CHECK enum outcome params_read_json(struct params *, const char *body, size_t size, struct fault *);

/* Whether a query, as it was sent, asks for text, whatever is wrong with the rest of it; NULL does not. */
bool params_ask_for_text(const char *query);

/* Takes in one value as if it had been sent under that name. */
MUST_CHECK enum outcome params_add(struct params *, const char *name, const char *value, struct fault *);

/* Whether there is such a parameter in the table. */
int params_knows(const struct params *, const char *name);

/* What was sent, unchecked; NULL for nothing. */
const char *params_value(const struct params *, const char *name);

/* Checks all that was sent, and that what is required was, and adds it to the request object. */
MUST_CHECK enum outcome params_fill(const struct params *, struct cJSON *object, struct fault *);

#endif
