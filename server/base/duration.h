/* duration: lengths of time as people write them (90s, 1h30m), in milliseconds. */
#ifndef BASE_DURATION_H
#define BASE_DURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

#define DURATION_MAX_MS (366LL * 24 * 60 * 60 * 1000)
enum { DURATION_TEXT_MAX = 48 };

/* Parses from 1 ms (or 0, where zero_ok) to 366 d: units ms s m h d, each at most once, largest first.
 * what names the parameter in the fault; a bare number is told to carry a unit. */
MUST_CHECK enum outcome duration_parse(const char *what, const char *text, bool zero_ok, int64_t *ms, struct fault *);

/* Writes "1h30m", "500ms", "0s": what duration_parse reads back. Exact. */
void duration_format(int64_t ms, char text[static DURATION_TEXT_MAX]);

/* Writes the two largest units, rounded, for sentences: "4m 10s", "2d 3h"; milliseconds only below a second: "800ms". */
void duration_say(int64_t ms, char text[static DURATION_TEXT_MAX]);

#endif
