#include "echod/memory.h"

#include <errno.h>
#include <sys/mman.h>

void *
memory_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (madvise(memory, size, MADV_DONTFORK) == -1) {
		const int saved = errno;

		munmap(memory, size);
		errno = saved;
		return NULL;
	}
	return memory;
}

void
memory_free(void *memory, size_t size)
{
	munmap(memory, size);
}
