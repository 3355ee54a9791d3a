/* wrapped: the command that a wrapper runs in the chaos, which is this program again. */
#ifndef CHAOS_WRAPPED_H
#define CHAOS_WRAPPED_H

#include <stdbool.h>

#define WRAPPED_WORD "act"

/* Runs it where the program was called as such; false: it was not. */
bool wrapped_run(int argc, char **argv);

#endif
