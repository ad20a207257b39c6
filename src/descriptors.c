#include "echod/descriptors.h"

#include <unistd.h>

#include "echod/listener.h"

enum { LOW = 2 * LISTENERS_MAX };

void
descriptors_close(unsigned first, unsigned last)
{
	if (first > last || close_range(first, last, 0) == 0)
		return;
	for (unsigned fd = first; fd <= last && fd < LOW; fd++)
		close((int)fd);
}
