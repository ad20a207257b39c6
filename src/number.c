#include "echod/number.h"

#include <bsd/stdlib.h>
#include <ctype.h>
#include <stddef.h>

bool
number_parse(const char *text, long long min, long long max, long long *number)
{
	const char *bad;

	/* strtonum(3bsd) alone would also take blanks and a plus sign. */
	if (!isdigit((unsigned char)text[0]))
		return false;

	const long long n = strtonum(text, min, max, &bad);

	if (bad != NULL)
		return false;
	*number = n;
	return true;
}
