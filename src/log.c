#include "echod/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 }; /* less than PIPE_BUF: a line is never torn */

static struct {
	int priority;
	enum log_target target;
	int stderror; /* where to write for standard error */
	int syslog; /* a socket for its datagrams, -1: not wanted */
	bool journal; /* standard error is read by it */
	bool may_block; /* standard error may: ask before writing */
	unsigned long dropped;
} logger = {
	.priority = LOG_INFO,
	.stderror = STDERR_FILENO,
	.syslog = -1,
};

static const struct sockaddr_un syslogd = {
	.sun_family = AF_UNIX,
	.sun_path = "/dev/log",
};

/* Whether standard error is the stream that JOURNAL_STREAM names. */
static bool
is_journal(const struct stat *st)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	    st->st_dev == dev && st->st_ino == ino;
}

/*
 * poll(2) does not tell whether a terminal has room for a whole line, and
 * others may fill a pipe meanwhile.  So it is opened anew: O_NONBLOCK on the
 * descriptor given would be the caller's, too.
 */
static void
open_anew(void)
{
	const int fd = open(
	    "/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd != -1)
		logger.stderror = fd;
}

static void
close_anew(void)
{
	if (logger.stderror != STDERR_FILENO)
		close(logger.stderror);
	logger.stderror = STDERR_FILENO;
}

void
log_close(void)
{
	close_anew();
	if (logger.syslog != -1)
		close(logger.syslog);
	logger.syslog = -1;
	logger.target = LOG_TO_STDERR;
}

int
log_open(enum log_target target, int priority)
{
	struct stat st;

	log_close();
	logger.priority = priority;
	if (fstat(STDERR_FILENO, &st) == 0) {
		if (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode))
			open_anew();
		logger.may_block =
		    !S_ISREG(st.st_mode) && logger.stderror == STDERR_FILENO;
		logger.journal = is_journal(&st);
	}
	if (target == LOG_TO_STDERR)
		return 0;
	tzset(); /* read /etc/localtime while it can be read */
	logger.syslog =
	    socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return logger.syslog == -1 ? -1 : 0;
}

int
log_find_syslogd(void)
{
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		return -1;

	const int found =
	    connect(fd, (const struct sockaddr *)&syslogd, sizeof(syslogd));
	const int error = errno;

	close(fd);
	errno = error;
	return found;
}

int
log_priority(void)
{
	return logger.priority;
}

void
log_settle(void)
{
	if (logger.syslog == -1)
		return;
	logger.target = LOG_TO_SYSLOG;
	close_anew();
}

/* What goes before the text.  Returns its length. */
static size_t
write_prefix(char *line, size_t size, int priority)
{
	int len = 0;

	if (logger.target == LOG_TO_SYSLOG) { /* RFC 3164, as syslog(3) does */
		/* time(2) may be a call that the filter does not know. */
		struct timespec now;
		char stamp[sizeof("Jan  1 00:00:00")] = "";
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &now);
		if (localtime_r(&now.tv_sec, &tm) != NULL)
			strftime(stamp, sizeof(stamp), "%b %e %T", &tm);
		len = snprintf(line, size,
		    "<%d>%s echod[%d]: ", LOG_DAEMON | priority, stamp,
		    (int)getpid());
	} else if (logger.journal) {
		len = snprintf(line, size, "<%d>", priority);
	} else if (priority <= LOG_WARNING) {
		len = snprintf(line, size, "echod: ");
	}
	return (size_t)len;
}

/* Returns whether the whole line was taken. */
static bool
emit(const char *line, size_t len)
{
	if (logger.target == LOG_TO_SYSLOG) {
		/* Addressed each time, so a syslogd may come, go and return. */
		return sendto(logger.syslog, line, len, MSG_NOSIGNAL,
			   (const struct sockaddr *)&syslogd,
			   sizeof(syslogd)) == (ssize_t)len;
	}
	if (logger.may_block) {
		struct pollfd pfd = { .fd = logger.stderror,
			.events = POLLOUT };

		const struct timespec at_once = { 0 };

		if (ppoll(&pfd, 1, &at_once, NULL) != 1 ||
		    !(pfd.revents & POLLOUT))
			return false;
	}
	return write(logger.stderror, line, len) == (ssize_t)len;
}

static void __attribute__((format(printf, 2, 0)))
log_text(int priority, const char *fmt, va_list ap)
{
	char line[LINE_SIZE];
	size_t len = write_prefix(line, sizeof(line), priority);
	const int n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);

	if (n < 0)
		return;
	len += (size_t)n;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	for (size_t i = 0; i < len; i++) /* of a user's own words */
		if (iscntrl((unsigned char)line[i]))
			line[i] = '?';
	if (logger.target == LOG_TO_STDERR)
		line[len++] = '\n';
	if (!emit(line, len))
		logger.dropped++;
}

static void __attribute__((format(printf, 1, 2)))
log_dropped(const char *fmt, ...)
{
	const unsigned long dropped = logger.dropped;
	va_list ap;

	logger.dropped = 0;
	va_start(ap, fmt);
	log_text(LOG_WARNING, fmt, ap);
	va_end(ap);
	if (logger.dropped != 0) /* still no room */
		logger.dropped = dropped;
}

void
log_line(int priority, const char *fmt, ...)
{
	const int saved = errno;
	va_list ap;

	if (priority <= logger.priority) {
		if (logger.dropped != 0)
			log_dropped("%lu log lines were lost: nobody took them",
			    logger.dropped);
		errno = saved; /* for %m */
		va_start(ap, fmt);
		log_text(priority, fmt, ap);
		va_end(ap);
	}
	errno = saved;
}
