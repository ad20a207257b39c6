#include "echod/writer.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/metrics.h"
#include "echod/sandbox.h"
#include "echod/title.h"

#define PATIENCE (1 * CLOCK_SECOND)
#define PAUSE (1 * CLOCK_MILLISECOND)

/* The file, and what is to become it; in the writer. */
struct file {
	const char *path;
	char next[PATH_MAX];
};

static int
write_next(const struct file *f, const char *text, size_t len)
{
	/* Whatever is there under that name, from who knows whom, is not ours.
	 */
	unlinkat(AT_FDCWD, f->next, 0);

	const int fd = openat(AT_FDCWD, f->next,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd == -1)
		return -1;

	const ssize_t n = write(fd, text, len);
	const int error = n == -1 ? errno : ENOSPC;

	close(fd);
	errno = error;
	return n == (ssize_t)len ? 0 : -1;
}

/* Put text in the place of what is there.  Returns 0 or an errno. */
static int
replace(const struct file *f, const char *text, size_t len)
{
	if (write_next(f, text, len) == 0 &&
	    renameat(AT_FDCWD, f->next, AT_FDCWD, f->path) == 0)
		return 0;

	const int error = errno;

	unlinkat(AT_FDCWD, f->next, 0);
	return error;
}

/* Until nobody sends any more.  Of a spell of failures the first is logged. */
static void
keep_up(const struct file *f, int fd)
{
	char text[METRICS_TEXT_SIZE];
	bool failing = false;
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0) {
		const int error = replace(f, text, (size_t)n);

		if (error != 0 && !failing)
			log_warning(
			    "cannot write %s: %s", f->path, strerror(error));
		else if (error == 0 && failing)
			log_info("writing %s again", f->path);
		failing = error != 0;
	}
	unlinkat(AT_FDCWD, f->path, 0);
}

/*
 * Keep standard input, which becomes the socket, and what the log needs; not
 * the caller's terminal.
 */
static void
settle(int fd, enum log_target target)
{
	if (target == LOG_TO_SYSLOG)
		dup3(STDIN_FILENO, STDERR_FILENO, 0);
	dup3(STDIN_FILENO, STDOUT_FILENO, 0); /* /dev/null: see daemon.h */
	dup3(fd, STDIN_FILENO, 0);
	closefrom(STDERR_FILENO + 1);
}

static _Noreturn void
run(const char *path, const char *text, size_t len, enum log_target target,
    const int ends[2])
{
	struct file f = { .path = path };
	int error = ENAMETOOLONG;

	title_set("metrics to %s", path);
	log_close();
	settle(ends[1], target);
	log_open(target, log_priority());
	log_settle();
	if ((size_t)snprintf(f.next, sizeof(f.next), "%s.tmp", path) <
	    sizeof(f.next))
		error = replace(&f, text, len);
	if (error == 0 && sandbox_enter_writer() != 0) {
		unlinkat(AT_FDCWD, path, 0);
		error = EPERM;
	}
	if (write(STDIN_FILENO, &error, sizeof(error)) != sizeof(error))
		error = EPIPE;
	if (error == 0)
		keep_up(&f, STDIN_FILENO);
	_exit(EX_OK);
}

int
writer_start(struct writer *w, const char *path, const char *text, size_t len,
    enum log_target target)
{
	int ends[2], error = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1 ||
	    (pid = fork()) == -1) {
		log_error("cannot make a process to write %s: %s", path,
		    strerror(errno));
		return EX_OSERR;
	}
	if (pid == 0) /* *w may be memory of the parent alone */
		run(path, text, len, target, ends);
	close(ends[1]);
	*w = (struct writer){ .pid = pid, .fd = ends[0] };
	if (read(w->fd, &error, sizeof(error)) == sizeof(error) && error == 0)
		return 0;
	log_error(
	    "cannot write %s: %s; its directory must let echod's user write",
	    path, error != 0 ? strerror(error) : "the writer ended");
	writer_end(w);
	return EX_CANTCREAT;
}

int
writer_send(const struct writer *w, const char *text, size_t len)
{
	return send(w->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? -1
									 : 0;
}

/* Wait for a moment until the writer has ended. */
static bool
has_ended(pid_t pid)
{
	const int64_t deadline = clock_now() + PATIENCE;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_now() >= deadline)
			return false;
		clock_pause(PAUSE);
	}
	return true;
}

void
writer_end(struct writer *w)
{
	if (w->fd != -1)
		close(w->fd);
	w->fd = -1;
	/* It may wait for its disk for ever; nobody else should. */
	if (w->pid != 0 && !has_ended(w->pid)) {
		kill(w->pid, SIGKILL);
		has_ended(w->pid);
	}
	w->pid = 0;
}
