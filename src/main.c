/*
 * echod: an echo daemon with a process per client.
 *
 * The order of start-up, and the exit status of sysexits(3); nothing else.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "config.h"
#include "echod/daemon.h"
#include "echod/listener.h"
#include "echod/log.h"
#include "echod/nss.h"
#include "echod/options.h"
#include "echod/privilege.h"
#include "echod/sandbox.h"
#include "echod/server.h"
#include "echod/signals.h"
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

/* --check: all that can be told without serving. */
static int
check(struct listeners *ls, const struct identity *id)
{
	char text[LISTENERS_TEXT_SIZE];
	const int status = listeners_check(ls);

	if (status != 0)
		return status;
	printf("echod would listen on %s", listeners_format(ls, text));
	if (id->change)
		printf(" as user %s", id->name);
	puts("");
	return flush();
}

/*
 * From the sockets to the end.  ready is for daemon_ready(), -1: none.  Once it
 * serves, *pidfile is NULL.
 */
static int
serve(const struct options *opt, struct listeners *ls,
    const struct listener_config *config, const struct identity *id,
    const sigset_t *waiting, struct pidfh **pidfile, int ready)
{
	char text[LISTENERS_TEXT_SIZE];
	int kept = -1, status = listeners_open(ls, config);

	if (status != 0)
		return status;

	struct server *server = server_new(opt, ls);

	if (server == NULL)
		return EX_OSERR;
	if ((status = privilege_drop(id)) == 0 &&
	    (status = daemon_pidfile_keep(pidfile, &kept)) == 0 &&
	    (status = sandbox_enter()) == 0) {
		log_settle();
		log_info("listening on %s", listeners_format(ls, text));
		if (ready != -1)
			daemon_ready(ready, opt->log == LOG_TO_STDERR);
		server_run(server, waiting);
	}
	daemon_pidfile_empty(kept);
	server_free(server);
	return status;
}

int
main(int argc, char *argv[])
{
	title_init(argc, argv, environ);
	if (ECHOD_STATIC)
		nss_builtin_only();

	struct options opt;
	struct identity id;
	struct listeners ls;
	struct pidfh *pidfile;
	sigset_t waiting;
	char why[OPTIONS_WHY_SIZE];
	const enum options_action what = options_parse(&opt, argc, argv, why);
	int ready = -1, status;

	switch (what) {
	case OPTIONS_SERVE:
		break;
	case OPTIONS_HELP:
		options_help(stdout);
		return flush();
	case OPTIONS_VERSION:
		puts("echod " ECHOD_VERSION);
		return flush();
	case OPTIONS_WRONG:
		log_error("%s", why);
		return EX_USAGE;
	}

	const struct listener_config config = {
		.spec = opt.listen,
		.nspec = opt.nlisten,
		.family = opt.family,
		.port = opt.port,
		.backlog = opt.backlog,
		.idle_timeout = opt.idle_timeout,
	};

	if ((status = daemon_tidy_descriptors()) != 0)
		return status;
	if (log_open(opt.log, opt.priority) == -1)
		log_warning("cannot log to syslog: %s", strerror(errno));
	if ((status = privilege_lookup(&id, opt.user)) != 0 ||
	    (status = listeners_resolve(&ls, &config)) != 0)
		return status;
	if (opt.check)
		return check(&ls, &id);
	if ((status = daemon_pidfile_lock(&pidfile, opt.pidfile)) != 0)
		return status;
	if (!opt.daemon || (status = daemon_background(&ready)) == 0) {
		signals_init(&waiting); /* from here on a TERM is waited for */
		status = daemon_pidfile_write(pidfile);
	}
	if (status == 0)
		status =
		    serve(&opt, &ls, &config, &id, &waiting, &pidfile, ready);
	daemon_pidfile_remove(pidfile);
	log_close();
	return status;
}
