/* samples: how long each of many things took, for rates, medians and the slowest. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
	uint64_t *ns;
	size_t count, room;
};

void samples_add(struct samples *, uint64_t ns);
void samples_release(struct samples *);

/* The sample below which that many percent of all are, in ms; 0 where there is none. Sorts them. */
double samples_ms(struct samples *, double percent);

#endif
