/* clock: the one clock of the client, which goes on while the machine is suspended. */
#ifndef CLIENT_CLOCK_H
#define CLIENT_CLOCK_H

#include <stdint.h>

/* Milliseconds of CLOCK_BOOTTIME: a lease runs out while a laptop sleeps, and CLOCK_MONOTONIC would not notice. */
int64_t clock_ms(void);

/* A random length of time between half of most_ms and most_ms, so that many clients do not come back all at once. */
int64_t clock_jitter(int64_t most_ms);

#endif
