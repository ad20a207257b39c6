/*
 * Time, as echod counts it: nanoseconds of CLOCK_MONOTONIC in an int64_t.
 */
#ifndef ECHOD_CLOCK_H
#define ECHOD_CLOCK_H

#include <signal.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND INT64_C(1000000000)
#define CLOCK_MILLISECOND INT64_C(1000000)
#define CLOCK_MICROSECOND INT64_C(1000)
#define CLOCK_NEVER INT64_MAX

/* The time now, clock_gettime(2).  Cannot fail.  Async-signal-safe. */
int64_t clock_now(void);

/* Seconds since 1970, of the clock that people set.  Cannot fail. */
uint64_t clock_date(void);

/* A span of ns as ppoll(2) has it; none if it is negative. */
struct timespec clock_span(int64_t ns);

/* The earlier of two times. */
int64_t clock_earlier(int64_t a, int64_t b);

/*
 * Wait until a time, or for a signal of those that mask, ppoll(2)'s, lets in.
 */
void clock_wait(int64_t until, const sigset_t *mask);

/* Wait for ns, nanosleep(2); less if a signal comes. */
void clock_pause(int64_t ns);

#endif
