#include "echod/signals.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

volatile sig_atomic_t signals_child;
volatile sig_atomic_t signals_stop;
volatile sig_atomic_t signals_status;

static volatile sig_atomic_t client = -1; /* of a child */

static void
on_child(int sig)
{
	(void)sig;
	signals_child = 1;
}

static void
on_status(int sig)
{
	(void)sig;
	signals_status = 1;
}

/* Children keep this handler as it is: that spares them sigaction(2). */
static void
on_stop(int sig)
{
	const int saved = errno;

	(void)sig;
	if (signals_stop < 2)
		signals_stop = signals_stop + 1;
	if (client != -1)
		shutdown(client, SHUT_RD);
	errno = saved;
}

static void
handle(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler };

	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL); /* fails for wrong signals only */
}

void
signals_init(sigset_t *waiting)
{
	sigset_t block;

	handle(SIGCHLD, on_child);
	handle(SIGTERM, on_stop);
	handle(SIGINT, on_stop);
	handle(SIGUSR1, on_status);
	handle(SIGHUP, SIG_IGN);
	handle(SIGPIPE, SIG_IGN);
	handle(SIGXFSZ, SIG_IGN); /* of a log that may grow no more */

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, waiting);

	/* Whoever started echod may have blocked them already. */
	sigdelset(waiting, SIGCHLD);
	sigdelset(waiting, SIGTERM);
	sigdelset(waiting, SIGINT);
	sigdelset(waiting, SIGUSR1);
}

void
signals_deliver(const sigset_t *waiting)
{
	const struct timespec now = { 0 };

	(void)ppoll(NULL, 0, &now, waiting); /* EINTR is what it is for */
}

void
signals_drain_on_stop(int fd, const sigset_t *waiting)
{
	client = fd;
	sigprocmask(SIG_SETMASK, waiting, NULL);
}
