#include "echod/writer.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "echod/clock.h"
#include "echod/metrics.h"
#include "echod/sandbox.h"
#include "echod/title.h"

enum { START_SECONDS = 5, AGAIN_SECONDS = 1 };

#define PATIENCE (1 * CLOCK_SECOND)
#define PAUSE (1 * CLOCK_MILLISECOND)

/* The file, and what is to become it; in the writer. */
struct file {
	const char *path;
	char next[PATH_MAX];
	struct stat last; /* what was put there last, to know it again by */
};

/*
 * Write text to fd, see what that is, and close it.  Returns 0, or -1 with
 * errno set.
 */
static int
write_and_close(int fd, const char *text, size_t len, struct stat *st)
{
	const ssize_t n = write(fd, text, len);
	int error = n == -1 ? errno : n == (ssize_t)len ? 0 : ENOSPC;

	if (error == 0 && fstat(fd, st) == -1)
		error = errno;
	if (close(fd) == -1 && error == 0)
		error = errno;
	errno = error;
	return error == 0 ? 0 : -1;
}

/* Returns 0, or -1 with errno set. */
static int
write_next(const struct file *f, const char *text, size_t len, struct stat *st)
{
	/* Whatever is there under that name, from who knows whom, is not ours.
	 */
	unlinkat(AT_FDCWD, f->next, 0);

	const int fd = openat(AT_FDCWD, f->next,
	    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	return fd == -1 ? -1 : write_and_close(fd, text, len, st);
}

/* Remove the file, if it is still ours: another echod may have written it. */
static void
remove_file(const struct file *f)
{
	struct stat st;

	/* The number of an inode may be given again. */
	if (fstatat(AT_FDCWD, f->path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_dev == f->last.st_dev && st.st_ino == f->last.st_ino &&
	    st.st_mtim.tv_sec == f->last.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == f->last.st_mtim.tv_nsec)
		unlinkat(AT_FDCWD, f->path, 0);
}

/* Put text in the place of what is there.  Returns 0 or an errno. */
static int
replace(struct file *f, const char *text, size_t len)
{
	struct stat st;

	if (write_next(f, text, len, &st) == 0 &&
	    renameat(AT_FDCWD, f->next, AT_FDCWD, f->path) == 0) {
		f->last = st;
		return 0;
	}

	const int error = errno;

	unlinkat(AT_FDCWD, f->next, 0);
	return error;
}

/* Wait for a text, if there is one to write again not for ever. */
static bool
has_come(int fd, bool again)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	const struct timespec ts = { .tv_sec = AGAIN_SECONDS };

	return ppoll(&pfd, 1, again ? &ts : NULL, NULL) != 0;
}

/*
 * Until nobody sends any more.  What cannot be written is tried again; of a
 * spell of failures the first is logged.
 */
static void
keep_up(struct file *f, int fd)
{
	char text[METRICS_TEXT_SIZE];
	bool failing = false;
	ssize_t len = 0;

	for (;;) {
		if (has_come(fd, failing) &&
		    (len = read(fd, text, sizeof(text))) <= 0)
			break;

		const int error = replace(f, text, (size_t)len);

		if (error != 0 && !failing)
			log_warning(
			    "cannot write %s: %s", f->path, strerror(error));
		else if (error == 0 && failing)
			log_info("writing %s again", f->path);
		failing = error != 0;
	}
	remove_file(f);
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

static bool
is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
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
	if (is_directory(path))
		error = EISDIR;
	else if ((size_t)snprintf(f.next, sizeof(f.next), "%s.tmp", path) <
	    sizeof(f.next))
		error = replace(&f, text, len);
	if (error == 0 && sandbox_enter_writer() != 0) {
		remove_file(&f);
		error = EPERM;
	}
	if (write(STDIN_FILENO, &error, sizeof(error)) != sizeof(error))
		error = EPIPE;
	if (error == 0)
		keep_up(&f, STDIN_FILENO);
	_exit(EX_OK);
}

static bool
has_answered(int fd, int *error)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	const struct timespec ts = { .tv_sec = START_SECONDS };

	return ppoll(&pfd, 1, &ts, NULL) == 1 &&
	    read(fd, error, sizeof(*error)) == sizeof(*error);
}

/* Why the file cannot be written, and what to do. */
static void
complain(const char *path, int error)
{
	static const struct {
		int error;
		const char *advice;
	} rows[] = {
		{ EACCES,
		    "; that user must be able to write to its directory" },
		{ EEXIST, "; the same name with .tmp is in the way" },
		{ EISDIR, "; name a file in it" },
		{ ENOENT, "; its directory must exist" },
		{ EROFS,
		    "; systemd's units allow their directory in /run only" },
	};
	const char *advice = "";

	if (error == -1) {
		log_error("cannot write %s: its writer does not answer", path);
		return;
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].error == error)
			advice = rows[i].advice;
	log_error("cannot write %s as uid %d: %s%s", path, (int)geteuid(),
	    strerror(error), advice);
}

int
writer_start(struct writer *w, const char *path, const char *text, size_t len,
    enum log_target target)
{
	int ends[2], error = 0;
	pid_t pid;

	const bool paired =
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;

	if (!paired || (pid = fork()) == -1) {
		log_error("cannot make a process to write %s: %s", path,
		    strerror(errno));
		if (paired) {
			close(ends[0]);
			close(ends[1]);
		}
		return EX_OSERR;
	}
	if (pid == 0) /* *w may be memory of the parent alone */
		run(path, text, len, target, ends);
	close(ends[1]);
	*w = (struct writer){ .pid = pid, .fd = ends[0] };
	if (!has_answered(w->fd, &error))
		error = -1;
	if (error == 0)
		return 0;
	complain(path, error);
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
