/*
 * The least that a server with a process per client does: accept, fork, read,
 * write, exit, reap.  It is what echod is compared with, and good for nothing
 * else: it has no limits, logs nothing, and serves 127.0.0.1 only.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[64 * 1024]; /* as large as echod's */

static void
reap(int signal)
{
	const int saved = errno;

	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = saved;
}

static void
serve(int client)
{
	ssize_t n;

	while ((n = read(client, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const ssize_t m =
			    write(client, buffer + at, (size_t)(n - at));

			if (m == -1)
				_exit(1);
			at += m;
		}
	}
	_exit(0);
}

int
main(int argc, char *argv[])
{
	const int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
	const struct sigaction action = {
		.sa_handler = reap,
		.sa_flags = SA_RESTART,
	};
	const struct sockaddr_in here = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
	};

	setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sigaction(SIGCHLD, &action, NULL) == -1 ||
	    bind(listener, (const struct sockaddr *)&here, sizeof(here)) ==
		-1 ||
	    listen(listener, 4096) == -1)
		err(1, "listen");
	for (;;) {
		const int client = accept(listener, NULL, NULL);

		if (client == -1)
			continue;
		if (fork() == 0)
			serve(client);
		close(client);
	}
}
