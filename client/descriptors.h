/* descriptors: which open files a command inherits. Those we were started with are its business (a lock of flock, a
 * jobserver); those we opened since are ours alone, also where a library forgot to mark them. */
#ifndef CLIENT_DESCRIPTORS_H
#define CLIENT_DESCRIPTORS_H

enum { DESCRIPTORS_MAX = 64 };

struct descriptors {
	unsigned count;
	unsigned open[DESCRIPTORS_MAX]; /* ascending, from 3 on */
};

/* Notes what is open now: to be called before anything else is opened. What is beyond the first 64 is not inherited.
 * Standard streams that are closed are, for us alone, /dev/null from now on. */
void descriptors_note(struct descriptors *);

/* In a process about to become a command: marks all others to be closed. Async-signal-safe. */
void descriptors_keep_only(const struct descriptors *);

#endif
