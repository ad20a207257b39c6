#include "echod/clock.h"

#include <time.h>

int64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

int64_t
clock_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
clock_pause(int64_t ns)
{
	const struct timespec ts = {
		.tv_sec = ns / CLOCK_SECOND,
		.tv_nsec = ns % CLOCK_SECOND,
	};

	nanosleep(&ts, NULL);
}
