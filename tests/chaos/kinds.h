/* kinds: how each fault of the menu is done: in replicas, in PostgreSQL, on the ways between them. */
#ifndef CHAOS_KINDS_H
#define CHAOS_KINDS_H

#include <stdbool.h>

struct arena;
struct fault;
struct strike;

/* The parts of the menu; each ends with a name that is NULL. */
extern const struct fault replica_faults[], postgres_faults[], way_faults[];

/* Helps them: a replica that runs, by chance, which the strike is about from now on. */
struct post *strike_post(struct strike *);

/* What is done, for people. */
void strike_say(struct strike *, const char *form, ...) __attribute__((format(printf, 2, 3)));

/* Notes what a query gives now, and whether it gives something else later. */
void strike_note(struct strike *, const char *sql);
bool strike_differs(struct strike *, const char *sql);

/* One of the three backends of a replica that runs, by chance; 0 for none. */
int strike_backend(struct strike *);

/* Stops a process, sees that it stands still, lets it go on. */
void strike_freeze(struct strike *, int pid);
bool strike_is_frozen(struct strike *);
void strike_thaw(struct strike *);

#endif
