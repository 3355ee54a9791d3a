#include "instant.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* Reads ".789" as 789; further digits are dropped. */
static const char *read_fraction(const char *text, int64_t *ms)
{
	int64_t weight = 100;

	if (*text != '.')
		return text;
	for (text++; isdigit((unsigned char)*text); text++, weight /= 10)
		*ms += weight * (*text - '0');
	return text;
}

bool instant_parse(const char *text, int64_t *ms)
{
	struct tm parts = { 0 };
	int64_t fraction_ms = 0;
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;

	if (!rest || strcmp(read_fraction(rest, &fraction_ms), "Z") != 0)
		return false;
	*ms = (int64_t)timegm(&parts) * 1000 + fraction_ms;
	return true;
}
