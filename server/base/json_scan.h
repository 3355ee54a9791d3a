/* json_scan: whether a text is JSON, to the letter, before cJSON, which forgives much, may read it. */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include <stddef.h>

/* Scans exactly one value of size bytes, at most depth deep. NULL if it is one; else what is wrong there, and *at says at
 * which byte, from 0. */
const char *json_scan(const char *text, size_t size, int depth, size_t *at);

#endif
