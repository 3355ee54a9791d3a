/* gates: what the commands ask about gates alone. */
#ifndef CLIENT_GATES_H
#define CLIENT_GATES_H

#include <stdbool.h>

#include "base/outcome.h"

struct cJSON;
struct client;
struct gates;
struct reply;

/* One look whether all are open. As client_ask; OK only if the answer says open. */
enum outcome gates_check(struct client *, const char *gates, struct reply *);

/* Waits until all are open at one instant, as the options say. As waiting_ask. */
enum outcome gates_wait(struct client *, const char *gates, struct reply *);

/* Prints as JSON that they are open. answer: of the service; NULL for what it need not be asked, because outer leases cover
 * it. */
void gates_print_open(const struct cJSON *answer);

/* The state of one gate. As client_ask. */
enum outcome gates_look(struct client *, const char *gate, struct reply *);

/* Warns of gates that nobody ever closed or declared: mostly a slip of the pen. False: --require-known makes it an
 * end, which is in *code. answer: that of a check or wait. */
MUST_CHECK bool gates_known(struct client *, const char *gates, const struct cJSON *answer, int *code);

/* The same by asking about each gate first. False also if the service did not answer. */
MUST_CHECK bool gates_known_ask(struct client *, const struct gates *, int *code);

#endif
