#include "echod/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "echod/log.h"

/* Memory of clients stays here: no core dump, no ptrace(2) by the same user. */
static int
forbid_dumps(void)
{
	const struct rlimit none = { 0 };

	if (setrlimit(RLIMIT_CORE, &none) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1) {
		log_error("cannot forbid core dumps: %s", strerror(errno));
		return EX_OSERR;
	}
	return 0;
}

/* Of <linux/landlock.h>, which may be older than the kernel. */
struct landlock_ruleset {
	uint64_t fs, net, scoped;
};
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

/*
 * The filter cannot tell whom kill(2) is for.  Linux 6.12 can: of echod's user
 * or not, nobody but echod's own processes gets a signal; see landlock(7).
 */
static int
scope_signals(void)
{
	const struct landlock_ruleset ruleset = { .scoped = SCOPE_SIGNAL };
	const int fd = (int)syscall(
	    SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);

	if (fd == -1) {
		log_debug("this kernel does not keep signals within echod: %s",
		    strerror(errno));
		return 0;
	}

	const long result = syscall(SYS_landlock_restrict_self, fd, 0);
	const int error = errno;

	close(fd);
	if (result == 0)
		return 0;
	log_error("cannot keep signals within echod: %s", strerror(error));
	return EX_OSERR;
}

#if ECHOD_SECCOMP

#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>

#include <sys/ioctl.h> /* TIOCOUTQ */
#include <linux/sockios.h>

/*
 * What the parent and its children do, with whatever arguments.  The code uses
 * the calls that every architecture has: dup3(2) for dup2(2), ppoll(2) for
 * poll(2); and libc's closefrom(3) takes close_range(2), of Linux 5.9.
 */
static const int calls[] = {
	SCMP_SYS(accept4),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup3),
	SCMP_SYS(exit_group),
	SCMP_SYS(ftruncate),
	SCMP_SYS(getpid),
	SCMP_SYS(getsockopt),
	SCMP_SYS(munmap),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(shutdown),
	SCMP_SYS(wait4),
	SCMP_SYS(write),
};

/* What the writer does: nothing with the network but to log. */
static const int writer_calls[] = {
	SCMP_SYS(clock_gettime),
	SCMP_SYS(close),
	SCMP_SYS(exit_group),
	SCMP_SYS(fstat), /* what libc's takes depends on its version */
	SCMP_SYS(getpid),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sendto),
	SCMP_SYS(unlinkat),
	SCMP_SYS(write),
};

/* A call that is made with these arguments only. */
struct rule {
	int call;
	unsigned nargs;
	struct scmp_arg_cmp args[2];
};

/* clang-format off */
static const struct rule rules[] = {
	/* fork(2): a signal and two notes of the pid; no thread or namespace */
	{ SCMP_SYS(clone), 1, { SCMP_A0_64(SCMP_CMP_MASKED_EQ,
	    ~(scmp_datum_t)(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID),
	    SIGCHLD) } },
	{ SCMP_SYS(fcntl), 1, { SCMP_A1_32(SCMP_CMP_EQ, F_GETFL, 0) } },
	{ SCMP_SYS(ioctl), 1, { SCMP_A1_32(SCMP_CMP_EQ, SIOCOUTQ, 0) } },
	/* no negative pid: not all processes, and no group but its own */
	{ SCMP_SYS(kill), 2, { SCMP_A0_32(SCMP_CMP_LE, INT32_MAX, 0),
	    SCMP_A1_32(SCMP_CMP_EQ, SIGTERM, 0) } },
	{ SCMP_SYS(kill), 2, { SCMP_A0_32(SCMP_CMP_LE, INT32_MAX, 0),
	    SCMP_A1_32(SCMP_CMP_EQ, SIGKILL, 0) } },
	{ SCMP_SYS(madvise), 1,
	    { SCMP_A2_32(SCMP_CMP_EQ, MADV_DONTFORK, 0) } },
	{ SCMP_SYS(mmap), 1,
	    { SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) } },
	{ SCMP_SYS(mprotect), 1,
	    { SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) } },
};
/* clang-format on */

enum {
	NCALLS = sizeof(calls) / sizeof(calls[0]),
	NWRITER_CALLS = sizeof(writer_calls) / sizeof(writer_calls[0]),
	NRULES = sizeof(rules) / sizeof(rules[0]),
};

/* These return 0 or a negative errno, as libseccomp does. */

/* A child that wakes the parent up: see session.c. */
static int
allow_poke(scmp_filter_ctx ctx)
{
	return seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, SCMP_SYS(kill), 2,
	    SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0),
	    SCMP_A1_32(SCMP_CMP_EQ, SIGCHLD, 0));
}

static int
allow(scmp_filter_ctx ctx, const int call[], size_t n)
{
	int error = 0;

	for (size_t i = 0; i < n && error == 0; i++)
		error = seccomp_rule_add_exact(ctx, SCMP_ACT_ALLOW, call[i], 0);
	return error;
}

static int
allow_serving(scmp_filter_ctx ctx)
{
	int error = allow(ctx, calls, NCALLS);

	for (size_t i = 0; i < NRULES && error == 0; i++)
		error = seccomp_rule_add_exact_array(ctx, SCMP_ACT_ALLOW,
		    rules[i].call, rules[i].nargs, rules[i].args);
	return error != 0 ? error : allow_poke(ctx);
}

static int
allow_writing(scmp_filter_ctx ctx)
{
	return allow(ctx, writer_calls, NWRITER_CALLS);
}

static int
load_filter(scmp_filter_ctx ctx, int (*allow_all)(scmp_filter_ctx))
{
	/* Let the load's error be the kernel's own. */
	int error = seccomp_attr_set(ctx, SCMP_FLTATR_API_SYSRAWRC, 1);

	if (error == 0)
		error = allow_all(ctx);
	return error != 0 ? error : seccomp_load(ctx);
}

static int
filter_calls(int (*allow_all)(scmp_filter_ctx), int n, const char *whom)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (ctx == NULL) {
		log_error("cannot make a filter of system calls");
		return EX_OSERR;
	}

	const int error = load_filter(ctx, allow_all);

	seccomp_release(ctx);
	switch (error) {
	case 0:
		log_debug(
		    "in force%s: %d system calls allowed, no_new_privs, no capabilities, no core dumps",
		    whom, n);
		return 0;
	case -EINVAL:
	case -ENOSYS:
		log_warning(
		    "this kernel has no seccomp: serving without a filter of system calls");
		return 0;
	default:
		log_error("cannot filter system calls: %s", strerror(-error));
		return EX_OSERR;
	}
}

int
sandbox_enter(void)
{
	/* kill(2) has two rules */
	return filter_calls(allow_serving, NCALLS + NRULES - 1, "");
}

int
sandbox_enter_writer(void)
{
	return filter_calls(
	    allow_writing, NWRITER_CALLS, " for the writer of metrics");
}

#else

int
sandbox_enter(void)
{
	log_debug(
	    "in force: no_new_privs, no capabilities, no core dumps; built without a filter of system calls");
	return 0;
}

int
sandbox_enter_writer(void)
{
	return 0;
}

#endif

int
sandbox_keep_to_itself(void)
{
	const int status = forbid_dumps();

	return status != 0 ? status : scope_signals();
}
