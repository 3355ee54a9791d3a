/* moment: points in time as RFC 3339 writes them. */
#ifndef HTTP_MOMENT_H
#define HTTP_MOMENT_H

#include <stdbool.h>

/* Whether text is a time that there is, in the years 1 to 9999, with a zone: 2024-05-31T14:30:00.250Z, …+02:00. */
bool moment_is_valid(const char *text);

#endif
