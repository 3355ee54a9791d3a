#include "base/distance.h"

#include <string.h>

enum { WORD_MAX = 40 };

unsigned word_distance(const char *one, const char *other)
{
	size_t length = strlen(other);
	unsigned row[WORD_MAX + 1];

	if (strlen(one) > WORD_MAX || length > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= length; j++)
		row[j] = j;
	for (; *one; one++) {
		unsigned diagonal = row[0]++;

		for (size_t j = 1; j <= length; j++) {
			unsigned change = diagonal + (*one != other[j - 1]);
			unsigned least = row[j] < row[j - 1] ? row[j] : row[j - 1];

			diagonal = row[j];
			row[j] = change < least + 1 ? change : least + 1;
		}
	}
	return row[length];
}
