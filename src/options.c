#include "echod/options.h"

#include <bsd/string.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "config.h"
#include "echod/number.h"

enum {
	BACKLOG_MAX = 65535,
	CLIENTS_MAX = 1000000,
	RATE_MAX = 1000000,
	GRACE_MAX = 3600,
	TIMEOUT_MAX = 365 * 24 * 3600,
	REASON_SIZE = 96,
	NAME_SIZE = 32,
};

/* The letters of options that have a name only, for getopt_long(3). */
enum { LONG_ONLY = UCHAR_MAX, IPV6_PREFIX };

enum {
	SERVER = 1, /* is for who serves many, and not one on standard input */
	WHERE = 2, /* says where to listen */
	LOG = 4, /* says where to log */
};

/* One option: how it is written, explained and stored. */
struct row {
	int letter; /* for options with none: see LONG_ONLY */
	const char *name;
	const char *arg; /* NULL: takes none */
	const char *help; /* NULL: the next one's is for both */
	unsigned flags;
	/* Store arg, or value where there is none.  False: why says why not. */
	bool (*store)(struct options *, const struct row *, const char *arg,
	    char why[static REASON_SIZE]);
	size_t offset; /* of the member of struct options to store into */
	int value, max; /* of a number: its range */
};

static bool
wrong(char why[static REASON_SIZE], const char *reason)
{
	strlcpy(why, reason, REASON_SIZE);
	return false;
}

static bool
store_int(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)arg, (void)why;
	memcpy((char *)opt + row->offset, &row->value, sizeof(row->value));
	return true;
}

static bool
store_true(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	const bool yes = true;

	(void)arg, (void)why;
	memcpy((char *)opt + row->offset, &yes, sizeof(yes));
	return true;
}

/* A number from row->value to row->max. */
static bool
store_number(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	long long n;

	if (!number_parse(arg, row->value, row->max, &n)) {
		snprintf(why, REASON_SIZE, "must be a number from %d to %d",
		    row->value, row->max);
		return false;
	}

	const int number = (int)n; /* max is one */

	memcpy((char *)opt + row->offset, &number, sizeof(number));
	return true;
}

static bool
store_listen(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)row;
	if (opt->nlisten == OPTIONS_LISTEN_MAX) {
		snprintf(why, REASON_SIZE, "more than %d addresses",
		    OPTIONS_LISTEN_MAX);
		return false;
	}

	const char *bad = address_parse(arg, &opt->listen[opt->nlisten++]);

	return bad == NULL || wrong(why, bad);
}

static bool
store_port(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)row;
	opt->port = address_parse_port(arg);
	return opt->port != 0 ||
	    wrong(why, "must be a number from 1 to 65535 or a known service");
}

static bool
store_path(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	memcpy((char *)opt + row->offset, &arg, sizeof(arg));
	return arg[0] == '/' || wrong(why, "must be an absolute path");
}

static bool
store_network(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)row;
	if (opt->nproxy == OPTIONS_PROXY_MAX) {
		snprintf(why, REASON_SIZE, "more than %d networks",
		    OPTIONS_PROXY_MAX);
		return false;
	}

	const char *bad =
	    address_parse_network(arg, &opt->proxy[opt->nproxy++]);

	return bad == NULL || wrong(why, bad);
}

static bool
store_user(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)row;
	opt->user = arg;
	return arg[0] != '\0' || wrong(why, "must name a user");
}

static bool
store_log(
    struct options *opt, const struct row *row, const char *arg, char *why)
{
	(void)row;
	opt->log = strcmp(arg, "syslog") == 0 ? LOG_TO_SYSLOG : LOG_TO_STDERR;
	return opt->log == LOG_TO_SYSLOG || strcmp(arg, "stderr") == 0 ||
	    wrong(why, "must be stderr or syslog");
}

#define AT(member) offsetof(struct options, member)

/* clang-format off */
static const struct row rows[] = {
	{ .letter = '4', .name = "ipv4", .flags = SERVER | WHERE,
	  .store = store_int, .offset = AT(family), .value = AF_INET },
	{ .letter = '6', .name = "ipv6", .flags = SERVER | WHERE,
	  .help = "only IPv4, or only IPv6",
	  .store = store_int, .offset = AT(family), .value = AF_INET6 },
	{ .letter = 'l', .name = "listen", .arg = "ADDR", .flags = SERVER | WHERE,
	  .help = "HOST, HOST:PORT, [V6]:PORT or :PORT; repeatable",
	  .store = store_listen },
	{ .letter = 'p', .name = "port", .arg = "PORT", .flags = SERVER | WHERE,
	  .help = "a number or a service's name (echo, 7)",
	  .store = store_port },
	{ .letter = 'b', .name = "backlog", .arg = "N", .flags = SERVER | WHERE,
	  .help = "connections that may wait to be accepted (4096)",
	  .store = store_number, .offset = AT(backlog),
	  .value = 1, .max = BACKLOG_MAX },
	{ .letter = 'u', .name = "udp", .flags = SERVER | WHERE,
	  .help = "serve UDP, too",
	  .store = store_true, .offset = AT(udp) },
	{ .letter = 'i', .name = "inetd",
	  .help = "serve one client on standard input and output",
	  .store = store_true, .offset = AT(inetd) },
	{ .letter = 'd', .name = "daemon", .flags = SERVER,
	  .help = "go to the background, once serving",
	  .store = store_true, .offset = AT(daemon) },
	{ .letter = 'P', .name = "pidfile", .arg = "FILE", .flags = SERVER,
	  .help = "absolute (with -d " ECHOD_PIDFILE ", else none)",
	  .store = store_path, .offset = AT(pidfile) },
	{ .letter = 'U', .name = "user", .arg = "USER[:GROUP]",
	  .help = "run as, if started as root (" ECHOD_USER ")",
	  .store = store_user },
	{ .letter = 'c', .name = "max-clients", .arg = "N", .flags = SERVER,
	  .help = "clients at once; more of them wait (1024)",
	  .store = store_number, .offset = AT(max_clients),
	  .value = 1, .max = CLIENTS_MAX },
	{ .letter = 's', .name = "max-per-source", .arg = "N", .flags = SERVER,
	  .help = "clients at once of one source (0, no limit)",
	  .store = store_number, .offset = AT(max_per_source),
	  .value = 0, .max = CLIENTS_MAX },
	{ .letter = 'r', .name = "rate", .arg = "N", .flags = SERVER,
	  .help = "of one source per second (0: no limit; UDP: 100)",
	  .store = store_number, .offset = AT(rate),
	  .value = 0, .max = RATE_MAX },
	{ .letter = IPV6_PREFIX, .name = "ipv6-prefix", .arg = "BITS",
	  .flags = SERVER,
	  .help = "how much of an IPv6 address is its source (64)",
	  .store = store_number, .offset = AT(ipv6_prefix),
	  .value = 1, .max = 128 },
	{ .letter = 't', .name = "idle-timeout", .arg = "SEC",
	  .help = "close a client that is idle for so long (0, never)",
	  .store = store_number, .offset = AT(idle_timeout),
	  .value = 0, .max = TIMEOUT_MAX },
	{ .letter = 'g', .name = "grace", .arg = "SEC",
	  .help = "how long clients may finish on a stop (5)",
	  .store = store_number, .offset = AT(grace),
	  .value = 0, .max = GRACE_MAX },
	{ .letter = 'x', .name = "proxy-protocol", .arg = "NET",
	  .help = "who sends a PROXY header: ADDR/BITS; repeatable",
	  .store = store_network },
	{ .letter = 'm', .name = "metrics", .arg = "FILE", .flags = SERVER,
	  .help = "absolute; keep it up to date, for Prometheus",
	  .store = store_path, .offset = AT(metrics) },
	{ .letter = 'L', .name = "log", .arg = "DEST", .flags = LOG,
	  .help = "stderr or syslog (stderr; with -d syslog)",
	  .store = store_log },
	{ .letter = 'q', .name = "quiet",
	  .store = store_int, .offset = AT(priority), .value = LOG_WARNING },
	{ .letter = 'v', .name = "verbose",
	  .help = "log warnings and errors only, or even details",
	  .store = store_int, .offset = AT(priority), .value = LOG_DEBUG },
	{ .letter = 'n', .name = "check",
	  .help = "check options, user and addresses, then exit",
	  .store = store_true, .offset = AT(check) },
	{ .letter = 'V', .name = "version" },
	{ .letter = 'h', .name = "help", .help = "print the version, or this, then exit" },
};
/* clang-format on */

enum { NROWS = sizeof(rows) / sizeof(rows[0]) };

/* getopt_long(3)'s two tables, made of ours; zero at first. */
struct getopt_tables {
	char letters[2 + 2 * NROWS + 1];
	struct option names[NROWS + 1];
};

static void
make_tables(struct getopt_tables *t)
{
	char *letter = t->letters;

	*letter++ = '+'; /* stop at the first operand: argv stays in order */
	*letter++ = ':'; /* tell a missing argument from an unknown option */
	for (size_t i = 0; i < NROWS; i++) {
		if (rows[i].letter < LONG_ONLY) {
			*letter++ = (char)rows[i].letter;
			if (rows[i].arg != NULL)
				*letter++ = ':';
		}
		t->names[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].arg != NULL,
			.val = rows[i].letter,
		};
	}
}

static const struct row *
find_row(int letter)
{
	for (size_t i = 0; i < NROWS; i++)
		if (rows[i].letter == letter)
			return &rows[i];
	return NULL;
}

/* "--port (-p)", as in messages. */
static const char *
name_of(const struct row *row, char name[static NAME_SIZE])
{
	if (row->letter < LONG_ONLY)
		snprintf(name, NAME_SIZE, "--%s (-%c)", row->name, row->letter);
	else
		snprintf(name, NAME_SIZE, "--%s", row->name);
	return name;
}

/* Say what getopt_long(3) disliked about word, having returned c. */
static void
explain(char why[static OPTIONS_WHY_SIZE], int c, const char *word)
{
	const struct row *row = find_row(optopt);
	char name[NAME_SIZE];

	if (c == ':')
		snprintf(why, OPTIONS_WHY_SIZE, "%s needs a value: %s",
		    name_of(row, name), row->arg);
	else if (row != NULL)
		snprintf(why, OPTIONS_WHY_SIZE, "%s takes no value",
		    name_of(row, name));
	else if (optopt != 0)
		snprintf(why, OPTIONS_WHY_SIZE,
		    "unknown option -%c; see echod --help", optopt);
	else
		snprintf(why, OPTIONS_WHY_SIZE,
		    "unknown or ambiguous option %.80s; see echod --help",
		    word);
}

static void
set_defaults(struct options *opt)
{
	*opt = (struct options){
		.family = AF_UNSPEC,
		.port = ADDRESS_PORT_ECHO,
		.backlog = 4096,
		.max_clients = 1024,
		.ipv6_prefix = 64,
		.grace = 5,
		.priority = LOG_INFO,
	};
}

/* What --daemon has for what is not given. */
static void
set_for_daemon(struct options *opt, unsigned given)
{
	if (!(given & LOG))
		opt->log = LOG_TO_SYSLOG;
	if (opt->pidfile == NULL)
		opt->pidfile = ECHOD_PIDFILE;
}

/* All options are right; of those for servers the first is server, or none. */
static bool
fits_together(const struct options *opt, const struct row *server,
    const char *operand, char why[static OPTIONS_WHY_SIZE])
{
	char name[NAME_SIZE];

	if (operand != NULL) {
		snprintf(why, OPTIONS_WHY_SIZE,
		    "unexpected argument '%.80s'; a port is given with -p, an address with -l",
		    operand);
		return false;
	}
	if (opt->inetd && server != NULL) {
		snprintf(why, OPTIONS_WHY_SIZE,
		    "%s is not for --inetd (-i), which serves one client",
		    name_of(server, name));
		return false;
	}
	return true;
}

enum options_action
options_parse(struct options *opt, int argc, char *const argv[],
    char why[static OPTIONS_WHY_SIZE])
{
	struct getopt_tables tables = { 0 };
	const struct row *server = NULL; /* the first of that kind */
	char reason[REASON_SIZE], name[NAME_SIZE];
	unsigned given = 0; /* flags of all */
	int c;

	set_defaults(opt);
	make_tables(&tables);
	opterr = 0;
	optind = 0; /* glibc's and musl's way to start anew */
	while ((c = getopt_long(
		    argc, argv, tables.letters, tables.names, NULL)) != -1) {
		if (c == 'h')
			return OPTIONS_HELP;
		if (c == 'V')
			return OPTIONS_VERSION;
		if (c == ':' || c == '?') {
			explain(why, c, argv[optind - 1]);
			return OPTIONS_WRONG;
		}

		const struct row *row = find_row(c);

		if (!row->store(opt, row, optarg, reason)) {
			snprintf(why, OPTIONS_WHY_SIZE, "%s '%.80s': %s",
			    name_of(row, name), optarg, reason);
			return OPTIONS_WRONG;
		}
		given |= row->flags;
		if (server == NULL && (row->flags & SERVER) != 0)
			server = row;
	}
	opt->listen_given = given & WHERE;
	if (opt->daemon)
		set_for_daemon(opt, given);
	return fits_together(opt, server, argv[optind], why) ? OPTIONS_SERVE
							     : OPTIONS_WRONG;
}

/* "-p, --port=PORT" */
static void
write_option(char *text, size_t size, const struct row *row)
{
	char letter[] = "-x, ";

	if (row->letter < LONG_ONLY)
		letter[1] = (char)row->letter;
	snprintf(text, size, "%s--%s%s%s",
	    row->letter < LONG_ONLY ? letter : "    ", row->name,
	    row->arg ? "=" : "", row->arg ? row->arg : "");
}

void
options_help(FILE *out)
{
	fputs("Usage: echod [OPTION]...\n"
	      "Serve the echo protocol (RFC 862), a process per client.\n",
	    out);
	for (size_t i = 0; i < NROWS; i++) {
		char left[64];

		write_option(left, sizeof(left), &rows[i]);
		if (rows[i].help == NULL) {
			strlcat(left, ", ", sizeof(left));
			i++;
			write_option(left + strlen(left),
			    sizeof(left) - strlen(left), &rows[i]);
		}
		fprintf(out, "  %-26s %s\n", left, rows[i].help);
	}
}
