/* client: what every command works with, and the asking of the service with patience.
 * Owned by main, which makes it before a command runs and releases it after. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/names.h"
#include "descriptors.h"
#include "http.h"
#include "options.h"
#include "report.h"
#include "signals.h"
#include "urls.h"

/* Exit codes that are no outcome of the service. */
enum {
	EXIT_SHUT = 1,
	EXIT_USAGE = 64,
	EXIT_OUT_OF_REACH = 69,
	EXIT_INTERNAL = 70,
	EXIT_LOST = 76,
	EXIT_CONFIGURATION = 78,
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128 /* plus its number */
};

struct client {
	struct options options;
	struct gates *gates; /* the first argument where it names gates, else NULL */
	struct report report;
	struct signals signals;
	struct descriptors inherited;
	struct urls urls;
	char *access_token; /* or NULL */
	struct http *http;
	char request_id[TOKEN_MADE_LEN + 1];
	int interrupted;		 /* the signal that ended the asking, or 0 */
	char holder[TEXT_MAX_BYTES + 1]; /* user@host, unless --holder says otherwise */
	const char *job;		 /* the name of the command, unless --job does; NULL if there is none */
};

/* Addresses, access token, HTTP. False: it could not be set up, *code is what to end with, and the line was printed. */
MUST_CHECK bool client_init(struct client *, int *code);
void client_release(struct client *);

/* In a process just forked: an http of its own, in place of one whose connections the other process has too. */
void client_begin_afresh(struct client *);

/* One exchange. False: a signal came (client->interrupted), and there is no reply. */
MUST_CHECK bool client_exchange(struct client *, const struct request *, struct reply *);

/* Whether a signal came that interrupts us (client->interrupted). */
MUST_CHECK bool client_is_interrupted(struct client *);

/* Lets so much time pass. False: a signal came. */
MUST_CHECK bool client_pause(struct client *, int64_t ms);

/* How long to look for a server that answers. */
struct reach {
	int64_t end_ms;
	int64_t tell_ms; /* from when on it is told that nobody answers */
	unsigned failures;
	bool unfound;	/* somewhere in this round through the addresses there was no service, rather than one that cannot answer */
	char said[440]; /* of each of them */
};

/* From now on, for --reach. */
struct reach reach_begin(const struct client *);

/* After an exchange that nobody answered, as the reply says: turns to the next address, after a pause if all were tried; then
 * the reply says it of all. False: it is over, or a signal came. */
MUST_CHECK bool reach_again(struct client *, struct reach *, struct reply *);

/* Asks until somebody answers or the reach is over. reply->outcome also says what came of it: UNAVAILABLE for the
 * latter, INTERNAL with client->interrupted set for a signal. */
enum outcome client_ask(struct client *, const struct request *, struct reply *);

/* As client_ask, with this for the body of the request. Takes it. */
enum outcome client_send(struct client *, const struct request *, struct cJSON *body, struct reply *);

/* What is done behind the last exchange of an asking, and its result: nothing is waited for any more, and the sentence says
 * what to do in the words of the command line. */
enum outcome client_asked(struct client *, struct reply *);

/* Ends with what a refusal says; after a signal, with 128 and its number. */
int client_end(struct client *, const struct reply *);

/* The first item of a member that is a list; NULL if there is none. */
const struct cJSON *client_first(const struct cJSON *object, const char *member);

/* Prints an answer as JSON on standard output. */
void client_print_json(const struct cJSON *);

#endif
