#include "samples.h"

#include <stdlib.h>

#include "base/die.h"

void samples_add(struct samples *s, uint64_t ns)
{
	if (s->count == s->room) {
		s->room = s->room ? 2 * s->room : 4096;
		s->ns = or_die(reallocarray(s->ns, s->room, sizeof(*s->ns)));
	}
	s->ns[s->count++] = ns;
}

void samples_release(struct samples *s)
{
	free(s->ns);
	*s = (struct samples){ 0 };
}

static int compare(const void *one, const void *other)
{
	const uint64_t *a = one, *b = other;

	return (*a > *b) - (*a < *b);
}

double samples_ms(struct samples *s, double percent)
{
	size_t place = (size_t)((double)s->count * percent / 100);

	if (!s->count)
		return 0;
	qsort(s->ns, s->count, sizeof(*s->ns), compare);
	return (double)s->ns[place < s->count ? place : s->count - 1] / 1e6;
}
