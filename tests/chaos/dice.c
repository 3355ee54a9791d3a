#include "chaos/dice.h"

/* SplitMix64: any seed will do, and seeds side by side have nothing in common. */
uint64_t dice_roll(struct dice *dice)
{
	uint64_t roll = dice->state += 0x9e3779b97f4a7c15;

	roll = (roll ^ (roll >> 30)) * 0xbf58476d1ce4e5b9;
	roll = (roll ^ (roll >> 27)) * 0x94d049bb133111eb;
	return roll ^ (roll >> 31);
}

int dice_between(struct dice *dice, int least, int most)
{
	return least + (int)(dice_roll(dice) % (uint64_t)(most - least + 1));
}
