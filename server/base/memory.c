#include "base/memory.h"

#include <stddef.h>
#include <sys/mman.h>

enum { RESERVE_BYTES = 32 << 20 };

/* Asked of the kernel itself, which counts it against every limit, and given back before it costs a page. */
bool memory_is_short(void)
{
	void *reserve = mmap(NULL, RESERVE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (reserve == MAP_FAILED)
		return true;
	munmap(reserve, RESERVE_BYTES);
	return false;
}
