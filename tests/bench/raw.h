/* raw: what deploys and jobs would have without the service: sessions that block in pg_advisory_lock. Any trouble ends the
 * program. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdint.h>

struct raw;

/* A session that holds the lock, and so many that come for it. */
struct raw *raw_new(const char *conninfo, unsigned count);
void raw_free(struct raw *);

/* From the holder's unlock to the answer of one that blocks in pg_advisory_lock; to those of all that block in
 * pg_advisory_lock_shared. In ns. Afterwards it is as before. */
uint64_t raw_next_deploy(struct raw *);
uint64_t raw_all_jobs(struct raw *);

#endif
