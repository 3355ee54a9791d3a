#include "clock.h"

#include <sys/random.h>
#include <time.h>

int64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_jitter(int64_t most_ms)
{
	uint32_t dice = 0;

	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != sizeof(dice))
		dice = (uint32_t)clock_ms();
	return most_ms - (int64_t)(dice % 1024) * most_ms / 2048;
}
