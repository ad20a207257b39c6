#include "echod/start.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "echod/daemon.h"
#include "echod/descriptors.h"
#include "echod/inetd.h"
#include "echod/listener.h"
#include "echod/log.h"
#include "echod/pidfile.h"
#include "echod/privilege.h"
#include "echod/sandbox.h"
#include "echod/server.h"
#include "echod/signals.h"
#include "echod/systemd.h"

/* The end of what --check says. */
static void
say_user(const struct identity *id)
{
	if (id->change)
		printf(" as user %s", id->name);
	puts("");
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
	say_user(id);
	return EX_OK;
}

/* From the sockets to the end.  ready is for daemon_ready(), -1: none. */
static int
serve(const struct options *opt, struct listeners *ls,
    const struct listener_config *config, const struct identity *id,
    struct systemd *sd, const sigset_t *waiting, struct pidfile *pidfile,
    int ready)
{
	char text[LISTENERS_TEXT_SIZE];
	int status = listeners_open(ls, config);

	if (status != 0)
		return status;

	struct server *server = server_new(opt, ls, sd);

	if (server == NULL)
		return EX_OSERR;
	if ((status = privilege_drop(id)) == 0 &&
	    (status = pidfile_keep(pidfile)) == 0 &&
	    (status = sandbox_keep_to_itself()) == 0 &&
	    (status = server_start_metrics(server)) == 0 &&
	    (status = sandbox_enter()) == 0) {
		log_settle();
		log_info("listening on %s", listeners_format(ls, text));
		server_title(server); /* who is told that it serves may look */
		systemd_ready(sd, opt->daemon);
		if (ready != -1)
			daemon_ready(ready, opt->log == LOG_TO_STDERR);
		server_run(server, waiting);
	}
	server_free(server);
	return status;
}

/* What was handed over goes before what the command line says. */
static int
find_sockets(
    struct listeners *ls, const struct listener_config *config, int handed_over)
{
	if (handed_over == 0)
		return listeners_resolve(ls, config);
	if (handed_over == -1) {
		log_error("LISTEN_FDS must be a number of open descriptors");
		return EX_UNAVAILABLE;
	}
	return listeners_inherit(ls, SYSTEMD_FDS_START, (size_t)handed_over);
}

/*
 * Open the sockets with the rights that echod has got for them, and begin again
 * without these, as if the sockets had come from systemd.
 */
static int
begin_again(struct listeners *ls, const struct listener_config *config,
    char *const argv[])
{
	int fd[LISTENERS_MAX], status = listeners_open(ls, config);

	if (status != 0)
		return status;
	for (size_t i = 0; i < ls->n; i++)
		fd[i] = ls->at[i].fd;
	log_close(); /* its descriptor may be in the way */
	if (systemd_hand_over(fd, (int)ls->n) == -1) {
		log_error("cannot keep the sockets: %s", strerror(errno));
		return EX_OSERR;
	}
	return privilege_shed(argv);
}

int
start_server(const struct options *opt, int handed_over, char *const argv[])
{
	const struct listener_config config = {
		.spec = opt->listen,
		.nspec = opt->nlisten,
		.family = opt->family,
		.port = opt->port,
		.backlog = opt->backlog,
		.idle_timeout = opt->idle_timeout,
		.udp = opt->udp,
	};
	struct systemd sd;
	struct identity id;
	struct listeners ls;
	struct pidfile pidfile;
	sigset_t waiting;
	int ready = -1, status;

	if (handed_over > 0 && opt->listen_given && !systemd_is_own())
		log_warning(
		    "the sockets come from systemd: --listen, --port, --backlog, --ipv4, --ipv6 and --udp have no effect");
	if ((status = find_sockets(&ls, &config, handed_over)) != 0)
		return status;
	if (!opt->check && privilege_is_stuck())
		return begin_again(&ls, &config, argv);
	if ((status = privilege_lookup(&id, opt->user)) != 0)
		return status;
	if (opt->check)
		return check(&ls, &id);
	if ((status = descriptors_leave_input()) != 0 ||
	    (status = pidfile_lock(&pidfile, opt->pidfile)) != 0)
		return status;
	systemd_init(&sd);
	if (!opt->daemon || (status = daemon_background(&ready)) == 0) {
		signals_init(&waiting); /* from here on a TERM is waited for */
		status = pidfile_fill(&pidfile);
	}
	if (status == 0)
		status = serve(
		    opt, &ls, &config, &id, &sd, &waiting, &pidfile, ready);
	pidfile_end(&pidfile);
	if (status != 0 && ready != -1)
		daemon_tell(ready, status);
	systemd_close(&sd);
	return status;
}

int
start_inetd(const struct options *opt, char *const argv[])
{
	struct inetd inetd = {
		.idle = opt->idle_timeout,
		.grace = opt->grace,
		.proxy = opt->proxy,
		.nproxy = opt->nproxy,
	};
	struct identity id;
	int status;

	if ((status = privilege_lookup(&id, opt->user)) != 0)
		return status;
	if (opt->check) {
		printf("echod would serve the client on standard input");
		say_user(&id);
		return EX_OK;
	}
	if (privilege_is_stuck())
		return privilege_shed(argv);
	if ((status = inetd_prepare(&inetd)) != 0 ||
	    (status = privilege_drop(&id)) != 0 ||
	    (status = sandbox_keep_to_itself()) != 0 ||
	    (status = sandbox_enter()) != 0)
		return status;
	return inetd_serve(&inetd);
}
