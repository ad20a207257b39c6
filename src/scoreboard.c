#include "echod/scoreboard.h"

#include <sys/mman.h>

struct slot *
scoreboard_new(size_t n)
{
	void *board = mmap(NULL, n * sizeof(struct slot),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return board != MAP_FAILED ? board : NULL;
}

void
scoreboard_free(struct slot *board, size_t n)
{
	munmap(board, n * sizeof(*board));
}
