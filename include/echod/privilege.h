/*
 * Give up every right that echod was started with, for good.
 */
#ifndef ECHOD_PRIVILEGE_H
#define ECHOD_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

struct identity {
	bool change; /* echod runs as root: become uid and gid */
	uid_t uid;
	gid_t gid;
	const char *name; /* as given */
};

/*
 * Look up user, "USER" or "USER:GROUP", names or numbers; NULL is the built-in
 * user.  Where echod is not root it stays who it is.  Returns 0, or, having
 * logged why, the status of sysexits(3) to exit with.  id->name points to user.
 */
int privilege_lookup(struct identity *id, const char *user);

/*
 * Whether echod is not root, but has capabilities, such as those of systemd's
 * AmbientCapabilities=, and cannot give them up by capset(2).  Whoever makes a
 * filter of system calls for a service leaves that out with all that is for
 * administrators.
 */
bool privilege_is_stuck(void);

/*
 * Execute echod anew, with argv and the environment: execve(2) takes what is
 * not ambient any more, see capabilities(7).  Returns only if it failed, as
 * privilege_lookup() does.
 */
int privilege_shed(char *const argv[]);

/*
 * Become id, without supplementary groups; drop all capabilities; set
 * no_new_privs (PR_SET_NO_NEW_PRIVS of prctl(2)); and check that ids and groups
 * are what they should be, and that root cannot be had again. Returns as
 * privilege_lookup(); after a failure do not serve.
 */
int privilege_drop(const struct identity *id);

#endif
