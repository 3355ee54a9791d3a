/* die: the end for what cannot be gone on with: no memory, no random numbers. */
#ifndef BASE_DIE_H
#define BASE_DIE_H

/* Says why on standard error and aborts. */
_Noreturn void die(const char *why);

/* The pointer it was handed; dies if that is NULL. */
void *or_die(void *memory);

#endif
