#include "echod/signals.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t signals_child;
volatile sig_atomic_t signals_stop;
volatile sig_atomic_t signals_status;

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

/*
 * Of the parent and of its children: that spares them sigaction(2), and a page
 * to note whose it is.  The parent's standard input is /dev/null, which cannot
 * be shut down.
 */
static void
on_stop(int sig)
{
	const int saved = errno;

	(void)sig;
	if (signals_stop < 2)
		signals_stop = signals_stop + 1;
	shutdown(STDIN_FILENO, SHUT_RD);
	errno = saved;
}

static const struct {
	int sig;
	void (*handler)(int);
} handled[] = {
	{ SIGCHLD, on_child }, { SIGTERM, on_stop }, { SIGINT, on_stop },
	{ SIGUSR1, on_status }, { SIGHUP, SIG_IGN }, { SIGPIPE, SIG_IGN },
	{ SIGXFSZ, SIG_IGN }, /* of a log that may grow no more */
};

enum { NHANDLED = sizeof(handled) / sizeof(handled[0]) };

void
signals_init(sigset_t *waiting)
{
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < NHANDLED; i++) {
		struct sigaction sa = { .sa_handler = handled[i].handler };

		sigemptyset(&sa.sa_mask);
		sigaction(handled[i].sig, &sa, NULL); /* all may be handled */
		if (sa.sa_handler != SIG_IGN)
			sigaddset(&block, handled[i].sig);
	}
	sigprocmask(SIG_BLOCK, &block, waiting);
	/* Whoever started echod may have blocked them already. */
	for (size_t i = 0; i < NHANDLED; i++)
		sigdelset(waiting, handled[i].sig);
}

void
signals_deliver(const sigset_t *waiting)
{
	const struct timespec now = { 0 };

	(void)ppoll(NULL, 0, &now, waiting); /* EINTR is what it is for */
}

void
signals_let_in(const sigset_t *waiting)
{
	/* Not sigprocmask(3): its code is on two pages of its own. */
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, waiting, NULL, _NSIG / 8);
}
