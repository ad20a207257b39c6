/*
 * echod: an echo daemon with a process per client.
 *
 * What the command line asks for, and the exit status of sysexits(3).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "echod/descriptors.h"
#include "echod/inetd.h"
#include "echod/log.h"
#include "echod/nss.h"
#include "echod/options.h"
#include "echod/start.h"
#include "echod/systemd.h"
#include "echod/title.h"

/* What was printed must have come out. */
static int
flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EX_OK;
	log_error("cannot write to standard output: %s", strerror(errno));
	return EX_OSERR;
}

/* Where standard error is a client's, what is for the log goes to syslog. */
static void
open_log(enum log_target target, int priority, bool is_client)
{
	if (log_open(is_client ? LOG_TO_SYSLOG : target, priority) == 0) {
		if (is_client)
			log_settle();
		else if (target == LOG_TO_SYSLOG && log_find_syslogd() == -1)
			log_warning(
			    "nobody reads /dev/log: %s; log lines are lost until a syslog daemon does, or use --log=stderr",
			    strerror(errno));
		return;
	}
	if (is_client)
		log_open(LOG_TO_STDERR, LOG_EMERG); /* which nothing is */
	log_warning("cannot log to syslog: %s", strerror(errno));
}

int
main(int argc, char *argv[])
{
	title_init(argc, argv, environ);
	if (ECHOD_STATIC)
		nss_builtin_only();

	const int handed_over = systemd_listen_fds();
	char why[OPTIONS_WHY_SIZE];
	struct options opt;
	int status = descriptors_tidy(handed_over);

	if (status != 0)
		return status;
	open_log(LOG_TO_STDERR, LOG_INFO, inetd_has_stderr());
	switch (options_parse(&opt, argc, argv, why)) {
	case OPTIONS_SERVE:
		open_log(
		    opt.log, opt.priority, opt.inetd && inetd_has_stderr());
		status = opt.inetd ? start_inetd(&opt, argv)
				   : start_server(&opt, handed_over, argv);
		break;
	case OPTIONS_HELP:
		options_help(stdout);
		break;
	case OPTIONS_VERSION:
		puts("echod " ECHOD_VERSION);
		break;
	case OPTIONS_WRONG:
		log_error("%s", why);
		status = EX_USAGE;
		break;
	}
	if (status == EX_OK)
		status = flush();
	log_close();
	return status;
}
