#include "descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <unistd.h>

static int compare(const void *a, const void *b)
{
	unsigned left = *(const unsigned *)a, right = *(const unsigned *)b;

	return (left > right) - (left < right);
}

/* Nothing of ours may take the place of a closed stream: what is written there would go into the connection to the service.
 * The direction is the wrong one on purpose, so that writing fails as it did. The command finds the stream closed. */
static void fill_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

void descriptors_note(struct descriptors *descriptors)
{
	DIR *directory;
	const struct dirent *entry;

	fill_streams();
	directory = opendir("/proc/self/fd");
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
