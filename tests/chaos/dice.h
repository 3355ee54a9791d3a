/* dice: chance that can be repeated: the same seed rolls the same numbers. */
#ifndef CHAOS_DICE_H
#define CHAOS_DICE_H

#include <stdint.h>

struct dice {
	uint64_t state;		/* the seed, to begin with */
};

uint64_t dice_roll(struct dice *);

/* A number from least to most. */
int dice_between(struct dice *, int least, int most);

#endif
