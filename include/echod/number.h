/*
 * Numbers, as people write them on a command line.
 */
#ifndef ECHOD_NUMBER_H
#define ECHOD_NUMBER_H

#include <stdbool.h>

/*
 * Read text, decimal digits only, as a number from min to max, neither of them
 * negative.  Returns whether it is one; else *number is unchanged.
 */
bool number_parse(
    const char *text, long long min, long long max, long long *number);

#endif
