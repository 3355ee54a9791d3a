#include "chaos/breakages.h"

#include <stddef.h>
#include <string.h>

const struct breakage breakages[] = {
	{ .name = NULL },
};

const struct breakage *breakage_called(const char *name)
{
	for (const struct breakage *breakage = breakages; breakage->name; breakage++)
		if (strcmp(breakage->name, name) == 0)
			return breakage;
	return NULL;
}
