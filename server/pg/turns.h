/* turns: the changes that wait for a batch, in the order in which it is to decide them.
 * Owns a change from turns_add until it went aboard, or was failed. */
#ifndef PG_TURNS_H
#define PG_TURNS_H

#include <stdbool.h>

#include "pg/change.h"

struct turns {
	struct changes queues[TURN_COUNT];
};

void turns_init(struct turns *);
void turns_add(struct turns *, struct change *);

/* Whether anything waits. */
bool turns_any(const struct turns *);

/* Takes aboard what goes out together, and says how many those are. A change that is to go alone does. */
unsigned turns_board(struct turns *, struct changes *aboard);

/* What was aboard goes before what came since. */
void turns_put_back(struct turns *, struct changes *aboard);

/* Answers all with this outcome. */
void turns_fail(struct turns *, enum outcome);

#endif
