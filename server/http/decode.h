/* decode: percent-encoding, undone once and strictly. */
#ifndef HTTP_DECODE_H
#define HTTP_DECODE_H

#include <stdbool.h>

#include "base/outcome.h"

/* Decodes text in place; in query strings and forms a plus is a blank. An escape that is cut short, %00 and, in paths
 * (plus_is_blank false), %2F are OUTCOME_BAD_REQUEST, and text is then in disorder. what names the place in the fault. */
MUST_CHECK enum outcome decode_percent(const char *what, char *text, bool plus_is_blank, struct fault *);

#endif
