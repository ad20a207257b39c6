#include "echod/title.h"

#include <bsd/unistd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int width; /* of argv[0] */

void
title_init(int argc, char *argv[], char *envp[])
{
	if (argc > 0)
		width = (int)strlen(argv[0]);
	setproctitle_init(argc, argv, envp);
}

void
title_set(const char *fmt, ...)
{
	char text[256]; /* libbsd takes no more */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Of a title shorter than argv[0], libbsd makes "title   ." */
	setproctitle("%-*s", width, text);
}
