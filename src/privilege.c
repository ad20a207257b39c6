#include "echod/privilege.h"

#include <bsd/string.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include <linux/capability.h>

#include "config.h"
#include "echod/log.h"
#include "echod/number.h"

enum { NAME_SIZE = 256 };

/* A numeric id, but for the -1 that stands for none. */
static bool
parse_id(const char *text, unsigned *id)
{
	long long n;

	if (!number_parse(text, 0, UINT_MAX - 1, &n))
		return false;
	*id = (unsigned)n;
	return true;
}

static bool
lookup_user(const char *name, struct identity *id, bool *has_group)
{
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL && parse_id(name, &id->uid))
		pw = getpwuid(id->uid);
	else if (pw == NULL)
		return false;
	*has_group = pw != NULL;
	if (pw != NULL) {
		id->uid = pw->pw_uid;
		id->gid = pw->pw_gid;
	}
	return true;
}

static bool
lookup_group(const char *name, struct identity *id)
{
	const struct group *gr = getgrnam(name);

	if (gr == NULL)
		return parse_id(name, &id->gid);
	id->gid = gr->gr_gid;
	return true;
}

static int
refuse(const char *user, const char *why)
{
	log_error("--user (-U) '%s': %s", user, why);
	return EX_USAGE;
}

int
privilege_lookup(struct identity *id, const char *user)
{
	const char *name = user != NULL ? user : ECHOD_USER;
	char copy[NAME_SIZE];
	bool has_group;

	*id = (struct identity){ .change = geteuid() == 0, .name = name };
	if (!id->change && user == NULL)
		return 0;
	if (strlcpy(copy, name, sizeof(copy)) >= sizeof(copy))
		return refuse(name, "the name is too long");

	char *group = strchr(copy, ':');

	if (group != NULL)
		*group++ = '\0';
	if (!lookup_user(copy, id, &has_group))
		return refuse(name, "there is no such user");
	if (group != NULL && !lookup_group(group, id))
		return refuse(name, "there is no such group");
	if (group == NULL && !has_group)
		return refuse(name, "that user has no group, add :GROUP");
	if (id->uid == 0 || id->gid == 0)
		return refuse(name, "root would keep its rights");
	if (!id->change && id->uid != geteuid())
		log_warning(
		    "--user (-U) '%s' has no effect: not started as root",
		    name);
	return 0;
}

static int
become(const struct identity *id)
{
	if (setgroups(0, NULL) == -1)
		return -1;
	if (setresgid(id->gid, id->gid, id->gid) == -1)
		return -1;
	return setresuid(id->uid, id->uid, id->uid);
}

static bool
has_capabilities(const struct __user_cap_data_struct *sets)
{
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		if (sets[i].effective != 0 || sets[i].permitted != 0)
			return true;
	return false;
}

/* Of a user who is not root, too. */
static int
drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
		{ 0 },
	};

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1 ||
	    syscall(SYS_capget, &header, sets) == -1)
		return -1;

	const bool had_any = has_capabilities(sets);

	memset(sets, 0, sizeof(sets));
	if (syscall(SYS_capset, &header, sets) == 0)
		return 0;
	/*
	 * What stays inheritable where capset(2) is forbidden is worth nothing:
	 * no_new_privs and echod's own filter are against the execve(2) that it
	 * would take.
	 */
	return had_any ? -1 : 0;
}

bool
privilege_is_stuck(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {
		{ 0 },
	};

	return geteuid() != 0 && syscall(SYS_capget, &header, sets) == 0 &&
	    has_capabilities(sets) && syscall(SYS_capset, &header, sets) == -1;
}

int
privilege_shed(char *const argv[])
{
	char path[PATH_MAX] = "";

	/* By its own path: the last part of it becomes the process's name. */
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) != -1 &&
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0)
		execv(path, argv);
	log_error("cannot execute echod anew without capabilities: %s",
	    strerror(errno));
	return EX_OSERR;
}

/* Whether what was given up is really gone. */
static bool
is_final(const struct identity *id)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) == -1 ||
	    getresgid(&rgid, &egid, &sgid) == -1)
		return false;
	if (ruid == 0 || euid == 0 || suid == 0)
		return false;
	if (id->change &&
	    (ruid != id->uid || euid != id->uid || suid != id->uid ||
		rgid != id->gid || egid != id->gid || sgid != id->gid ||
		getgroups(0, NULL) != 0))
		return false;
	/* An ordinary user's group may be 0, as it often is in containers. */
	if (rgid != 0 && egid != 0 && sgid != 0 && setresgid(0, 0, 0) != -1)
		return false;
	return setresuid(0, 0, 0) == -1;
}

int
privilege_drop(const struct identity *id)
{
	if (id->change && become(id) == -1) {
		log_error(
		    "cannot become user %s: %s", id->name, strerror(errno));
		return EX_NOPERM;
	}
	if (drop_capabilities() == -1) {
		log_error("cannot give up capabilities: %s", strerror(errno));
		return EX_OSERR;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1) {
		log_error("cannot set no_new_privs: %s", strerror(errno));
		return EX_OSERR;
	}
	if (!is_final(id)) {
		log_error(
		    "rights that were given up can be had again; not serving");
		return EX_OSERR;
	}
	return 0;
}
