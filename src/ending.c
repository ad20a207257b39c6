#include "echod/ending.h"

#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>

static const struct {
	const char *label, *reason;
	int priority;
} kinds[SESSION_ENDS] = {
	[SESSION_EOF] = { "eof", "end of file", LOG_INFO },
	[SESSION_IDLE] = { "idle", "idle", LOG_INFO },
	[SESSION_RESET] = { "reset", "reset by the client", LOG_INFO },
	[SESSION_VANISHED] = { "vanished", "the client vanished", LOG_INFO },
	[SESSION_DRAINED] = { "drained", "drained", LOG_INFO },
	[SESSION_FAILED] = { "failed", "a system call failed", LOG_ERR },
	[SESSION_NO_HEADER] = { "no_proxy_header", "no PROXY header within 5 s",
	    LOG_WARNING },
	[SESSION_WRONG_HEADER] = { "wrong_proxy_header", "a wrong PROXY header",
	    LOG_WARNING },
	[SESSION_LONG_HEADER] = { "long_proxy_header",
	    "a PROXY header that is too long", LOG_WARNING },
	[SESSION_UNADMITTED] = { "unadmitted", "nobody had time to admit it",
	    LOG_WARNING },
	[SESSION_CUT_OFF] = { "cut_off", "cut off", LOG_INFO },
	[SESSION_REFUSED] = { "refused", "refused", LOG_DEBUG },
	[SESSION_KILLED] = { "killed", "killed", LOG_ERR },
};

const char *
ending_label(enum session_end end)
{
	return kinds[end].label;
}

static struct ending
ending_as(enum session_end end)
{
	struct ending e = { .end = end, .priority = kinds[end].priority };

	strlcpy(e.why, kinds[end].reason, sizeof(e.why));
	return e;
}

struct ending
ending_of(int status, bool cut_off)
{
	if (WIFSIGNALED(status)) {
		const int sig = WTERMSIG(status);
		struct ending e = ending_as(SESSION_KILLED);

		if (sig == SIGKILL && cut_off)
			return ending_as(SESSION_CUT_OFF);
		if (sig == SIGKILL) /* somebody meant it, or memory ran out */
			e.priority = LOG_WARNING;
		snprintf(e.why, sizeof(e.why), "killed by signal %d (%s)", sig,
		    strsignal(sig));
		return e;
	}

	const int code = WEXITSTATUS(status);

	if (code <= SESSION_UNADMITTED)
		return ending_as((enum session_end)code);

	struct ending e = ending_as(SESSION_FAILED);

	snprintf(e.why, sizeof(e.why), "exit status %d", code);
	return e;
}

struct ending
ending_refused(void)
{
	return ending_as(SESSION_REFUSED);
}

void
ending_play_down(struct ending *e, uint64_t bytes, bool brief)
{
	if (brief && bytes == 0 && e->priority == LOG_INFO)
		e->priority = LOG_DEBUG;
}
