/* advice: what to do about a refusal, said as commands and options where the service says it as requests and parameters. */
#ifndef CLIENT_ADVICE_H
#define CLIENT_ADVICE_H

struct reply;

/* Changes the sentence of a refusal. gates: those of the command line, or NULL. */
void advice_translate(struct reply *, const char *gates);

/* Takes the advice out of the sentence: we are doing what it says. */
void advice_drop(struct reply *);

#endif
