/* memory: whether there is enough of it to begin something new. Where memory fails in the middle of a change no answer is right:
 * then the process dies, and nothing is lost, for leases are rows. So that this stays rare, nothing is begun without a reserve. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>

/* Whether less can be had than what is under way may still want. */
bool memory_is_short(void);

#endif
