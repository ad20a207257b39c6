#include "echod/clock.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>

int64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

int64_t
clock_date(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

int64_t
clock_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
clock_wait(int64_t until, const sigset_t *mask)
{
	const int64_t now = clock_now();
	const int64_t left = until > now ? until - now : 0;
	const struct timespec ts = {
		.tv_sec = left / CLOCK_SECOND,
		.tv_nsec = left % CLOCK_SECOND,
	};

	(void)ppoll(NULL, 0, until == CLOCK_NEVER ? NULL : &ts, mask);
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
