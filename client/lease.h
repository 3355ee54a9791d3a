/* lease: the requests about one lease, as the commands make them. */
#ifndef CLIENT_LEASE_H
#define CLIENT_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"
#include "base/outcome.h"

struct cJSON;
struct client;
struct reply;

/* A lease we hold, or ask for. */
struct lease {
	char token[TOKEN_MAX + 1];
	char id[LEASE_ID_LEN + 1];
	const char *gates; /* "a,b" as the command line has them */
	bool is_pass;
	bool is_kept; /* of an outer one: a wrapper keeps it alive */
};

/* A lease of that token; its id follows from it. */
void lease_init(struct lease *, const char *gates, const char *token);

/* Likewise, with a new token: of a window, or of a pass. */
void lease_make(struct lease *, const char *gates, bool is_pass);

/* Closes the gates with the token of the lease, waiting as the options say. As waiting_ask. After a signal the
 * place in the queue, or the window, has been given up. UNAVAILABLE: it is not known whether they are closed. */
enum outcome lease_close(struct client *, const struct lease *, struct reply *);

/* Ends the window of the token, for a deploy that failed if so. As client_ask. */
enum outcome lease_open(struct client *, const struct lease *, bool failed, struct reply *);

/* Takes a pass with the token of the lease, waiting as the options say; is let in where it is inside the window of an
 * outer token, which may be NULL. As lease_close. */
enum outcome lease_pass(struct client *, const struct lease *, const char *outer, struct reply *);

/* Ends the pass. As client_ask. */
enum outcome lease_release(struct client *, const struct lease *, struct reply *);

/* Tells that the gates stay shut behind a deploy that failed, and until when. */
void lease_say_held(struct client *, const struct lease *);

/* Releases the pass, or opens as lease_open does, with a reach of within_ms if that is shorter than --reach. */
enum outcome lease_end(struct client *, const struct lease *, bool failed, int64_t within_ms, struct reply *);

/* Ends the lease, or gives the place in the queue up, by best effort: what is left lapses by itself. A second
 * signal ends this too. UNAVAILABLE: it is not known what came of it. */
enum outcome lease_give_up(struct client *, const struct lease *, bool failed);

/* Lets it live for so long from now; -1: as long as before. As client_ask; GONE too if the service knows it no more. */
enum outcome lease_renew(struct client *, const struct lease *, int64_t ttl_ms, struct reply *);

/* Likewise: changes its reason. */
enum outcome lease_set_reason(struct client *, const struct lease *, const char *reason, struct reply *);

/* What the service knows about it. As client_ask. */
enum outcome lease_look(struct client *, const struct lease *, struct reply *);

/* Prints what the service knows about it as JSON, which is without its token. Gives what to end with. */
int lease_print(struct client *, const struct lease *);

/* Whether an answer of lease_look tells of a lease that has not ended. */
bool lease_is_live(const struct reply *);

/* {"token": …} for a request. The result is the caller's (cJSON_Delete). */
struct cJSON *lease_token_json(const struct lease *);

#endif
