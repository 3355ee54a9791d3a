/* instant: points in time as the service writes them. */
#ifndef CLIENT_INSTANT_H
#define CLIENT_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds since 1970 of "2026-01-31T12:34:56.789Z". False: it is none, or NULL. */
bool instant_parse(const char *text, int64_t *ms);

#endif
