/*
 * Privilege: whom echod becomes, and that there is no way back.
 */
#include "echod/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "echod/log.h"
#include "support.h"

static void
expect_refused(const char *user, const char *reason)
{
	struct identity id;
	const int status = privilege_lookup(&id, user);
	const char *text = capture_text();

	if (status != EX_USAGE)
		fail_aloud("'%.40s': status %d, uid %u, gid %u", user, status,
		    id.uid, id.gid);
	if (strstr(text, "--user") == NULL || strstr(text, reason) == NULL)
		fail_aloud("'%.40s': no '%s' in: %s", user, reason, text);
}

static void
wrong_users_are_refused(void **state)
{
	static const struct {
		const char *user, *reason;
	} rows[] = {
		{ "", "no such user" },
		{ ":", "no such user" },
		{ ":daemon", "no such user" },
		{ "no-such-user", "no such user" },
		{ "no-such-user:daemon", "no such user" },
		{ "-1", "no such user" },
		{ "1x", "no such user" },
		{ "4294967295", "no such user" }, /* -1 stands for none */
		{ "4294967296", "no such user" }, /* 0, modulo 2^32 */
		{ "99999999999999999999", "no such user" },
		{ "daemon:", "no such group" },
		{ "daemon:no-such-group", "no such group" },
		{ "daemon:-1", "no such group" },
		{ "daemon:4294967295", "no such group" },
		{ "daemon:1:1", "no such group" },
		{ "123456789", "add :GROUP" },
		{ "root", "root" },
		{ "0", "root" },
		{ "root:daemon", "root" },
		{ "0:1", "root" },
		{ "daemon:root", "root" },
		{ "daemon:0", "root" },
		{ "123456789:0", "root" },
	};
	char name[300];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_refused(rows[i].user, rows[i].reason);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	expect_refused(name, "too long");
}

/* As everywhere else: no blanks, no sign. */
static void
ids_are_digits(void **state)
{
	static const char *const rows[] = { " 1:1", "+1:1", "\t1:1", "1: 1",
		"1:+1" };
	size_t taken = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct identity id;

		if (privilege_lookup(&id, rows[i]) == EX_USAGE)
			continue;
		print_message("'%s' became %u:%u\n", rows[i], id.uid, id.gid);
		taken++;
	}
	assert_int_equal(taken, 0);
}

static void
users_are_looked_up(void **state)
{
	const struct passwd *pw = getpwnam("daemon");
	const struct group *gr = getgrnam("mail");

	(void)state;
	if (pw == NULL || gr == NULL)
		skip();

	const uid_t uid = pw->pw_uid;
	const gid_t gid = pw->pw_gid, mail = gr->gr_gid;
	char number[32];

	snprintf(number, sizeof(number), "%u", uid);

	const struct {
		const char *user;
		uid_t uid;
		gid_t gid;
	} rows[] = {
		{ "daemon", uid, gid },
		{ number, uid, gid },
		{ "daemon:mail", uid, mail },
		{ "daemon:123456789", uid, 123456789 },
		{ "123456789:mail", 123456789, mail },
		{ "123456789:123456788", 123456789, 123456788 },
		{ "4294967294:4294967294", 4294967294, 4294967294 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct identity id;

		assert_int_equal(privilege_lookup(&id, rows[i].user), 0);
		assert_int_equal(id.uid, rows[i].uid);
		assert_int_equal(id.gid, rows[i].gid);
		assert_int_equal(id.change, geteuid() == 0);
		assert_ptr_equal(id.name, rows[i].user);
		/* To who is not root it is said that it does nothing. */
		assert_int_equal(capture_text()[0] == '\0', geteuid() == 0);
	}
}

static void
default_is_the_built_in_user(void **state)
{
	struct identity id;

	(void)state;
	assert_int_equal(privilege_lookup(&id, NULL), 0);
	assert_string_equal(id.name, ECHOD_USER);
	assert_int_equal(id.change, geteuid() == 0);
	if (id.change)
		assert_int_not_equal(id.uid, 0);
	assert_string_equal(capture_text(), "");
}

/* In /proc/self/status. */
static bool
status_is(const char *name, const char *value)
{
	return proc_says(getpid(), "status", name, value);
}

/* What is wrong after a drop, as an exit status: 0 is nothing. */
static int
look_for_rights(const struct identity *id)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) == -1 || ruid == 0 || euid == 0 ||
	    suid == 0)
		return 1;
	if (getresgid(&rgid, &egid, &sgid) == -1)
		return 2;
	if (id->change &&
	    (ruid != id->uid || euid != id->uid || suid != id->uid))
		return 3;
	if (id->change &&
	    (rgid != id->gid || egid != id->gid || sgid != id->gid))
		return 4;
	if (id->change && getgroups(0, NULL) != 0)
		return 5;
	if (!status_is("CapInh:", "0000000000000000") ||
	    !status_is("CapPrm:", "0000000000000000") ||
	    !status_is("CapEff:", "0000000000000000") ||
	    !status_is("CapAmb:", "0000000000000000"))
		return 6;
	if (!status_is("NoNewPrivs:", "1"))
		return 7;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 8;
	return 0;
}

static void
nothing_is_left_after_a_drop(void **state)
{
	const gid_t groups[] = { 1, 2 };
	struct identity id;
	int status;

	(void)state;
	assert_int_equal(privilege_lookup(&id, NULL), 0);

	const pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (id.change && setgroups(COUNT(groups), groups) == -1)
			_exit(98);
		if (privilege_drop(&id) != 0)
			_exit(99);
		_exit(look_for_rights(&id));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_string_equal(capture_text(), "");
}

/* A drop that root would survive is not one. */
static void
staying_root_is_refused(void **state)
{
	const struct identity id = { .change = false, .name = "root" };
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();

	const pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0)
		_exit(privilege_drop(&id));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EX_OSERR);
	assert_non_null(strstr(capture_text(), "not serving"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(wrong_users_are_refused),
		LOG_TEST(ids_are_digits),
		LOG_TEST(users_are_looked_up),
		LOG_TEST(default_is_the_built_in_user),
		LOG_TEST(nothing_is_left_after_a_drop),
		LOG_TEST(staying_root_is_refused),
	};

	return cmocka_run_group_tests_name("privilege", tests, NULL, NULL);
}
