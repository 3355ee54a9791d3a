/* steps: since when somebody waits who asks again and again, each time under the same name. A step that came to nothing is
 * remembered for a moment, in which the next one follows. Knows neither gates nor requests. */
#ifndef GATE_STEPS_H
#define GATE_STEPS_H

#include <stdint.h>

enum { STEPS_KEPT_MS = 5000 };		/* the moment: so long at least, and twice that at most */

struct steps;

struct steps *steps_new(void);
void steps_free(struct steps *);

/* A step has ended in vain. now_ms: of a clock that does not jump. since_ms is given back as it is. */
void steps_end(struct steps *, const char *name, int64_t since_ms, uint64_t now_ms);

/* What the step before this one told of; since_ms where there is none. */
int64_t steps_since(struct steps *, const char *name, int64_t since_ms, uint64_t now_ms);

#endif
