#include "descriptors.h"

#include <dirent.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	unsigned left = *(const unsigned *)a, right = *(const unsigned *)b;

	return (left > right) - (left < right);
}

void descriptors_note(struct descriptors *descriptors)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	descriptors->count = 0;
	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL && descriptors->count < DESCRIPTORS_MAX) {
		long number = strtol(entry->d_name, NULL, 10);

		if (number > STDERR_FILENO && number != dirfd(directory))
			descriptors->open[descriptors->count++] = (unsigned)number;
	}
	closedir(directory);
	qsort(descriptors->open, descriptors->count, sizeof(*descriptors->open), compare);
}

void descriptors_keep_only(const struct descriptors *descriptors)
{
	unsigned from = STDERR_FILENO + 1;

	for (unsigned i = 0; i < descriptors->count; i++) {
		if (descriptors->open[i] > from)
			close_range(from, descriptors->open[i] - 1, CLOSE_RANGE_CLOEXEC);
		from = descriptors->open[i] + 1;
	}
	close_range(from, UINT_MAX, CLOSE_RANGE_CLOEXEC);
}
