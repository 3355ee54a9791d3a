#include <string.h>

#include "base/distance.h"
#include "options.h"

enum { FAR = 8 };

const char *nearest_word(const char *typed, const char *(*next)(const void *context, unsigned i), const void *context)
{
	size_t length = strlen(typed);
	unsigned best = length < 2 * FAR ? (unsigned)length / 2 + 1 : FAR;
	const char *nearest = NULL, *word;

	for (unsigned i = 0; (word = next(context, i)) != NULL; i++) {
		unsigned far = word_distance(typed, word);

		if (far < best) {
			best = far;
			nearest = word;
		}
	}
	return nearest;
}
