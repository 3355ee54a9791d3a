/* advice: what a refusal tells somebody to do, in the words of HTTP. It stands here because the client, which knows all of it,
 * says it in the words of the command line. */
#ifndef BASE_ADVICE_H
#define BASE_ADVICE_H

#define ADVICE_TO_WAIT "To wait until it opens, ask …/wait?timeout=10m instead"
#define ADVICE_AGAIN "To go on waiting, ask again"
#define ADVICE_IN_LINE "To wait in line, say wait=30m; if that deploy is dead, force-open the gate"
#define ADVICE_IN_LINE_BEHIND_SQL \
	"To wait in line, say wait=30m; if nobody needs that session, end it: SELECT pg_terminate_backend(pid)"
#define ADVICE_TO_WAIT_INSIDE "To wait until there is room inside, say wait=10m"
#define ADVICE_SAME_TOKEN "ask again with the same token"
#define ADVICE_DRAIN_GOES_ON "this goes on for 15 s: " ADVICE_SAME_TOKEN
#define ADVICE_IN_STEPS "to wait longer, ask again when it is over"
#define ADVICE_THE_SHUT_ONE "What shuts it has to be opened itself"
#define ADVICE_END_SESSION "If nobody needs that session, end it: SELECT pg_terminate_backend(pid)"

#endif
