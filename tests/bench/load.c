/*
 * Clients for the bench, where packaged tools do not do: clients that stay,
 * that all come at once, that write and read at the same time; and every byte
 * that comes back is checked.
 *
 *	load PORT
 *
 * takes one command per line, and answers each with one line of names and
 * numbers.  Clients leave at the end of the input.
 *
 *	seat N WINDOW	N more clients connect and stay, WINDOW at a time
 *	churn N WINDOW	N clients connect, ask, and leave
 *	ask WINDOW	all who stay ask once more
 *	bulk N SECONDS	N clients write and read as much as they can
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGE = 64, /* bytes that a client asks with */
	CLIENTS_MAX = 65536,
	PER_SOURCE = 4096, /* clients with one address, for want of ports */
	EVENTS = 64,
	PATIENCE = 5, /* seconds in which nothing happens: stalled */
	LIMIT = 60, /* seconds for a command */
	PIECE = 256 * 1024, /* bytes sent or received at once, at most */
	PERIOD = 1024 * 1024 - 3, /* of the bulk; no multiple of anything */
};

enum mode { SEAT, CHURN, ASK };

struct client {
	int fd; /* -1: has left, or was refused */
	bool asked;
	size_t got; /* bytes of the answer */
	double begun;
};

/* A client of the bulk. */
struct stream {
	int fd;
	uint64_t sent;
	uint64_t received;
};

struct tally {
	size_t served;
	size_t prompt; /* of these, within a second from the start */
	size_t refused;
	size_t wrong;
};

static struct client clients[CLIENTS_MAX];
static size_t seated;
static uint16_t port;
static int epoll;

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
watch(int operation, int fd, size_t index, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = index };

	if (epoll_ctl(epoll, operation, fd, &event) == -1)
		err(1, "epoll_ctl");
}

/* What client number index asks with. */
static void
compose(size_t index, char message[static MESSAGE])
{
	char text[MESSAGE + 1];

	snprintf(text, sizeof(text), "%-*zu", MESSAGE, index);
	memcpy(message, text, MESSAGE);
}

/* Returns a socket that is connected or about to be, or -1 if refused. */
static int
connect_from(size_t index)
{
	const int one = 1;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	/* 127.0.0.2 and up: 127.0.0.1 is for the packaged tools. */
	const struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr =
		    htonl(INADDR_LOOPBACK + 1 + (uint32_t)(index / PER_SOURCE)),
	};
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};

	if (fd == -1)
		err(1, "socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&from, sizeof(from)) == -1)
		err(1, "bind");
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == -1 &&
	    errno != EINPROGRESS) {
		if (errno == EADDRNOTAVAIL)
			err(1, "connect");
		close(fd);
		return -1;
	}
	return fd;
}

static void
leave(struct client *client)
{
	if (client->fd != -1)
		close(client->fd);
	client->fd = -1;
}

/* Returns whether the client waits for something now. */
static bool
begin(size_t index, enum mode mode)
{
	struct client *client = &clients[index];

	client->asked = false;
	client->got = 0;
	client->begun = now();
	if (mode != ASK)
		client->fd = connect_from(index);
	if (client->fd == -1)
		return false;
	watch(EPOLL_CTL_ADD, client->fd, index, EPOLLOUT);
	return true;
}

/* Returns whether the client waits no more: it is served, or has left. */
static bool
advance(size_t index, struct tally *tally)
{
	struct client *client = &clients[index];
	char expected[MESSAGE], answer[MESSAGE];
	ssize_t n;

	compose(index, expected);
	if (!client->asked) {
		n = send(client->fd, expected, MESSAGE, MSG_NOSIGNAL);
		if (n == MESSAGE) {
			client->asked = true;
			watch(EPOLL_CTL_MOD, client->fd, index, EPOLLIN);
			return false;
		}
	} else {
		n = read(client->fd, answer, MESSAGE - client->got);
		if (n > 0 &&
		    memcmp(answer, expected + client->got, (size_t)n) != 0) {
			tally->wrong++;
			leave(client);
			return true;
		}
		if (n > 0 && (client->got += (size_t)n) < MESSAGE)
			return false;
	}
	if (n > 0) {
		tally->served++;
		watch(EPOLL_CTL_DEL, client->fd, index, 0);
		return true;
	}
	if (n == -1 && errno == EAGAIN)
		return false;
	tally->refused++;
	leave(client);
	return true;
}

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Let clients ask, window of them at a time, and tell how it went. */
static void
run(size_t first, size_t count, size_t window, enum mode mode)
{
	const size_t last = first + count;
	const double start = now();
	double end = start; /* when something happened at last */
	size_t next = first, waiting = 0;
	struct tally tally = { 0 };
	double *times = calloc(count + 1, sizeof(*times));

	if (times == NULL)
		err(1, NULL);
	while (next < last || waiting > 0) {
		struct epoll_event events[EVENTS];

		while (next < last && waiting < window) {
			if (begin(next++, mode))
				waiting++;
			else
				tally.refused++;
		}
		if (waiting == 0)
			continue;

		const int n =
		    epoll_wait(epoll, events, EVENTS, PATIENCE * 1000);

		if (n <= 0 || now() - start > LIMIT)
			break;
		for (int i = 0; i < n; i++) {
			const size_t index = events[i].data.u64;
			const size_t before = tally.served;

			if (!advance(index, &tally))
				continue;
			waiting--;
			if (mode == CHURN)
				leave(&clients[index]);
			end = now();
			if (tally.served > before) {
				times[before] = end - clients[index].begun;
				tally.prompt += end - start <= 1;
			}
		}
	}
	qsort(times, tally.served, sizeof(*times), compare);
	printf("served %zu prompt %zu refused %zu wrong %zu late %zu "
	       "seconds %.6f p50 %.6f p99 %.6f\n",
	    tally.served, tally.prompt, tally.refused, tally.wrong,
	    waiting + last - next, end - start, times[tally.served / 2],
	    times[tally.served * 99 / 100]);
	free(times);
	for (size_t i = first; i < last; i++)
		if (mode == CHURN || clients[i].got < MESSAGE)
			leave(&clients[i]);
}

/* The bulk that every client sends: random, from the first byte on. */
static char *
make_bulk(int *fd)
{
	char *bulk = malloc(PERIOD + PIECE);
	uint64_t state = 1;

	if (bulk == NULL)
		err(1, NULL);
	for (size_t i = 0; i < PERIOD; i++) {
		/* xorshift64, Marsaglia 2003 */
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bulk[i] = (char)(state >> 56);
	}
	memcpy(bulk + PERIOD, bulk, PIECE);
	*fd = memfd_create("bulk", 0);
	if (*fd == -1 || write(*fd, bulk, PERIOD) != PERIOD)
		err(1, "memfd_create");
	return bulk;
}

/* Returns whether all is well with the stream. */
static bool
pump(struct stream *stream, const char *bulk, int bulk_fd, uint32_t events,
    bool sending)
{
	static char piece[PIECE];
	ssize_t n;

	if (sending && (events & EPOLLOUT) != 0) {
		off_t from = (off_t)(stream->sent % PERIOD);

		/* Without a copy: the server is to be the slower of the two. */
		n = sendfile(stream->fd, bulk_fd, &from, PIECE);
		if (n == -1 && errno != EAGAIN)
			return false;
		stream->sent += n > 0 ? (uint64_t)n : 0;
	}
	if ((events & ~(uint32_t)EPOLLOUT) == 0)
		return true;
	n = read(stream->fd, piece, PIECE);
	if (n == 0 || (n == -1 && errno != EAGAIN))
		return false;
	if (n > 0) {
		if (memcmp(piece, bulk + stream->received % PERIOD,
			(size_t)n) != 0)
			return false;
		stream->received += (uint64_t)n;
	}
	return true;
}

static void
run_bulk(size_t count, double duration)
{
	struct stream *streams = calloc(count, sizeof(*streams));
	int bulk_fd;
	char *bulk = make_bulk(&bulk_fd);
	const double start = now();
	size_t busy = count, wrong = 0;
	bool sending = true, stalled = false;
	uint64_t total = 0;

	if (streams == NULL)
		err(1, NULL);
	for (size_t i = 0; i < count; i++) {
		streams[i].fd = connect_from(i);
		if (streams[i].fd == -1)
			err(1, "connect");
		watch(EPOLL_CTL_ADD, streams[i].fd, i, EPOLLIN | EPOLLOUT);
	}
	while (busy > 0) {
		struct epoll_event events[EVENTS];
		const int n =
		    epoll_wait(epoll, events, EVENTS, PATIENCE * 1000);

		if (n <= 0) {
			stalled = true;
			break;
		}
		if (sending && now() - start >= duration) {
			sending = false;
			for (size_t i = 0; i < count; i++)
				if (streams[i].fd != -1)
					watch(EPOLL_CTL_MOD, streams[i].fd, i,
					    EPOLLIN);
		}
		for (int i = 0; i < n; i++) {
			struct stream *stream = &streams[events[i].data.u64];

			if (!pump(stream, bulk, bulk_fd, events[i].events,
				sending)) {
				wrong++;
				busy--;
				close(stream->fd);
				stream->fd = -1;
			}
		}
		for (size_t i = 0; !sending && i < count; i++) {
			if (streams[i].fd == -1 ||
			    streams[i].received < streams[i].sent)
				continue;
			busy--;
			close(streams[i].fd);
			streams[i].fd = -1;
		}
	}

	const double seconds = now() - start;

	for (size_t i = 0; i < count; i++) {
		total += streams[i].received;
		if (streams[i].fd != -1)
			close(streams[i].fd);
	}
	printf("bytes %llu seconds %.6f wrong %zu stalled %d\n",
	    (unsigned long long)total, seconds, wrong, stalled);
	close(bulk_fd);
	free(bulk);
	free(streams);
}

static void
obey(const char *line)
{
	size_t count, window;
	double seconds;

	if (sscanf(line, "seat %zu %zu", &count, &window) == 2 &&
	    count <= CLIENTS_MAX - seated) {
		run(seated, count, window, SEAT);
		seated += count;
	} else if (sscanf(line, "churn %zu %zu", &count, &window) == 2 &&
	    count <= CLIENTS_MAX - seated) {
		run(seated, count, window, CHURN);
	} else if (sscanf(line, "ask %zu", &window) == 1) {
		run(0, seated, window, ASK);
	} else if (sscanf(line, "bulk %zu %lf", &count, &seconds) == 2) {
		run_bulk(count, seconds);
	} else {
		errx(1, "no command: %s", line);
	}
	fflush(stdout);
}

int
main(int argc, char *argv[])
{
	struct rlimit files;
	char line[128];

	if (argc != 2 || (port = (uint16_t)atoi(argv[1])) == 0)
		errx(1, "usage: load PORT");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll == -1)
		err(1, "epoll_create1");
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		clients[i].fd = -1;
	while (fgets(line, sizeof(line), stdin) != NULL)
		obey(line);
	return 0;
}
