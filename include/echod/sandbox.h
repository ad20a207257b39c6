/*
 * What echod may do from now on: echo, and next to nothing else.
 */
#ifndef ECHOD_SANDBOX_H
#define ECHOD_SANDBOX_H

/*
 * Of this process and its children: no core dumps, nobody to trace them, and
 * (from Linux 6.12 on, by landlock(7)) no signals to others than themselves.
 * PR_SET_NO_NEW_PRIVS must be set.  Returns 0, or, having logged why, the
 * status of sysexits(3) to exit with.
 */
int sandbox_keep_to_itself(void);

/*
 * After that: allow them only the system calls that serving takes, by a
 * seccomp(2) filter that kills the process on any other.  A kernel without
 * seccomp, or a build without libseccomp, is said in the log, and echod serves.
 * Returns as above.
 */
int sandbox_enter(void);

/* The same for the writer of writer.h, with what it takes to write its file. */
int sandbox_enter_writer(void);

#endif
