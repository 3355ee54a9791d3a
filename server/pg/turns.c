#include "pg/turns.h"

#include <limits.h>

enum { CHANGES_MAX = 256 };

void turns_init(struct turns *turns)
{
	for (int i = 0; i < TURN_COUNT; i++)
		changes_init(&turns->queues[i]);
}

void turns_add(struct turns *turns, struct change *change)
{
	changes_add(&turns->queues[change->turn], change);
}

bool turns_any(const struct turns *turns)
{
	for (int i = 0; i < TURN_COUNT; i++)
		if (turns->queues[i].first)
			return true;
	return false;
}

/* However many others there are, expiry has room. */
unsigned turns_board(struct turns *turns, struct changes *aboard)
{
	static const enum turn order[TURN_COUNT] = { TURN_FIRST, TURN_AS_IT_COMES, TURN_LAST };
	bool alone = false;
	unsigned count = 0;

	for (int i = 0; i < TURN_COUNT; i++) {
		struct changes *queue = &turns->queues[order[i]];
		unsigned room = order[i] == TURN_LAST ? UINT_MAX : CHANGES_MAX;

		while (queue->first && count < room && !alone && !(count && queue->first->alone)) {
			struct change *change = changes_take(queue);

			changes_add(aboard, change);
			alone = change->alone;
			count++;
		}
	}
	return count;
}

void turns_put_back(struct turns *turns, struct changes *aboard)
{
	struct turns again;

	turns_init(&again);
	for (struct change *change; (change = changes_take(aboard));)
		turns_add(&again, change);
	for (int i = 0; i < TURN_COUNT; i++)
		changes_put_back(&turns->queues[i], &again.queues[i]);
}

void turns_fail(struct turns *turns, enum outcome outcome)
{
	for (int i = 0; i < TURN_COUNT; i++)
		changes_fail(&turns->queues[i], outcome);
}
