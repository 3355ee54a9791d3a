/* json: strict JSON over cJSON, and its plain-text form. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

struct cJSON;
struct gates;

/* Parses exactly one value of size bytes, at most 16 deep: no doubled names, no \u0000, no bytes behind it, valid UTF-8.
 * The result is the caller's (cJSON_Delete). OUTCOME_BAD_REQUEST says what is wrong and where. */
MUST_CHECK enum outcome json_parse(const char *text, size_t size, struct cJSON **, struct fault *);

/* Add a member, or die for lack of memory: cJSON drops members silently. NULL text adds nothing. */
void json_add_text(struct cJSON *object, const char *name, const char *text);
void json_add_number(struct cJSON *object, const char *name, int64_t number);
void json_add_bool(struct cJSON *object, const char *name, int truth);
void json_add_raw(struct cJSON *object, const char *name, const char *json);
void json_add_gates(struct cJSON *object, const char *name, const struct gates *);

/* The text of a member, or NULL; the number of a member, or fallback. Names match exactly; dotted paths descend. */
const char *json_text(const struct cJSON *, const char *path);
int64_t json_number(const struct cJSON *, const char *path, int64_t fallback);

/* The same text as it is ms later: each number in a member whose name ends in "_in_ms" is smaller by that, and each in one that
 * ends in "_ago_ms" is larger. text is valid JSON. The result is the caller's (free). Dies for lack of memory. */
char *json_later(const char *text, int64_t ms);

/* Prints without white space. The result is the caller's (free). Dies for lack of memory. */
char *json_print(const struct cJSON *);

/* Likewise, and frees what was printed. */
char *json_finish(struct cJSON *);

/* Prints as `key: value` lines: `state` first, nested members joined by a dot, list members by index from 0, nulls left
 * out, line breaks in values as \n. The result is the caller's (free). */
char *json_print_text(const struct cJSON *);

#endif
