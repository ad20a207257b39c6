#include "echod/descriptors.h"

#include <unistd.h>

/* More than there are sockets to serve, and a few. */
enum { LOW = 128 };

void
descriptors_close(unsigned first, unsigned last)
{
	if (first > last || close_range(first, last, 0) == 0)
		return;
	for (unsigned fd = first; fd <= last && fd < LOW; fd++)
		close((int)fd);
}
