#include "base/die.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void die(const char *why)
{
	fprintf(stderr, "fatal: %s\n", why);
	abort();
}

void *or_die(void *memory)
{
	if (!memory)
		die("out of memory");
	return memory;
}
