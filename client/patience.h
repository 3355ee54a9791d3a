/* patience: how long to wait for one address of the service before the next is tried. Arithmetic alone. With somewhere else
 * to go little at first, so that one that hangs costs a command little; more with each round through all of them, lest a
 * service that is slow be never heard. */
#ifndef CLIENT_PATIENCE_H
#define CLIENT_PATIENCE_H

#include <stdint.h>

struct patience {
	unsigned addresses;
	unsigned turns;	   /* how many addresses in a row nobody answered at */
	int64_t answer_ms; /* how long an answer may take at most, with nowhere else to go */
};

/* How long a connection may take. */
int64_t patience_to_connect(const struct patience *);

/* How long an answer may take, with the connection, that the service does not wait with. */
int64_t patience_to_answer(const struct patience *);

#endif
