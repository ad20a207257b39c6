/*
 * The sandbox: what serving takes works in it, and all else is the end.
 *
 * Nobody comes back from it, so each attempt has a child of its own.  Linked
 * with --wrap for what sandbox_enter() itself calls, to let it fail.
 */
#include "echod/sandbox.h"

#include <arpa/inet.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "config.h"
#include "echod/clock.h"
#include "echod/log.h"
#include "echod/memory.h"
#include "echod/session.h"
#include "echod/signals.h"
#include "echod/udp.h"
#include "support.h"

#if ECHOD_SECCOMP
#include <seccomp.h>
#endif

enum { SURVIVED = 42, NOT_ENTERED, BROKEN };
enum { PAGE = 4096, NOBODY = 65534, SECONDS_MAX = 60 };

/*
 * What fails in sandbox_enter(), one at a time.
 */

static struct {
	bool setrlimit, dumpable, seccomp, init, load;
} fails;

int __real_setrlimit(int resource, const struct rlimit *limit);
int __wrap_setrlimit(int resource, const struct rlimit *limit);

int
__wrap_setrlimit(int resource, const struct rlimit *limit)
{
	if (!fails.setrlimit)
		return __real_setrlimit(resource, limit);
	errno = EPERM;
	return -1;
}

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

int
__wrap_prctl(int option, ...)
{
	va_list ap;

	va_start(ap, option);

	const int arg = va_arg(ap, int);

	va_end(ap);
	if (option == PR_SET_DUMPABLE && fails.dumpable) {
		errno = EINVAL;
		return -1;
	}
	return __real_prctl(option, arg, 0, 0, 0);
}

#if ECHOD_SECCOMP

scmp_filter_ctx __real_seccomp_init(uint32_t action);
scmp_filter_ctx __wrap_seccomp_init(uint32_t action);

scmp_filter_ctx
__wrap_seccomp_init(uint32_t action)
{
	return fails.init ? NULL : __real_seccomp_init(action);
}

int __real_seccomp_load(scmp_filter_ctx ctx);
int __wrap_seccomp_load(scmp_filter_ctx ctx);

int
__wrap_seccomp_load(scmp_filter_ctx ctx)
{
	if (fails.seccomp)
		return -EINVAL;
	return fails.load ? -EACCES : __real_seccomp_load(ctx);
}

#endif

/* What a child has in the sandbox, as echod's processes do. */
static struct {
	sigset_t waiting;
	int listener; /* somebody waits to be accepted */
	int client, peer; /* the ends of a connection: echod's, the other */
	int file;
	char *page;
	pid_t victim; /* a process that is not the child's */
	pid_t self; /* who entered */
	struct scoreboard *board;
	struct slot *slot; /* of it */
	int datagrams,
	    asker; /* sockets of UDP: echod's, one that is connected */
	char dir[32]; /* a directory; empty: none */
} have;

static void
must(bool it)
{
	if (!it)
		_exit(NOT_ENTERED);
}

static int
connect_to(const struct sockaddr_in *in)
{
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	must(fd != -1);
	must(connect(fd, (const struct sockaddr *)in, sizeof(*in)) == 0);
	return fd;
}

static void
prepare(void)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(in);
	static const int crashes[] = { SIGBUS, SIGFPE, SIGILL, SIGSEGV,
		SIGSYS };

	for (size_t i = 0; i < COUNT(crashes); i++)
		signal(crashes[i], SIG_DFL); /* cmocka has its own */
	alarm(SECONDS_MAX); /* whatever waits, does not do so for good */
	tzset(); /* as log_open() does */
	signals_init(&have.waiting);
	have.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	must(have.listener != -1);
	must(bind(have.listener, (struct sockaddr *)&in, len) == 0);
	must(listen(have.listener, 8) == 0);
	must(getsockname(have.listener, (struct sockaddr *)&in, &len) == 0);
	have.peer = connect_to(&in);
	have.client = accept(have.listener, NULL, NULL);
	must(have.client != -1);
	connect_to(&in);
	have.file = memfd_create("pidfile", 0);
	must(write(have.file, "4711", 4) == 4);
	have.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(have.page != MAP_FAILED);

	have.board = scoreboard_new(1);
	must(have.board != NULL);
	have.slot = scoreboard_take(have.board, 0);
	have.self = getpid();

	in.sin_port = 0;
	have.datagrams = socket(AF_INET, SOCK_DGRAM, 0);
	must(have.datagrams != -1);
	must(bind(have.datagrams, (struct sockaddr *)&in, len) == 0);
	must(getsockname(have.datagrams, (struct sockaddr *)&in, &len) == 0);
	have.asker = socket(AF_INET, SOCK_DGRAM, 0);
	must(have.asker != -1);
	must(connect(have.asker, (struct sockaddr *)&in, len) == 0);
}

static void
enter(void)
{
	prepare();
	must(sandbox_keep_to_itself() == 0);
	must(sandbox_enter() == 0);
}

static void
enter_writer(void)
{
	prepare();
	must(sandbox_keep_to_itself() == 0);
	must(sandbox_enter_writer() == 0);
}

/* Returns the status of waitpid(2). */
static int
wait_for(pid_t pid)
{
	int status = 0;

	assert_int_not_equal(pid, -1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Run body in a child, to the end of both. */
static int
run(void (*body)(void))
{
	const pid_t pid = fork();

	if (pid == 0) {
		body();
		_exit(0);
	}
	return wait_for(pid);
}

static const char *
describe(int status, char text[static 64])
{
	if (WIFSIGNALED(status))
		snprintf(text, 64, "died by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == SURVIVED)
		snprintf(text, 64, "is let through");
	else if (WEXITSTATUS(status) == NOT_ENTERED)
		snprintf(text, 64, "did not get into the sandbox");
	else
		snprintf(text, 64, "exit status %d", WEXITSTATUS(status));
	return text;
}

static bool
died_of(int status, int sig)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == sig;
}

static void
expect_exit(int status, int want)
{
	char text[64];

	if (!WIFEXITED(status) || WEXITSTATUS(status) != want)
		fail_msg("%s", describe(status, text));
}

static void
need_filter(void)
{
	if (ECHOD_SECCOMP)
		return;
	print_message("skipped: built without a filter of system calls\n");
	skip();
}

/*
 * What is refused.
 */

/* Arguments that stand for what have has. */
enum {
	SOCK = -1001,
	LISTENER = -1002,
	VICTIM = -1003,
	MEMORY = -1004,
	SELF = -1005, /* who entered: the parent, to its children */
	GROUP = -1006, /* of that number */
};

struct attempt {
	const char *name;
	long number; /* of syscall(2) */
	long arg[6];
	void (*call)(void); /* or this */
};

static long
argument(long arg)
{
	switch (arg) {
	case SOCK:
		return have.client;
	case LISTENER:
		return have.listener;
	case VICTIM:
		return have.victim;
	case MEMORY:
		return (long)have.page;
	case SELF:
		return have.self;
	case GROUP:
		return -have.self;
	default:
		return arg;
	}
}

static void
make_attempt(const struct attempt *a)
{
	long arg[6];

	for (size_t i = 0; i < COUNT(arg); i++)
		arg[i] = argument(a->arg[i]);
	if (a->call != NULL)
		a->call();
	else
		syscall(
		    a->number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
	_exit(SURVIVED);
}

static void *
thread_main(void *arg)
{
	return arg;
}

static void
make_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, NULL) == 0)
		pthread_join(thread, NULL);
}

static void
run_shell(void)
{
	(void)!system("true");
}

static void
dump_core(void)
{
	abort(); /* tgkill(2): the core would be empty anyway */
}

#define CALL(name, ...)                                                        \
	{                                                                      \
#name, SYS_##name, { __VA_ARGS__ }, NULL                       \
	}
#define CALL_AS(as, name, ...)                                                 \
	{                                                                      \
		as, SYS_##name, { __VA_ARGS__ }, NULL                          \
	}
#define TEXT(string) ((long)(string))
#define FORK(flags) CALL_AS("clone with " #flags, clone, SIGCHLD | (flags))
#define KILL(sig) CALL_AS("kill with " #sig, kill, VICTIM, sig)
#define ADVISE(advice)                                                         \
	CALL_AS("madvise with " #advice, madvise, MEMORY, PAGE, advice)
#define IOCTL(request)                                                         \
	CALL_AS("ioctl with " #request, ioctl, SOCK, request, MEMORY)

static const struct attempt refused[] = {
	/* files */
	CALL(openat, AT_FDCWD, TEXT("/dev/null"), O_RDONLY),
	CALL_AS("openat to write", openat, AT_FDCWD, TEXT("/dev/null"), O_RDWR),
#ifdef SYS_open /* not of every architecture, as some others here */
	CALL(open, TEXT("/dev/null"), O_RDONLY),
	CALL(creat, TEXT("/nonexistent/x"), 0600),
	CALL(stat, TEXT("/"), MEMORY),
	CALL(access, TEXT("/"), R_OK),
	CALL(readlink, TEXT("/proc/self/exe"), MEMORY, PAGE),
	CALL(unlink, TEXT("/nonexistent")),
	CALL(rename, TEXT("/nonexistent"), TEXT("/nonexistent/x")),
	CALL(mkdir, TEXT("/nonexistent/x"), 0700),
	CALL(symlink, TEXT("/"), TEXT("/nonexistent/x")),
	CALL(chmod, TEXT("/nonexistent"), 0600),
#endif
	CALL(openat2, AT_FDCWD, TEXT("/dev/null"), MEMORY, 24),
	CALL(unlinkat, AT_FDCWD, TEXT("/nonexistent"), 0),
	CALL(linkat, AT_FDCWD, TEXT("/nonexistent"), AT_FDCWD, TEXT("/x"), 0),
	CALL(fchmodat, AT_FDCWD, TEXT("/nonexistent"), 0600),
	CALL(truncate, TEXT("/nonexistent"), 0),
	CALL(memfd_create, TEXT("x"), 0),
	CALL(chdir, TEXT("/")),
	CALL(chroot, TEXT("/")),
	CALL(mount, TEXT("x"), TEXT("/nonexistent"), TEXT("tmpfs")),
	CALL(umount2, TEXT("/nonexistent"), 0),
	CALL(fcntl, SOCK, F_SETOWN, VICTIM),
	CALL_AS("fcntl with F_SETFL", fcntl, SOCK, F_SETFL, 0),
	CALL_AS("fcntl with F_GETFD", fcntl, SOCK, F_GETFD),
	CALL_AS("fcntl with F_SETFD", fcntl, SOCK, F_SETFD, 0),
	CALL_AS("fcntl with F_DUPFD", fcntl, SOCK, F_DUPFD, 0),
	CALL(fstat, SOCK, MEMORY),
	/* other programs, other processes */
	CALL(execve, TEXT("/nonexistent"), 0, 0),
	CALL(execveat, AT_FDCWD, TEXT("/nonexistent"), 0, 0, 0),
	{ "system", 0, { 0 }, run_shell },
	CALL(ptrace, PTRACE_ATTACH, VICTIM, 0, 0),
	CALL_AS("ptrace by the parent", ptrace, PTRACE_TRACEME, 0, 0, 0),
	CALL(process_vm_readv, VICTIM, 0, 0, 0, 0, 0),
	CALL(process_vm_writev, VICTIM, 0, 0, 0, 0, 0),
	CALL(pidfd_open, VICTIM, 0),
	CALL(pidfd_send_signal, -1, 0, 0, 0),
	CALL(tkill, VICTIM, 0),
	CALL(tgkill, VICTIM, VICTIM, 0),
	CALL(rt_sigqueueinfo, VICTIM, 0, MEMORY),
	CALL(kcmp, VICTIM, VICTIM, 0, 0, 0),
	CALL(prlimit64, VICTIM, RLIMIT_NOFILE, 0, 0),
	CALL(setpriority, PRIO_PROCESS, VICTIM, 19),
	KILL(0),
	KILL(SIGHUP),
	KILL(SIGINT),
	KILL(SIGABRT),
	KILL(SIGUSR1),
	KILL(SIGSEGV),
	KILL(SIGCHLD),
	KILL(SIGCONT),
	KILL(SIGSTOP),
	KILL(SIGTERM | 64),
	CALL_AS("kill of the parent by SIGUSR1", kill, SELF, SIGUSR1),
	CALL_AS("kill of the parent by SIGHUP", kill, SELF, SIGHUP),
	CALL_AS("kill of the parent by SIGSTOP", kill, SELF, SIGSTOP),
	CALL_AS("kill of a group by SIGCHLD", kill, GROUP, SIGCHLD),
	CALL_AS("kill of its own group by SIGCHLD", kill, 0, SIGCHLD),
	CALL_AS("kill of all by SIGCHLD", kill, -1, SIGCHLD),
	CALL_AS("kill of all", kill, -1, SIGKILL),
	CALL_AS("kill of a group", kill, -2, SIGTERM),
	{ "abort", 0, { 0 }, dump_core },
	/* threads, and forks that are none */
	{ "pthread_create", 0, { 0 }, make_thread },
	CALL_AS("clone of a thread", clone,
	    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		CLONE_SYSVSEM),
	CALL_AS("clone without SIGCHLD", clone, 0),
	CALL_AS("clone with another signal", clone, SIGKILL),
	FORK(CLONE_NEWUSER),
	FORK(CLONE_NEWNS),
	FORK(CLONE_NEWNET),
	FORK(CLONE_NEWPID),
	FORK(CLONE_NEWIPC),
	FORK(CLONE_NEWUTS),
	FORK(CLONE_NEWCGROUP),
	FORK(CLONE_FILES),
	FORK(CLONE_FS),
	FORK(CLONE_PARENT),
	FORK(CLONE_PTRACE),
	FORK(CLONE_UNTRACED),
	FORK(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_NEWUSER),
	CALL(clone3, 0, 0),
#ifdef SYS_fork
	CALL(fork, 0),
	CALL(vfork, 0),
#endif
	CALL(unshare, 0),
	CALL(setns, -1, 0),
	CALL(setsid, 0),
	CALL(setpgid, 0, 0),
	/* rights */
	CALL(setuid, 0),
	CALL(setgid, 0),
	CALL(setresuid, -1, -1, -1),
	CALL(setresgid, -1, -1, -1),
	CALL(setgroups, 0, 0),
	CALL(capset, 0, 0),
	CALL(prctl, PR_SET_DUMPABLE, 1),
	CALL_AS("prctl that asks", prctl, PR_GET_DUMPABLE),
	CALL(setrlimit, RLIMIT_CORE, MEMORY),
	CALL(personality, 0x0400000 /* READ_IMPLIES_EXEC */),
	CALL(seccomp, 0, 0, 0),
	CALL(keyctl, 0),
	CALL(umask, 077),
	/* memory */
	CALL_AS("mmap to execute", mmap, 0, PAGE, PROT_READ | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	CALL_AS("mmap to write and execute", mmap, 0, PAGE,
	    PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	    0),
	CALL_AS("mprotect to execute", mprotect, MEMORY, PAGE, PROT_EXEC),
	CALL_AS("mprotect to read and execute", mprotect, MEMORY, PAGE,
	    PROT_READ | PROT_EXEC),
	CALL_AS("mprotect to write and execute", mprotect, MEMORY, PAGE,
	    PROT_READ | PROT_WRITE | PROT_EXEC),
	CALL(pkey_mprotect, MEMORY, PAGE, PROT_READ | PROT_EXEC, -1),
	CALL(mremap, MEMORY, PAGE, 2 * PAGE, MREMAP_MAYMOVE),
	ADVISE(MADV_NORMAL),
	ADVISE(MADV_DONTNEED),
	ADVISE(MADV_FREE),
	ADVISE(MADV_REMOVE),
	ADVISE(MADV_DOFORK),
	ADVISE(MADV_DODUMP),
	ADVISE(MADV_MERGEABLE),
	ADVISE(MADV_KEEPONFORK),
	CALL(process_madvise, -1, 0, 0, MADV_DONTFORK, 0),
	CALL(shmget, 0, PAGE, 0600),
	CALL(userfaultfd, 0),
	/* the network */
	CALL(socket, AF_INET, SOCK_STREAM, 0),
	CALL_AS("socket for packets", socket, AF_PACKET, SOCK_RAW, 0),
	CALL_AS("socket of netlink", socket, AF_NETLINK, SOCK_RAW, 0),
	CALL_AS("socket of unix", socket, AF_UNIX, SOCK_DGRAM, 0),
	CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, MEMORY),
	CALL(connect, SOCK, MEMORY, sizeof(struct sockaddr_in)),
	CALL(bind, SOCK, MEMORY, sizeof(struct sockaddr_in)),
	CALL(listen, LISTENER, 1),
	CALL(accept, LISTENER, 0, 0),
	CALL(setsockopt, SOCK, SOL_SOCKET, SO_DEBUG, MEMORY, sizeof(int)),
	CALL(getpeername, SOCK, 0, 0),
	CALL(sendmsg, SOCK, MEMORY, 0),
	CALL(recvmsg, SOCK, MEMORY, MSG_DONTWAIT),
	CALL(recvfrom, SOCK, MEMORY, PAGE, MSG_DONTWAIT, 0, 0),
	CALL(getsockname, SOCK, 0, 0),
	IOCTL(SIOCINQ),
	IOCTL(FIONBIO),
	IOCTL(TCGETS),
	IOCTL(TIOCSPGRP),
	IOCTL(FIOASYNC),
	IOCTL(TIOCSTI),
	IOCTL(SIOCGIFCONF),
	IOCTL(SIOCOUTQ | 1L << 16),
	/* the kernel */
	CALL(bpf, -1, 0, 0),
	CALL(io_uring_setup, 1, MEMORY),
	CALL(perf_event_open, MEMORY, 0, -1, -1, 0),
	CALL(init_module, 0, 0, 0),
	CALL(kexec_load, -1, -1, -1, -1),
	CALL(syslog, -1, 0, 0),
	CALL(reboot, 0, 0, 0, 0),
#ifdef __x86_64__
	CALL(iopl, 0),
	CALL(arch_prctl, -1, 0),
	{ "getpid of x32", __X32_SYSCALL_BIT | SYS_getpid, { 0 }, NULL },
	{ "openat of x32", __X32_SYSCALL_BIT | SYS_openat,
	    { AT_FDCWD, TEXT("/dev/null"), O_RDONLY }, NULL },
#endif
};

/* A child of a process in the sandbox makes the attempt; ends as it does. */
static void
make_attempt_in_child(const struct attempt *a)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
		make_attempt(a);
	if (pid == -1 || waitpid(pid, &status, 0) != pid)
		_exit(BROKEN);
	if (died_of(status, SIGSYS))
		_exit(SIGSYS);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : BROKEN);
}

static int
setup_victim(void **state)
{
	(void)state;
	have.victim = fork();
	if (have.victim == 0)
		for (;;)
			pause();
	return have.victim == -1;
}

static int
teardown_victim(void **state)
{
	(void)state;
	kill(have.victim, SIGKILL);
	waitpid(have.victim, NULL, 0);
	return 0;
}

static void
all_else_is_the_end(void **state)
{
	size_t bad = 0;

	(void)state;
	need_filter();
	for (size_t i = 0; i < COUNT(refused); i++) {
		const pid_t pid = fork();
		char text[64];

		if (pid == 0) {
			enter();
			make_attempt(&refused[i]);
		}

		const int status = wait_for(pid);

		if (died_of(status, SIGSYS))
			continue;
		print_error("%s %s\n", refused[i].name, describe(status, text));
		bad++;
	}
	assert_int_equal(bad, 0);
	/* And the other process is none the worse for it. */
	assert_int_equal(waitpid(have.victim, NULL, WNOHANG | WUNTRACED), 0);
}

static void
children_inherit_it(void **state)
{
	size_t bad = 0;

	(void)state;
	need_filter();
	for (size_t i = 0; i < COUNT(refused); i++) {
		const pid_t pid = fork();
		char text[64];

		if (pid == 0) {
			enter();
			make_attempt_in_child(&refused[i]);
		}

		const int status = wait_for(pid);

		if (WIFEXITED(status) && WEXITSTATUS(status) == SIGSYS)
			continue;
		print_error("%s by a child %s\n", refused[i].name,
		    describe(status, text));
		bad++;
	}
	assert_int_equal(bad, 0);
	assert_int_equal(waitpid(have.victim, NULL, WNOHANG | WUNTRACED), 0);
}

#ifdef __x86_64__

/* open(2) as a program of 32 bits does it; its numbers are others. */
static void
open_by_interrupt(void)
{
	long result = 5;

	enter();
	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"(0), "c"(O_RDONLY), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	_exit(SURVIVED);
}

static void
other_abi_is_the_end(void **state)
{
	char text[64];

	(void)state;
	need_filter();

	const int status = run(open_by_interrupt);

	/* A kernel that runs no such programs has no such interrupt. */
	if (!died_of(status, SIGSYS) && !died_of(status, SIGSEGV))
		fail_msg("%s", describe(status, text));
}

#endif

/*
 * What may be called, with the right arguments: the list is written down a
 * second time, so that it does not grow by accident.
 */
static const int allowed[] = {
	SYS_accept4,
	SYS_brk,
	SYS_clock_gettime,
	SYS_clock_nanosleep,
	SYS_clone,
	SYS_close,
	SYS_close_range,
	SYS_dup3,
	SYS_exit_group,
	SYS_fcntl,
	SYS_ftruncate,
	SYS_getpid,
	SYS_getsockopt,
	SYS_ioctl,
	SYS_kill,
	SYS_madvise,
	SYS_mmap,
	SYS_mprotect,
	SYS_munmap,
	SYS_ppoll,
	SYS_read,
	SYS_recvmmsg,
	SYS_restart_syscall,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_sendmmsg,
	SYS_sendto,
	SYS_set_robust_list,
	SYS_shutdown,
	SYS_wait4,
	SYS_write,
};

/* The same of the writer of metrics. */
static const int writer_allowed[] = {
	SYS_clock_gettime,
	SYS_close,
	SYS_exit_group,
	SYS_getpid,
	SYS_fstat,
	SYS_newfstatat,
	SYS_openat,
	SYS_ppoll,
	SYS_read,
#ifdef SYS_renameat
	SYS_renameat,
#endif
	SYS_renameat2,
	SYS_restart_syscall,
	SYS_rt_sigreturn,
	SYS_sendto,
	SYS_unlinkat,
	SYS_write,
};

enum { NUMBERS = 1024 }; /* more than there are system calls */

/* Linux lets its own probes, uretprobe and uprobe, through any filter. */
static bool
is_of_the_kernel(int number)
{
#ifdef __x86_64__
	return number == 335 || number == 336;
#else
	return number == -1;
#endif
}

static bool
is_among(int number, const int list[], size_t n)
{
	if (is_of_the_kernel(number))
		return true;
	for (size_t i = 0; i < n; i++)
		if (list[i] == number)
			return true;
	return false;
}

static int *let_through; /* its number, shared with the child; -1: none */

/* Wait for the end of a child, and for no more than a while. */
static int
status_of(pid_t pid)
{
	const struct timespec some_time = { .tv_sec = 10 };
	int status = BROKEN;

	while (waitpid(pid, &status, WNOHANG) != pid)
		if (ppoll(NULL, 0, &some_time, &have.waiting) == 0)
			kill(pid, SIGKILL);
	return status;
}

/* From the last one on, which does not exist, to the first that is allowed. */
static void
try_every_number(void)
{
	enter();
	for (int i = NUMBERS; i-- > 0;) {
		if (is_among(i, allowed, COUNT(allowed)))
			continue;

		const pid_t pid = fork();

		if (pid == 0) {
			syscall(i, -1, -1, -1, -1, -1, -1);
			_exit(SURVIVED);
		}
		must(pid != -1);
		*let_through = i;
		if (!died_of(status_of(pid), SIGSYS))
			return;
	}
	*let_through = -1;
}

static void
list_is_short(void **state)
{
	(void)state;
	need_filter();
	let_through = mmap(NULL, sizeof(*let_through), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(let_through, MAP_FAILED);
	*let_through = -1;
	expect_exit(run(try_every_number), 0);
	if (*let_through != -1)
		fail_msg("system call %d is let through", *let_through);
	munmap(let_through, sizeof(*let_through));
}

/* Nobody in the writer's can fork, so each number enters anew. */
static void
list_of_the_writer_is_shorter(void **state)
{
	(void)state;
	need_filter();
	for (int i = NUMBERS; i-- > 0;) {
		if (is_among(i, writer_allowed, COUNT(writer_allowed)))
			continue;

		const pid_t pid = fork();

		if (pid == 0) {
			alarm(SECONDS_MAX);
			signal(SIGSYS, SIG_DFL);
			must(sandbox_keep_to_itself() == 0);
			must(sandbox_enter_writer() == 0);
			syscall(i, -1, -1, -1, -1, -1, -1);
			_exit(SURVIVED);
		}

		char text[64];
		const int status = wait_for(pid);

		if (!died_of(status, SIGSYS))
			fail_msg(
			    "system call %d %s", i, describe(status, text));
	}
}

/*
 * What serving takes.  Each returns whether it works.
 */

static bool
can_accept(void)
{
	struct sockaddr_in6 peer;
	socklen_t len = sizeof(peer);
	struct sockaddr *sa = (struct sockaddr *)&peer;

	return accept4(have.listener, sa, &len, SOCK_CLOEXEC) != -1 &&
	    accept4(have.listener, sa, &len, SOCK_CLOEXEC) == -1 &&
	    errno == EAGAIN;
}

static bool
can_read_and_write(void)
{
	char c = 'x';

	return write(have.peer, &c, 1) == 1 && read(have.client, &c, 1) == 1 &&
	    write(have.client, &c, 1) == 1 && read(have.peer, &c, 1) == 1;
}

static bool
can_ask_whether_it_waits(void)
{
	return (fcntl(have.client, F_GETFL) & O_NONBLOCK) == 0 &&
	    (fcntl(have.listener, F_GETFL) & O_NONBLOCK) != 0;
}

static bool
can_shut_down(void)
{
	char c;

	return shutdown(have.client, SHUT_RD) == 0 &&
	    read(have.client, &c, 1) == 0;
}

static bool
can_ask_the_connection(void)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);
	int bytes = -1;

	return getsockopt(have.client, IPPROTO_TCP, TCP_INFO, &info, &len) ==
	    0 &&
	    info.tcpi_state == TCP_ESTABLISHED &&
	    ioctl(have.client, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}

static bool
can_send(void)
{
	return sendto(have.client, "x", 1, MSG_NOSIGNAL, NULL, 0) == 1;
}

static bool
can_tidy_descriptors(void)
{
	if (dup3(have.client, STDIN_FILENO, 0) == -1)
		return false;
	closefrom(STDIN_FILENO + 1);
	return close(have.file) == -1 && close(STDIN_FILENO) == 0;
}

static bool
can_empty_the_pidfile(void)
{
	char c;

	return ftruncate(have.file, 0) == 0 && read(have.file, &c, 1) == 0;
}

static bool
can_fork_and_reap(void)
{
	int status;

	for (int i = 1; i <= 3; i++) {
		const pid_t pid = fork();

		if (pid == 0)
			_exit(i);
		if (waitpid(-1, &status, 0) != pid || WEXITSTATUS(status) != i)
			return false;
	}
	return waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD;
}

static bool
can_end_children(void)
{
	static const int sigs[] = { SIGTERM, SIGKILL };

	for (size_t i = 0; i < COUNT(sigs); i++) {
		const struct timespec some_time = { .tv_sec = 10 };
		const pid_t pid = fork();
		int status;

		if (pid == 0) {
			ppoll(NULL, 0, &some_time, &have.waiting);
			_exit(signals_stop == 1 ? 7 : 0);
		}
		if (kill(pid, sigs[i]) == -1 || waitpid(pid, &status, 0) != pid)
			return false;
		if (sigs[i] == SIGTERM
			? !WIFEXITED(status) || WEXITSTATUS(status) != 7
			: !died_of(status, sigs[i]))
			return false;
	}
	return true;
}

/* A child wakes its parent up. */
static bool
can_poke(void)
{
	const pid_t self = getpid();
	int status;

	/* The child's own end is a SIGCHLD, too: so it waits for the answer. */
	const pid_t pid = fork();

	if (pid == 0) {
		const struct timespec some_time = { .tv_sec = 10 };

		if (kill(self, SIGCHLD) == -1)
			_exit(1);
		ppoll(NULL, 0, &some_time, &have.waiting);
		_exit(signals_stop == 1 ? 7 : 0);
	}
	if (ppoll(NULL, 0, NULL, &have.waiting) != -1 || errno != EINTR ||
	    signals_child != 1 || waitpid(pid, &status, WNOHANG) != 0)
		return false;
	return kill(pid, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid &&
	    WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

static bool
can_handle_signals(void)
{
	if (fork() == 0)
		_exit(0);
	if (ppoll(NULL, 0, NULL, &have.waiting) != -1 || errno != EINTR ||
	    signals_child != 1)
		return false;
	kill(getpid(), SIGTERM);
	if (signals_stop != 0)
		return false;
	signals_deliver(&have.waiting);
	return signals_stop == 1;
}

static bool
can_wait(void)
{
	const struct timespec soon = { .tv_nsec = 1 };
	struct pollfd pfd = { .fd = have.client, .events = POLLOUT };
	const int64_t start = clock_now();

	if (ppoll(&pfd, 1, NULL, &have.waiting) != 1 ||
	    ppoll(&pfd, 1, &soon, NULL) != 1)
		return false;
	pfd.events = POLLIN;
	if (ppoll(&pfd, 1, &soon, &have.waiting) != 0)
		return false;
	clock_pause(CLOCK_MILLISECOND);
	return clock_now() - start >= CLOCK_MILLISECOND;
}

static bool
can_tell_the_time(void)
{
	const time_t now = time(NULL);
	struct timespec ts;
	struct tm tm;
	char text[32];

	/* The kernel's own, where there is no vDSO. */
	return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0 &&
	    localtime_r(&now, &tm) != NULL &&
	    strftime(text, sizeof(text), "%b %e %T", &tm) > 0;
}

/* Blocks of all sizes: from the heap, and with maps of their own. */
static bool
can_use_memory(void)
{
	void *block[26];

	for (size_t i = 0; i < COUNT(block); i++) {
		block[i] = malloc((size_t)1 << i);
		if (block[i] == NULL)
			return false;
		memset(block[i], 'x', (size_t)1 << i);
	}
	for (size_t i = 0; i < COUNT(block); i++)
		free(block[i]);

	/* More than is kept on the heap, and given back. */
	char *heap[1000];

	for (size_t i = 0; i < COUNT(heap); i++)
		if ((heap[i] = calloc(1, 4000)) == NULL)
			return false;
	for (size_t i = COUNT(heap); i > 0; i--)
		free(heap[i - 1]);
	return mprotect(have.page, PAGE, PROT_READ) == 0;
}

/* Memory that children do not inherit. */
static bool
can_use_memory_of_its_own(void)
{
	char *memory = memory_new(PAGE);
	int status;

	if (memory == NULL)
		return false;
	memory[0] = 'x';

	const pid_t pid = fork();

	if (pid == 0)
		_exit(memory[0] == 'x' ? 0 : 1);
	if (waitpid(pid, &status, 0) != pid || !died_of(status, SIGSEGV))
		return false;
	memory_free(memory, PAGE);
	return true;
}

static bool
can_write_text(void)
{
	char text[512];

	return snprintf(text, sizeof(text), "%.1f %s %m", 862 / 7.0,
		   strsignal(SIGSEGV)) > 0;
}

/*
 * A session from its start to its end; stop: TERM comes, not end of file;
 * header: it has one of the PROXY protocol.
 */
static bool
can_serve(bool stop, const char *header)
{
	const pid_t self = getpid(), pid = fork();
	char text[8];
	int status;

	if (pid == 0)
		session_run(&(struct session){
		    .client = have.client,
		    .slot = have.slot,
		    .waiting = &have.waiting,
		    .grace = 1,
		    .proxied = header != NULL,
		    .parent = self,
		});
	close(have.client);
	if (header != NULL && write(have.peer, header, strlen(header)) == -1)
		return false;
	if (write(have.peer, "hello", 5) != 5 ||
	    read(have.peer, text, sizeof(text)) != 5)
		return false;
	if (stop ? kill(pid, SIGTERM) == -1
		 : shutdown(have.peer, SHUT_WR) == -1)
		return false;
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return false;
	return read(have.peer, text, sizeof(text)) == 0 &&
	    WEXITSTATUS(status) == (stop ? SESSION_DRAINED : SESSION_EOF);
}

static bool
can_serve_to_the_end(void)
{
	return can_serve(false, NULL);
}

static bool
can_drain(void)
{
	return can_serve(true, NULL);
}

static bool
can_serve_a_proxy(void)
{
	struct address peer;

	return can_serve(false, "PROXY TCP4 192.0.2.7 192.0.2.1 5 7\r\n") &&
	    scoreboard_hear(have.board, 0, &peer) && address_port(&peer) == 5;
}

/* The worker of UDP, which has memory of its own. */
static bool
can_serve_datagrams(void)
{
	struct listeners ls = {
		.n = 1,
		.at = { { .fd = have.datagrams, .type = SOCK_DGRAM } },
	};
	const pid_t pid = fork();
	char text[8];
	int status;

	if (pid == 0)
		udp_run(&(struct udp){
		    .ls = &ls,
		    .report = have.client, /* anything that can be written */
		    .rate = UDP_RATE,
		    .ipv6_prefix = 64,
		    .waiting = &have.waiting,
		});
	return sendto(have.asker, "hello", 5, 0, NULL, 0) == 5 &&
	    read(have.asker, text, sizeof(text)) == 5 &&
	    kill(pid, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid &&
	    WIFEXITED(status) && WEXITSTATUS(status) == SESSION_DRAINED;
}

static const struct {
	const char *name;
	bool (*works)(void);
} serving[] = {
	{ "accept", can_accept },
	{ "read and write", can_read_and_write },
	{ "fcntl with F_GETFL", can_ask_whether_it_waits },
	{ "shutdown", can_shut_down },
	{ "TCP_INFO and SIOCOUTQ", can_ask_the_connection },
	{ "sendto", can_send },
	{ "dup3, closefrom, close", can_tidy_descriptors },
	{ "ftruncate", can_empty_the_pidfile },
	{ "fork and wait", can_fork_and_reap },
	{ "kill of children", can_end_children },
	{ "signals", can_handle_signals },
	{ "poll and sleep", can_wait },
	{ "time", can_tell_the_time },
	{ "memory", can_use_memory },
	{ "text", can_write_text },
	{ "a session", can_serve_to_the_end },
	{ "a drained session", can_drain },
	{ "kill of the parent by SIGCHLD", can_poke },
	{ "memory of its own", can_use_memory_of_its_own },
	{ "a session of a proxy", can_serve_a_proxy },
	{ "datagrams", can_serve_datagrams },
};

/*
 * What writing takes.
 */

static bool
can_replace_a_file(void)
{
	char file[64], next[64];

	snprintf(file, sizeof(file), "%s/file", have.dir);
	snprintf(next, sizeof(next), "%s/file.tmp", have.dir);
	for (int i = 0; i < 2; i++) {
		const int fd = openat(AT_FDCWD, next,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

		if (fd == -1 || write(fd, "x", 1) != 1 || close(fd) == -1 ||
		    renameat(AT_FDCWD, next, AT_FDCWD, file) == -1)
			return false;
	}
	return unlinkat(AT_FDCWD, next, 0) == -1 && errno == ENOENT &&
	    unlinkat(AT_FDCWD, file, 0) == 0;
}

static bool
can_log(void)
{
	const int null = openat(AT_FDCWD, "/dev/null", O_WRONLY | O_CLOEXEC);

	if (null == -1)
		return false;
	log_line(LOG_DEBUG, "to %s, and %s", "standard error", strerror(EIO));
	/* As syslog(3) is spoken to. */
	return sendto(have.client, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT, NULL,
		   0) == 1 &&
	    can_tell_the_time() && getpid() == have.self;
}

static const struct {
	const char *name;
	bool (*works)(void);
} writing[] = {
	{ "a file", can_replace_a_file },
	{ "read and write", can_read_and_write },
	{ "the log", can_log },
	{ "time", can_tell_the_time },
	{ "text", can_write_text },
};

static void
serving_works(void **state)
{
	size_t bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(serving); i++) {
		const pid_t pid = fork();
		char text[64];

		if (pid == 0) {
			enter();
			_exit(serving[i].works() ? 0 : BROKEN);
		}

		const int status = wait_for(pid);

		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		print_error(
		    "%s: %s\n", serving[i].name, describe(status, text));
		bad++;
	}
	assert_int_equal(bad, 0);
}

static void
writing_works(void **state)
{
	size_t bad = 0;

	(void)state;
	strcpy(have.dir, "/tmp/unit-sandbox.XXXXXX");
	assert_non_null(mkdtemp(have.dir));
	for (size_t i = 0; i < COUNT(writing); i++) {
		const pid_t pid = fork();
		char text[64];

		if (pid == 0) {
			enter_writer();
			_exit(writing[i].works() ? 0 : BROKEN);
		}

		const int status = wait_for(pid);

		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		print_error(
		    "%s: %s\n", writing[i].name, describe(status, text));
		bad++;
	}
	assert_int_equal(rmdir(have.dir), 0); /* nothing is left */
	assert_int_equal(bad, 0);
}

/* Start a child that sleeps in the sandbox; as nobody if it can be. */
static pid_t
start_sleeper(int64_t ns)
{
	int ends[2];
	char c;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);

	const pid_t pid = fork();

	if (pid == 0) {
		must(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
		must(__real_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		enter();
		must(write(ends[1], "", 1) == 1);
		clock_pause(ns);
		_exit(0);
	}
	close(ends[1]);
	assert_int_not_equal(pid, -1);
	assert_int_equal(read(ends[0], &c, 1), 1);
	close(ends[0]);
	wait_until_asleep(pid);
	return pid;
}

/* No rights are needed to enter, and none can be had afterwards. */
static void
kernel_says_so(void **state)
{
	(void)state;
	need_filter();

	const pid_t pid = start_sleeper(SECONDS_MAX * CLOCK_SECOND);

	assert_true(proc_says(pid, "status", "Seccomp:", "2"));
	assert_true(proc_says(pid, "status", "NoNewPrivs:", "1"));
	/* The soft limit and the hard one. */
	assert_true(proc_says(pid, "limits", "Max core file size",
	    "0                    0                    bytes"));
	kill(pid, SIGKILL);
	assert_true(died_of(wait_for(pid), SIGKILL));
}

/* Landlock's (Linux 6.12): kill(2) is allowed, but not of others. */
static void
signals_stay_within(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6) {
		print_message("this kernel does not keep signals within\n");
		skip();
	}

	const pid_t victim = fork();

	if (victim == 0) {
		pause();
		_exit(0);
	}

	const pid_t pid = fork();

	if (pid == 0) {
		must(__real_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		enter();
		_exit(
		    kill(victim, SIGKILL) == -1 && errno == EPERM ? 0 : BROKEN);
	}

	const int status = wait_for(pid);

	assert_int_equal(kill(victim, SIGTERM), 0); /* it still is there */
	assert_true(died_of(wait_for(victim), SIGTERM));
	expect_exit(status, 0);
}

/* restart_syscall(2): a debugger, or a person, stops a child for a while. */
static void
stop_and_continue_is_survived(void **state)
{
	int status;

	(void)state;
	need_filter();

	const pid_t pid = start_sleeper(CLOCK_SECOND / 4);

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(pid, SIGCONT), 0);
	expect_exit(wait_for(pid), 0);
}

/*
 * What else it does, and how it fails.
 */

static bool
dumps_are_forbidden(void)
{
	struct rlimit core = { 1, 1 };

	return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 &&
	    core.rlim_max == 0 &&
	    __real_prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* Without a filter it can be asked for. */
static void
enter_some_without_filter(void (*enter_some)(void))
{
	const struct rlimit some = { PAGE, PAGE };

	must(__real_setrlimit(RLIMIT_CORE, &some) == 0);
	must(__real_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	must(!dumps_are_forbidden());
	fails.seccomp = true;
	enter_some();
	must(dumps_are_forbidden());
	_exit(fork() == 0 || wait(NULL) != -1 ? 0 : BROKEN);
}

static void
enter_without_filter(void)
{
	enter_some_without_filter(enter);
}

static void
enter_writer_without_filter(void)
{
	enter_some_without_filter(enter_writer);
}

static void
dumps_are_forbidden_without_filter(void **state)
{
	static void (*const body[])(
	    void) = { enter_without_filter, enter_writer_without_filter };

	(void)state;
	for (size_t i = 0; i < COUNT(body); i++) {
		expect_exit(run(body[i]), 0);
		assert_string_equal(capture_text(),
		    ECHOD_SECCOMP
			? "echod: this kernel has no seccomp: serving without a filter of system calls\n"
			: "");
	}
}

static void
enter_verbosely(void)
{
	log_open(LOG_TO_STDERR, LOG_DEBUG);
	enter();
}

static void
log_says_what_is_in_force(void **state)
{
	char want[256];

	(void)state;
	snprintf(want, sizeof(want),
	    "in force: %zu system calls allowed, no_new_privs, no capabilities, no core dumps\n",
	    COUNT(allowed));
	if (!ECHOD_SECCOMP)
		strcpy(want,
		    "in force: no_new_privs, no capabilities, no core dumps; built without a filter of system calls\n");
	expect_exit(run(enter_verbosely), 0);

	/* Before it, a line may say that the kernel or a container lacks
	 * landlock. */
	const char *text = capture_text();
	const char *last = strstr(text, "in force: ");

	assert_non_null(last);
	assert_string_equal(last, want);
	if (last != text)
		assert_ptr_equal(
		    strstr(text, "this kernel does not keep signals within"),
		    text);
}

static void
enter_writer_verbosely(void)
{
	log_open(LOG_TO_STDERR, LOG_DEBUG);
	enter_writer();
}

static void
log_says_what_is_in_force_for_the_writer(void **state)
{
	const char *text;
	char want[256];

	(void)state;
	snprintf(want, sizeof(want),
	    "in force for the writer of metrics: %zu system calls allowed, no_new_privs, no capabilities, no core dumps\n",
	    COUNT(writer_allowed));
	expect_exit(run(enter_writer_verbosely), 0);
	text = capture_text();
	if (ECHOD_SECCOMP)
		assert_non_null(strstr(text, want));
	else
		assert_null(strstr(text, "in force"));
}

static void
enter_in_vain(void)
{
	const int status = sandbox_keep_to_itself();

	_exit(status != 0 ? status : sandbox_enter());
}

static void
enter_writer_in_vain(void)
{
	const int status = sandbox_keep_to_itself();

	_exit(status != 0 ? status : sandbox_enter_writer());
}

static void
expect_failure(bool *which, const char *want)
{
	static void (*const body[])(
	    void) = { enter_in_vain, enter_writer_in_vain };

	for (size_t i = 0; i < COUNT(body); i++) {
		*which = true;

		const int status = run(body[i]);

		*which = false;
		expect_exit(status, EX_OSERR);
		assert_string_equal(capture_text(), want);
	}
}

static void
lack_of_forbidding_is_told(void **state)
{
	(void)state;
	expect_failure(&fails.setrlimit,
	    "echod: cannot forbid core dumps: Operation not permitted\n");
	expect_failure(&fails.dumpable,
	    "echod: cannot forbid core dumps: Invalid argument\n");
}

static void
lack_of_a_filter_is_told(void **state)
{
	(void)state;
	need_filter();
	expect_failure(
	    &fails.init, "echod: cannot make a filter of system calls\n");
	expect_failure(&fails.load,
	    "echod: cannot filter system calls: Permission denied\n");
}

#define CAPTURING(f)                                                           \
	cmocka_unit_test_setup_teardown(f, capture_setup, capture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    all_else_is_the_end, setup_victim, teardown_victim),
		cmocka_unit_test_setup_teardown(
		    children_inherit_it, setup_victim, teardown_victim),
#ifdef __x86_64__
		cmocka_unit_test(other_abi_is_the_end),
#endif
		cmocka_unit_test(list_is_short),
		cmocka_unit_test(list_of_the_writer_is_shorter),
		cmocka_unit_test(serving_works),
		cmocka_unit_test(writing_works),
		cmocka_unit_test(kernel_says_so),
		cmocka_unit_test(signals_stay_within),
		cmocka_unit_test(stop_and_continue_is_survived),
		CAPTURING(dumps_are_forbidden_without_filter),
		CAPTURING(log_says_what_is_in_force),
		CAPTURING(log_says_what_is_in_force_for_the_writer),
		CAPTURING(lack_of_forbidding_is_told),
		CAPTURING(lack_of_a_filter_is_told),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
