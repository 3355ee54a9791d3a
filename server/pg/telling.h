/* telling: a lease as SQL gives it in a row, deploy_gate.lease_row(), told as the JSON of the contract, as deploy_gate.lease_json()
 * tells it. */
#ifndef PG_TELLING_H
#define PG_TELLING_H

/* The JSON of a row, with all times relative to the instant at, which is PostgreSQL's text of a timestamp in UTC. The caller's
 * (free). */
char *telling_of_lease(const char *row, const char *at);

#endif
