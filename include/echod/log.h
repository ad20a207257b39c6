/*
 * One logger for all: a line per event, to standard error or to syslog.
 *
 * To log a line neither waits nor changes errno: one that its reader does not
 * take at once is dropped and counted, and the next line that is taken is after
 * the count.  A client's child does not log.
 */
#ifndef ECHOD_LOG_H
#define ECHOD_LOG_H

#include <syslog.h>

enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };

/*
 * Log what is at least as urgent as priority, one of syslog(3)'s, LOG_ERR to
 * LOG_DEBUG: to standard error, where whoever starts echod reads it, and from
 * log_settle() on to target.  Standard error that is the journal's
 * (JOURNAL_STREAM, systemd.exec(5)) gets sd-daemon(3)'s "<N>" prefixes; any
 * other gets "echod: " before warnings and errors.  Returns 0, or -1 with errno
 * set if there is no socket for syslog; then standard error it stays.  Called
 * again, it starts anew.
 */
int log_open(enum log_target target, int priority);

/*
 * Whether somebody reads what goes to syslog.  Returns 0, or -1 with errno set:
 * then lines are lost until somebody does.
 */
int log_find_syslogd(void);

/* The priority that log_open() was given. */
int log_priority(void);

/* echod serves: from now on log to log_open()'s target. */
void log_settle(void);

/* Give back what log_open() took; lines go to standard error again. */
void log_close(void);

/* Log one line, as printf(3) but without the newline. */
void log_line(int priority, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
