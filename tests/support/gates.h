/* gates: how the names of gates stand to each other. All are lists of names by commas. */
#ifndef SUPPORT_GATES_H
#define SUPPORT_GATES_H

#include <stdbool.h>

/* Whether what closes some gates shuts one of others; whether two windows are in each other's way; whether a name is in both. */
bool gates_shut(const char *closed, const char *gates);
bool gates_conflict(const char *one, const char *other);
bool gates_meet(const char *one, const char *other);

#endif
