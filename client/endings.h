/* endings: how leases end, in words. */
#ifndef CLIENT_ENDINGS_H
#define CLIENT_ENDINGS_H

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

/* Whether whoever held a lease ended it, rather than time or somebody else. word may be NULL. */
bool ending_is_orderly(const char *word);

/* "the lease has expired", "the lease was forced open by ann@mars (it hung)": of an ended lease. */
void ending_say(const struct cJSON *lease, char *text, size_t size);

#endif
