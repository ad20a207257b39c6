/*
 * The writer: the file is whole at all times, and gone in the end.
 *
 * It is a process of its own, in its sandbox, and writes into a directory that
 * each test has for itself.  Linked with --wrap=fork and --wrap=socketpair, to
 * let them fail.
 */
#include "echod/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "echod/metrics.h"
#include "echod/signals.h"
#include "echod/title.h"
#include "support.h"

enum { PATIENCE = 10000 }; /* ms, for what is to come */

pid_t __real_fork(void);
pid_t __wrap_fork(void);
int __real_socketpair(int domain, int type, int protocol, int pair[2]);
int __wrap_socketpair(int domain, int type, int protocol, int pair[2]);

static int fork_error, socketpair_error; /* errnos, 0: the real ones */

pid_t
__wrap_fork(void)
{
	if (fork_error == 0)
		return __real_fork();
	errno = fork_error;
	return -1;
}

int
__wrap_socketpair(int domain, int type, int protocol, int pair[2])
{
	if (socketpair_error == 0)
		return __real_socketpair(domain, type, protocol, pair);
	errno = socketpair_error;
	return -1;
}

static char dir[64], path[128], next[128];
static struct writer writer;
static char log_text[16 * 1024]; /* all that came */

static int
setup_all(void **state)
{
	static sigset_t waiting;

	(void)state;
	signals_init(&waiting); /* as echod does, long before */
	/* As privilege_drop() does: the sandbox of who is not root needs it. */
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static int
setup(void **state)
{
	writer = (struct writer){ .fd = -1 };
	log_text[0] = '\0';
	strcpy(dir, "/tmp/unit-writer.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/echod.prom", dir);
	snprintf(next, sizeof(next), "%s/echod.prom.tmp", dir);
	capture_setup(state);
	return log_open(LOG_TO_STDERR, LOG_INFO);
}

static int
teardown(void **state)
{
	if (writer.pid != 0)
		kill(writer.pid, SIGKILL);
	writer_end(&writer);
	capture_teardown(state);
	unlink(path);
	unlink(next);
	rmdir(path); /* one may be a directory */
	rmdir(next);
	rmdir(dir);
	return 0;
}

static int
start_at(const char *where, const char *text)
{
	return writer_start(&writer, where, text, strlen(text), LOG_TO_STDERR);
}

static void
start(void)
{
	assert_int_equal(start_at(path, "start\n"), 0);
	assert_true(writer.pid > 0);
	assert_int_not_equal(writer.fd, -1);
}

static void
send_text(const char *text)
{
	assert_int_equal(writer_send(&writer, text, strlen(text)), 0);
}

/* What the file has; NULL: there is none. */
static const char *
contents(void)
{
	static char text[2 * METRICS_TEXT_SIZE];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd == -1)
		return NULL;

	const ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void
sleep_a_little(void)
{
	poll(NULL, 0, 5);
}

/* Wait until the file has text. */
static void
expect_contents(const char *text)
{
	const char *got = NULL;

	for (int i = 0; i < PATIENCE / 5; i++) {
		got = contents();
		if (got != NULL && strcmp(got, text) == 0)
			return;
		sleep_a_little();
	}
	fail_aloud("it has '%s'", got != NULL ? got : "nothing");
}

/* How many files the directory has. */
static size_t
count_files(void)
{
	return count_names(dir);
}

/* Wait until what was logged so far has what in it. */
static void
wait_for_log(const char *what)
{
	for (int i = 0; i < PATIENCE / 5; i++) {
		strncat(log_text, capture_text(),
		    sizeof(log_text) - strlen(log_text) - 1);
		if (strstr(log_text, what) != NULL)
			return;
		sleep_a_little();
	}
	fail_aloud("no '%s' was logged, but '%s'", what, log_text);
}

static size_t
count_in_log(const char *what)
{
	size_t n = 0;

	for (const char *p = log_text; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

/*
 * What it writes.
 */

static void
file_is_there_at_once(void **state)
{
	struct stat st;

	(void)state;
	start();
	/* There is no waiting. */
	assert_string_equal(contents(), "start\n");
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	/* node_exporter is another user. */
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(count_files(), 1);
	writer_end(&writer);
	expect_log(NULL);
}

static void
file_is_replaced(void **state)
{
	static char large[METRICS_TEXT_SIZE];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	start();
	send_text("a\n");
	expect_contents("a\n");
	send_text("something longer\n");
	expect_contents("something longer\n");
	send_text("b\n");
	expect_contents("b\n");
	/* As much as there can be. */
	send_text(large);
	expect_contents(large);
	assert_int_equal(count_files(), 1);
	writer_end(&writer);
	expect_log(NULL);
}

/* Who has it open reads on in what it was: it is another file. */
static void
reader_sees_a_whole_file(void **state)
{
	char text[64] = "";

	(void)state;
	start();

	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_not_equal(fd, -1);
	assert_int_equal(read(fd, text, 2), 2);
	send_text("another\n");
	expect_contents("another\n");
	assert_int_equal(read(fd, text + 2, sizeof(text) - 2), 4);
	assert_string_equal(text, "start\n");
	close(fd);
}

/* Of many texts it may be at any, but it comes to the last. */
static void
last_text_stays(void **state)
{
	char text[32];

	(void)state;
	start();
	for (int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "number %d\n", i);
		while (writer_send(&writer, text, strlen(text)) == -1) {
			assert_int_equal(errno, EAGAIN);
			sleep_a_little();
		}

		const char *got = contents();

		assert_non_null(got);
		if (got[0] != 's') /* the start */
			assert_ptr_equal(strstr(got, "number "), got);
		assert_int_equal(got[strlen(got) - 1], '\n');
	}
	expect_contents(text);
	assert_int_equal(count_files(), 1);
}

static void
make_file(const char *name)
{
	const int fd =
	    open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, "mine\n", 5), 5);
	close(fd);
}

static void
expect_regular_file(void)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0644);
}

/*
 * Files of those names, from before or of somebody else: nothing is written to
 * where a link leads to.
 */
static void
what_was_there_is_replaced(void **state)
{
	char victim[128];
	struct stat st;

	(void)state;
	snprintf(victim, sizeof(victim), "%s/victim", dir);
	make_file(victim);
	make_file(path);
	make_file(next);
	start();
	assert_string_equal(contents(), "start\n");
	expect_regular_file();
	assert_int_equal(symlink(victim, next), 0);
	send_text("a\n");
	expect_contents("a\n");
	assert_int_equal(link(victim, next), 0);
	send_text("b\n");
	expect_contents("b\n");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(victim, path), 0);
	send_text("c\n");
	expect_contents("c\n");
	expect_regular_file();
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(unlink(victim), 0);
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
}

/*
 * How it ends.
 */

static void
end_removes_the_file(void **state)
{
	(void)state;
	start();

	const pid_t pid = writer.pid;

	send_text("a\n"); /* which it may not have written yet */
	writer_end(&writer);
	assert_null(contents());
	assert_int_equal(count_files(), 0);
	assert_int_equal(writer.pid, 0);
	assert_int_equal(writer.fd, -1);
	/* It was waited for. */
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	writer_end(&writer); /* once is enough */
	expect_log(NULL);
}

/* Make the file that is at path another one, and have it say so. */
static void
put_a_file(void)
{
	char other[128];

	snprintf(other, sizeof(other), "%s/other", dir);
	make_file(other);
	assert_int_equal(rename(other, path), 0);
}

/* Nothing, but what it wrote can still be had at kept. */
static void
put_a_link(void)
{
	char kept[128];

	snprintf(kept, sizeof(kept), "%s/kept", dir);
	assert_int_equal(rename(path, kept), 0);
	assert_int_equal(symlink(kept, path), 0);
}

static void
put_a_directory(void)
{
	put_a_link();
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
}

/* What is in its place, by whomever, is not its to remove. */
static void
end_leaves_what_others_put_there(void **state)
{
	static const struct {
		void (*put)(void);
		mode_t type;
		size_t files;
	} rows[] = {
		{ put_a_file, S_IFREG, 1 },
		{ put_a_link, S_IFLNK, 2 },
		{ put_a_directory, S_IFDIR, 2 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int later = 0; later < 2; later++) {
			char kept[128];
			struct stat before, after;

			start();
			if (later) {
				send_text("a\n");
				expect_contents("a\n");
			}
			rows[i].put();
			assert_int_equal(lstat(path, &before), 0);
			assert_int_equal(before.st_mode & S_IFMT, rows[i].type);
			writer_end(&writer);
			assert_int_equal(lstat(path, &after), 0);
			assert_int_equal(after.st_ino, before.st_ino);
			assert_int_equal(after.st_mode, before.st_mode);
			assert_int_equal(count_files(), rows[i].files);
			if (rows[i].type == S_IFREG)
				assert_string_equal(contents(), "mine\n");
			if (rows[i].type == S_IFLNK)
				assert_string_equal(
				    contents(), later ? "a\n" : "start\n");
			assert_int_equal(remove(path), 0);
			snprintf(kept, sizeof(kept), "%s/kept", dir);
			unlink(kept);
		}
	expect_log(NULL);
}

/* Once it has written again, it is its own. */
static void
end_removes_what_took_the_place_of_others(void **state)
{
	(void)state;
	start();
	put_a_file();
	send_text("a\n");
	expect_contents("a\n");
	writer_end(&writer);
	assert_int_equal(count_files(), 0);

	/* And where there is none any more, there is nothing to do. */
	start();
	assert_int_equal(unlink(path), 0);
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
	expect_log(NULL);
}

/* Another echod, that is started before this one has ended. */
static void
end_leaves_the_file_of_the_next(void **state)
{
	struct writer first;

	(void)state;
	start();
	first = writer;
	assert_int_equal(start_at(path, "next\n"), 0);
	writer_end(&first);
	assert_string_equal(contents(), "next\n");
	send_text("a\n");
	expect_contents("a\n");
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
	expect_log(NULL);
}

/* It may wait for its disk for ever; who ends it does not. */
static void
end_does_not_wait_for_ever(void **state)
{
	int status;

	(void)state;
	start();

	const pid_t pid = writer.pid;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	writer_end(&writer);
	assert_int_equal(writer.pid, 0);
	assert_int_equal(writer.fd, -1);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	/* What it could not do is left. */
	assert_string_equal(contents(), "start\n");
}

/* Whoever started it was killed. */
static void
file_goes_with_its_owner(void **state)
{
	const pid_t owner = fork();
	int status;

	(void)state;
	if (owner == 0) {
		if (start_at(path, "start\n") != 0)
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(owner, &status, 0), owner);
	assert_true(WIFSIGNALED(status));
	for (int i = 0; contents() != NULL && i < PATIENCE / 5; i++)
		sleep_a_little();
	assert_int_equal(count_files(), 0);
	expect_log(NULL);
}

/* The service manager, or a terminal, sends them to all of echod. */
static void
signals_do_not_end_it(void **state)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1,
		SIGPIPE, SIGCHLD };
	char text[16];

	(void)state;
	start();
	for (size_t i = 0; i < COUNT(signals); i++) {
		assert_int_equal(kill(writer.pid, signals[i]), 0);
		snprintf(text, sizeof(text), "after %zu\n", i);
		send_text(text);
		expect_contents(text);
	}
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
	expect_log(NULL);
}

/* To send never waits, and never ends the sender. */
static void
send_to_a_dead_one_is_told(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_DFL);
	start();
	assert_int_equal(kill(writer.pid, SIGKILL), 0);
	assert_int_equal(waitpid(writer.pid, NULL, 0), writer.pid);
	writer.pid = 0;
	errno = 0;
	assert_int_equal(writer_send(&writer, "a\n", 2), -1);
	assert_int_equal(errno, EPIPE);
	writer_end(&writer);
	assert_int_equal(writer.fd, -1);
	signal(SIGPIPE, SIG_IGN);
}

static void
send_to_a_slow_one_is_told(void **state)
{
	int status, i;

	(void)state;
	start();
	assert_int_equal(kill(writer.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(writer.pid, &status, WUNTRACED), writer.pid);
	for (i = 0; writer_send(&writer, "a\n", 2) == 0; i++)
		assert_true(i < 100000);
	assert_int_equal(errno, EAGAIN);
	assert_true(i > 0);
	assert_int_equal(kill(writer.pid, SIGCONT), 0);
	expect_contents("a\n");
	for (i = 0; writer_send(&writer, "b\n", 2) == -1; i++) {
		assert_true(i < PATIENCE);
		sleep_a_little();
	}
	expect_contents("b\n");
}

/* Standard input, output and error; what else was open is not its. */
static void
writer_has_few_descriptors(void **state)
{
	static const char *const what[] = { "socket:", "", "memfd:" };

	(void)state;
	if (geteuid() != 0)
		skip(); /* nobody else may look at what cannot be dumped */
	start();
	assert_int_equal(count_descriptors_of(writer.pid), COUNT(what));
	for (size_t fd = 0; fd < COUNT(what); fd++) {
		char name[64], target[128];

		snprintf(
		    name, sizeof(name), "/proc/%d/fd/%zu", (int)writer.pid, fd);

		const ssize_t len = readlink(name, target, sizeof(target) - 1);

		assert_true(len > 0);
		target[len] = '\0';
		assert_non_null(strstr(target, what[fd]));
	}
}

static void
writer_is_in_its_sandbox(void **state)
{
	(void)state;
	if (!ECHOD_SECCOMP)
		skip();
	start();
	assert_true(proc_says(writer.pid, "status", "Seccomp:", "2"));
}

/*
 * What may fail.
 */

/* At the start it is an error, and nothing is left. */
static void
expect_failure(const char *where, int error, const char *advice)
{
	const size_t before = count_descriptors();
	char want[PATH_MAX + 128];

	assert_int_equal(start_at(where, "start\n"), EX_CANTCREAT);
	snprintf(want, sizeof(want), "echod: cannot write %s as uid %d: %s%s\n",
	    where, (int)geteuid(), strerror(error), advice);
	assert_int_equal(writer.pid, 0);
	assert_int_equal(writer.fd, -1);
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	/* A long one is cut, as any line is. */
	want[200] = '\0';
	expect_log(want);
}

static void
bad_places_are_told(void **state)
{
	char where[PATH_MAX + 64];
	struct stat st;

	(void)state;
	snprintf(where, sizeof(where), "%s/none/x.prom", dir);
	expect_failure(where, ENOENT, "; its directory must exist");
	snprintf(where, sizeof(where), "/dev/null/x.prom");
	expect_failure(where, ENOTDIR, "");
	/* It is a directory. */
	assert_int_equal(mkdir(path, 0700), 0);
	expect_failure(path, EISDIR, "; name a file in it");
	assert_int_equal(count_files(), 1); /* it alone */
	assert_int_equal(rmdir(path), 0);
	/* Or what is to become it is. */
	assert_int_equal(mkdir(next, 0700), 0);
	expect_failure(path, EEXIST, "; the same name with .tmp is in the way");
	assert_int_equal(stat(next, &st), 0);
	assert_int_equal(rmdir(next), 0);
	assert_int_equal(count_files(), 0);
}

static void
long_names_are_told(void **state)
{
	char where[PATH_MAX + 64];
	size_t len;

	(void)state;
	/* A component, or the whole: the longest without ".tmp", too. */
	snprintf(where, sizeof(where), "%s/", dir);
	len = strlen(where);
	memset(where + len, 'x', NAME_MAX);
	where[len + NAME_MAX] = '\0';
	expect_failure(where, ENAMETOOLONG, "");
	for (len = PATH_MAX - 5; len <= PATH_MAX + 5; len++) {
		memset(where, '/', len);
		memcpy(where + len - 1, "x", 2);
		if (strlen(where) + strlen(".tmp") < PATH_MAX)
			continue;
		expect_failure(where, ENAMETOOLONG, "");
	}
	assert_int_equal(count_files(), 0);
}

static void
nobody_is_not_let_write(void **state)
{
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();

	const pid_t pid = fork();

	if (pid == 0) {
		if (setresuid(65534, 65534, 65534) == -1)
			_exit(100);
		_exit(start_at(path, "start\n"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EX_CANTCREAT);
	expect_log("Permission denied; that user must be able to write");
	assert_int_equal(count_files(), 0);
}

/* One line when it begins, and one when it is over. */
static void
failures_are_told_once(void **state)
{
	char text[32];

	(void)state;
	start();
	for (int round = 0; round < 2; round++) {
		assert_int_equal(unlink(path), 0);
		assert_int_equal(rmdir(dir), 0);
		for (int i = 0; i < 10; i++)
			send_text("lost\n");
		wait_for_log("No such file or directory\n");
		assert_int_equal(mkdir(dir, 0700), 0);
		snprintf(text, sizeof(text), "again %d\n", round);
		send_text(text);
		expect_contents(text);
		wait_for_log("again\n");
		assert_int_equal(count_in_log("echod: cannot write "), 1);
		assert_int_equal(
		    count_in_log("echod.prom: No such file or directory\n"), 1);
		assert_int_equal(count_in_log("\nwriting "), 1);
		log_text[0] = '\0';
	}
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
	expect_log(NULL);
}

enum { FULL = 1000 }; /* bytes of a file; more than what is logged */

/* The one that is there stays as it is, and whole. */
static void
full_disk_leaves_the_old_file(void **state)
{
	struct rlimit before, some = { .rlim_cur = FULL };
	char large[FULL + 1];

	(void)state;
	memset(large, 'x', sizeof(large));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	some.rlim_max = before.rlim_max;
	/* The closest to a disk that is full, for this process alone. */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);

	const int status = start_at(path, "start\n");

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(status, 0);
	assert_int_equal(writer_send(&writer, large, sizeof(large)), 0);
	wait_for_log("No space left on device\n");
	assert_string_equal(contents(), "start\n");
	assert_int_equal(count_files(), 1);
	send_text("small\n");
	expect_contents("small\n");
	wait_for_log("again\n");
	/* It still is its own when what should follow has failed. */
	assert_int_equal(writer_send(&writer, large, sizeof(large)), 0);
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
}

/* At the start, too. */
static void
full_disk_is_told_at_the_start(void **state)
{
	struct rlimit before, some = { .rlim_cur = FULL };
	char large[FULL + 2];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	some.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &some), 0);

	const int status = start_at(path, large);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(status, EX_CANTCREAT);
	assert_int_equal(count_files(), 0);
	expect_log("No space left on device");
}

static void
quiet_is_inherited(void **state)
{
	(void)state;
	assert_int_equal(log_open(LOG_TO_STDERR, LOG_ERR), 0);
	start();
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	send_text("lost\n");
	send_text("lost\n");
	writer_end(&writer);
	assert_int_equal(mkdir(dir, 0700), 0);
	expect_log(NULL);
}

static void
expect_no_process(const char *reason)
{
	const size_t before = count_descriptors();
	char want[256];

	assert_int_equal(start_at(path, "start\n"), EX_OSERR);
	fork_error = socketpair_error = 0;
	assert_int_equal(count_descriptors(), before);
	snprintf(want, sizeof(want),
	    "echod: cannot make a process to write %s: %s\n", path, reason);
	expect_log(want);
	/* It was not begun, and there is nothing to end. */
	assert_int_equal(writer.pid, 0);
	assert_int_equal(writer.fd, -1);
	writer_end(&writer);
	assert_int_equal(count_files(), 0);
}

static void
lack_of_a_process_is_told(void **state)
{
	(void)state;
	socketpair_error = EMFILE;
	expect_no_process("Too many open files");
	fork_error = EAGAIN;
	expect_no_process("Resource temporarily unavailable");
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		TEST(file_is_there_at_once),
		TEST(file_is_replaced),
		TEST(reader_sees_a_whole_file),
		TEST(last_text_stays),
		TEST(what_was_there_is_replaced),
		TEST(end_removes_the_file),
		TEST(end_leaves_what_others_put_there),
		TEST(end_removes_what_took_the_place_of_others),
		TEST(end_leaves_the_file_of_the_next),
		TEST(end_does_not_wait_for_ever),
		TEST(file_goes_with_its_owner),
		TEST(signals_do_not_end_it),
		TEST(send_to_a_dead_one_is_told),
		TEST(send_to_a_slow_one_is_told),
		TEST(writer_has_few_descriptors),
		TEST(writer_is_in_its_sandbox),
		TEST(bad_places_are_told),
		TEST(long_names_are_told),
		TEST(nobody_is_not_let_write),
		TEST(failures_are_told_once),
		TEST(full_disk_leaves_the_old_file),
		TEST(full_disk_is_told_at_the_start),
		TEST(quiet_is_inherited),
		TEST(lack_of_a_process_is_told),
	};

	title_init(argc, argv, environ);
	return cmocka_run_group_tests_name("writer", tests, setup_all, NULL);
}
