#include "echod/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/log.h"
#include "echod/number.h"

enum { READY_SECONDS = 5, MESSAGE_SIZE = SYSTEMD_STATUS_SIZE + 64 };

static const char *const variables[] = {
	"LISTEN_PID",
	"LISTEN_PIDFDID",
	"LISTEN_FDS",
	"LISTEN_FDNAMES",
	"NOTIFY_SOCKET",
	"WATCHDOG_PID",
	"WATCHDOG_USEC",
};

/* Whether the variable is there and is this process's pid. */
static bool
names_us(const char *variable)
{
	const char *text = getenv(variable);
	long long pid;

	return text != NULL && number_parse(text, 1, INT_MAX, &pid) &&
	    pid == getpid();
}

int
systemd_listen_fds(void)
{
	const char *text = getenv("LISTEN_FDS");
	long long n;

	if (text == NULL || !names_us("LISTEN_PID"))
		return 0;
	if (!number_parse(text, 0, INT_MAX - SYSTEMD_FDS_START, &n))
		return -1;
	for (int i = 0; i < (int)n; i++) /* before others take their numbers */
		if (fcntl(SYSTEMD_FDS_START + i, F_GETFD) == -1)
			return -1;
	return (int)n;
}

/* The name that our own descriptors have: none that systemd.socket(5) allows.
 */
#define OWN "echod\1"

bool
systemd_is_own(void)
{
	const char *names = getenv("LISTEN_FDNAMES");

	return names != NULL && strcmp(names, OWN) == 0;
}

static int
set_number(const char *variable, int n)
{
	char text[sizeof("2147483647")];

	snprintf(text, sizeof(text), "%d", n);
	return setenv(variable, text, 1);
}

int
systemd_hand_over(int fd[], int n)
{
	/* First out of each other's way. */
	for (int i = 0; i < n; i++)
		if ((fd[i] = fcntl(fd[i], F_DUPFD, SYSTEMD_FDS_START + n)) ==
		    -1)
			return -1;
	for (int i = 0; i < n; i++)
		if (dup2(fd[i], SYSTEMD_FDS_START + i) == -1)
			return -1;
	if (set_number("LISTEN_PID", getpid()) == -1 ||
	    set_number("LISTEN_FDS", n) == -1)
		return -1;
	return setenv("LISTEN_FDNAMES", OWN, 1);
}

/* Take NOTIFY_SOCKET, "/PATH" or "@ABSTRACT".  Returns 0, or -1 with errno. */
static int
open_notify(struct systemd *sd, const char *name)
{
	const struct timeval patience = { .tv_sec = READY_SECONDS };
	const size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	if (len >= sizeof(sd->to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	sd->to.sun_family = AF_UNIX;
	memcpy(sd->to.sun_path, name, len);
	if (name[0] == '@')
		sd->to.sun_path[0] = '\0';
	/* An abstract name has no NUL at its end: it would belong to it. */
	sd->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	sd->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sd->fd == -1)
		return -1;
	return setsockopt(
	    sd->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static void
init_watchdog(struct systemd *sd, const char *usec)
{
	long long n;

	if (getenv("WATCHDOG_PID") != NULL && !names_us("WATCHDOG_PID"))
		return;
	if (!number_parse(usec, 1, INT64_MAX / CLOCK_MICROSECOND, &n)) {
		log_warning(
		    "WATCHDOG_USEC '%.80s' is no time: no watchdog", usec);
		return;
	}
	sd->interval = n * CLOCK_MICROSECOND / 2;
	if (sd->interval < CLOCK_MILLISECOND)
		sd->interval = CLOCK_MILLISECOND;
	sd->alive_next = clock_now();
}

void
systemd_init(struct systemd *sd)
{
	const char *name = getenv("NOTIFY_SOCKET");
	const char *usec = getenv("WATCHDOG_USEC");

	*sd = (struct systemd){ .fd = -1, .alive_next = CLOCK_NEVER };
	if (name != NULL && open_notify(sd, name) == -1) {
		log_warning(
		    "cannot notify systemd by NOTIFY_SOCKET '%.120s': %s", name,
		    strerror(errno));
		systemd_close(sd);
	}
	if (sd->fd != -1 && usec != NULL)
		init_watchdog(sd, usec);
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
}

/* Send a message, sd_notify(3).  Returns whether it was taken. */
static bool __attribute__((format(printf, 3, 4)))
notify(const struct systemd *sd, int flags, const char *fmt, ...)
{
	char message[MESSAGE_SIZE];
	va_list ap;

	if (sd->fd == -1)
		return true;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	/* Addressed each time: systemd may be executed anew meanwhile. */
	return sendto(sd->fd, message, strlen(message), flags | MSG_NOSIGNAL,
		   (const struct sockaddr *)&sd->to, sd->len) != -1;
}

void
systemd_ready(const struct systemd *sd, bool moved)
{
	char mainpid[sizeof("MAINPID=2147483647\n")] = "";

	if (moved)
		snprintf(mainpid, sizeof(mainpid), "MAINPID=%d\n", getpid());
	if (!notify(sd, 0, "%sREADY=1", mainpid))
		log_warning("cannot tell systemd that echod serves: %s",
		    strerror(errno));
}

void
systemd_status(const struct systemd *sd, const char *status)
{
	if (!notify(sd, MSG_DONTWAIT, "STATUS=%s", status))
		log_debug(
		    "cannot tell systemd the status: %s", strerror(errno));
}

void
systemd_alive(struct systemd *sd, int64_t at)
{
	if (at < sd->alive_next)
		return;
	sd->alive_next = at + sd->interval;
	if (!notify(sd, MSG_DONTWAIT, "WATCHDOG=1"))
		log_warning(
		    "cannot give systemd a sign of life: %s", strerror(errno));
}

void
systemd_stopping(const struct systemd *sd, int seconds)
{
	if (!notify(sd, MSG_DONTWAIT,
		"STOPPING=1\nEXTEND_TIMEOUT_USEC=%d000000", seconds))
		log_warning("cannot tell systemd that echod stops: %s",
		    strerror(errno));
}

void
systemd_close(struct systemd *sd)
{
	if (sd->fd != -1)
		close(sd->fd);
	sd->fd = -1;
}
