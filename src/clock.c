#include "echod/clock.h"

#include <poll.h>
#include <stddef.h>

int64_t
clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

uint64_t
clock_date(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec;
}

struct timespec
clock_span(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timespec){
		.tv_sec = ns / CLOCK_SECOND,
		.tv_nsec = ns % CLOCK_SECOND,
	};
}

int64_t
clock_earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

void
clock_wait(int64_t until, const sigset_t *mask)
{
	const struct timespec ts = clock_span(until - clock_now());

	(void)ppoll(NULL, 0, until == CLOCK_NEVER ? NULL : &ts, mask);
}

void
clock_pause(int64_t ns)
{
	const struct timespec ts = clock_span(ns);

	nanosleep(&ts, NULL);
}
