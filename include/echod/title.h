/*
 * What ps(1) shows, through libbsd's setproctitle(3bsd).
 */
#ifndef ECHOD_TITLE_H
#define ECHOD_TITLE_H

/*
 * To be called first in main(), with its arguments: the title is written over
 * them and over the environment, which both move.
 */
void title_init(int argc, char *argv[], char *envp[]);

/* Show "echod: " and this, as printf(3).  No system calls. */
void title_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
