/*
 * Options: argv in, a struct options out.
 *
 * A command line is one string here, its words separated by '|'.  What comes
 * out is one string, too: the members that are not at their defaults.
 */
#include "echod/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "support.h"

enum { WORDS_MAX = 64 };

struct command {
	char text[2048];
	int argc;
	char *argv[WORDS_MAX];
};

static void
split(struct command *cmd, const char *line)
{
	char *word = cmd->text;

	assert_true(snprintf(cmd->text, sizeof(cmd->text), "echod|%s", line) <
	    (int)sizeof(cmd->text));
	if (line[0] == '\0') /* no words, rather than one that is empty */
		word[strlen("echod")] = '\0';
	while (word != NULL) {
		assert_true(cmd->argc < WORDS_MAX - 1);
		cmd->argv[cmd->argc++] = strsep(&word, "|");
	}
}

/* Parse line; argv must stay as it was. */
static enum options_action
parse(struct options *opt, const char *line, char why[static OPTIONS_WHY_SIZE])
{
	struct command cmd = { .argc = 0 }; /* all of it is compared */

	split(&cmd, line);

	const struct command copy = cmd;

	memset(opt, 0xff, sizeof(*opt));
	memset(why, '#', OPTIONS_WHY_SIZE);

	const enum options_action what =
	    options_parse(opt, cmd.argc, cmd.argv, why);

	assert_memory_equal(&cmd, &copy, sizeof(cmd));
	/* Strings that point into argv are to be read after cmd is gone. */
	if (what == OPTIONS_SERVE) {
		static char strings[3][256];
		const char **const from[] = { &opt->pidfile, &opt->user,
			&opt->metrics };

		for (size_t i = 0; i < COUNT(from); i++) {
			if (*from[i] == NULL)
				continue;
			snprintf(
			    strings[i], sizeof(strings[i]), "%s", *from[i]);
			*from[i] = strings[i];
		}
	}
	return what;
}

static void
describe(const struct options *opt, char *text, size_t size)
{
	FILE *out = fmemopen(text, size, "w");

	assert_non_null(out);
	text[0] = '\0'; /* it may be all */
	if (opt->family != AF_UNSPEC)
		fprintf(out, "%s ",
		    opt->family == AF_INET	  ? "v4"
			: opt->family == AF_INET6 ? "v6"
						  : "family?");
	for (size_t i = 0; i < opt->nlisten; i++)
		fprintf(out, "listen=%s,%u ", opt->listen[i].host,
		    opt->listen[i].port);
	if (opt->port != 7)
		fprintf(out, "port=%u ", opt->port);
	if (opt->backlog != 4096)
		fprintf(out, "backlog=%d ", opt->backlog);
	if (opt->udp)
		fprintf(out, "udp ");
	if (opt->inetd)
		fprintf(out, "inetd ");
	if (opt->daemon)
		fprintf(out, "daemon ");
	if (opt->pidfile != NULL)
		fprintf(out, "pidfile=%s ", opt->pidfile);
	if (opt->user != NULL)
		fprintf(out, "user=%s ", opt->user);
	if (opt->max_clients != 1024)
		fprintf(out, "max-clients=%d ", opt->max_clients);
	if (opt->max_per_source != 0)
		fprintf(out, "max-per-source=%d ", opt->max_per_source);
	if (opt->rate != 0)
		fprintf(out, "rate=%d ", opt->rate);
	if (opt->ipv6_prefix != 64)
		fprintf(out, "ipv6-prefix=%d ", opt->ipv6_prefix);
	if (opt->grace != 5)
		fprintf(out, "grace=%d ", opt->grace);
	if (opt->idle_timeout != 0)
		fprintf(out, "idle-timeout=%d ", opt->idle_timeout);
	for (size_t i = 0; i < opt->nproxy; i++) {
		char net[INET6_ADDRSTRLEN];

		inet_ntop(AF_INET6, &opt->proxy[i].net, net, sizeof(net));
		fprintf(out, "proxy=%s/%d ", net, opt->proxy[i].bits);
	}
	if (opt->metrics != NULL)
		fprintf(out, "metrics=%s ", opt->metrics);
	if (opt->log != LOG_TO_STDERR)
		fprintf(
		    out, "%s ", opt->log == LOG_TO_SYSLOG ? "syslog" : "log?");
	if (opt->priority != LOG_INFO)
		fprintf(out, "priority=%d ", opt->priority);
	if (opt->check)
		fprintf(out, "check ");
	assert_int_equal(fclose(out), 0);
	if (strlen(text) > 0)
		text[strlen(text) - 1] = '\0';
}

static void
expect(const char *line, const char *want)
{
	char why[OPTIONS_WHY_SIZE], got[4096];
	struct options opt;
	const enum options_action what = parse(&opt, line, why);

	if (what != OPTIONS_SERVE)
		fail_msg("'%s': %d, %.*s", line, (int)what, OPTIONS_WHY_SIZE,
		    what == OPTIONS_WRONG ? why : "");
	describe(&opt, got, sizeof(got));
	if (strcmp(got, want) != 0)
		fail_msg("'%s': '%s' is wanted, '%s' came", line, want, got);
}

/* The reason has each of parts, which are separated by '|'. */
static void
expect_wrong(const char *line, const char *parts)
{
	char why[OPTIONS_WHY_SIZE], copy[512], *rest = copy, *part;
	struct options opt;

	if (parse(&opt, line, why) != OPTIONS_WRONG)
		fail_msg("'%.80s' is taken", line);
	if (memchr(why, '\0', sizeof(why)) == NULL)
		fail_msg("'%.80s': no end of the reason", line);
	snprintf(copy, sizeof(copy), "%s", parts);
	while ((part = strsep(&rest, "|")) != NULL)
		if (strstr(why, part) == NULL)
			fail_msg("'%.80s': no '%s' in: %s", line, part, why);
}

static void
defaults_are_the_design(void **state)
{
	char why[OPTIONS_WHY_SIZE];
	struct options opt;

	(void)state;
	assert_int_equal(parse(&opt, "", why), OPTIONS_SERVE);
	assert_int_equal(opt.family, AF_UNSPEC);
	assert_int_equal(opt.nlisten, 0);
	assert_int_equal(opt.port, 7);
	assert_int_equal(opt.backlog, 4096);
	assert_false(opt.daemon);
	assert_null(opt.pidfile);
	assert_null(opt.user);
	assert_int_equal(opt.max_clients, 1024);
	assert_int_equal(opt.max_per_source, 0);
	assert_int_equal(opt.rate, 0);
	assert_int_equal(opt.ipv6_prefix, 64);
	assert_int_equal(opt.idle_timeout, 0);
	assert_int_equal(opt.grace, 5);
	assert_false(opt.udp);
	assert_false(opt.inetd);
	assert_int_equal(opt.nproxy, 0);
	assert_null(opt.metrics);
	assert_int_equal(opt.log, LOG_TO_STDERR);
	assert_int_equal(opt.priority, LOG_INFO);
	assert_false(opt.check);
}

static void
no_argv_at_all_is_defaults(void **state)
{
	char *const none[] = { NULL };
	char why[OPTIONS_WHY_SIZE], got[4096];
	struct options opt;

	(void)state;
	assert_int_equal(options_parse(&opt, 0, none, why), OPTIONS_SERVE);
	describe(&opt, got, sizeof(got));
	assert_string_equal(got, "");
}

static void
each_option_is_stored(void **state)
{
	static const struct {
		const char *line, *want;
	} rows[] = {
		{ "", "" },
		{ "-4", "v4" },
		{ "--ipv4", "v4" },
		{ "-6", "v6" },
		{ "--ipv6", "v6" },
		{ "-l|localhost", "listen=localhost,0" },
		{ "-llocalhost:80", "listen=localhost,80" },
		{ "--listen|[::1]:echo", "listen=::1,7" },
		{ "--listen=:80", "listen=,80" },
		{ "-l|192.0.2.7|-l|::|-l|:9",
		    "listen=192.0.2.7,0 listen=::,0 listen=,9" },
		{ "-p|80", "port=80" },
		{ "-p1", "port=1" },
		{ "-p65535", "port=65535" },
		{ "--port|80", "port=80" },
		{ "--port=80", "port=80" },
		{ "-p|echo", "" },
		{ "-b|80", "backlog=80" },
		{ "-b1", "backlog=1" },
		{ "--backlog|65535", "backlog=65535" },
		{ "--backlog=128", "backlog=128" },
		{ "-P|/run/x.pid", "pidfile=/run/x.pid" },
		{ "-P/", "pidfile=/" },
		{ "--pidfile|/a b", "pidfile=/a b" },
		{ "--pidfile=/x", "pidfile=/x" },
		{ "-U|echo", "user=echo" },
		{ "-U|echo:daemon", "user=echo:daemon" },
		{ "--user|7:8", "user=7:8" },
		{ "--user=echo", "user=echo" },
		{ "-c|1", "max-clients=1" },
		{ "-c1000000", "max-clients=1000000" },
		{ "--max-clients|2", "max-clients=2" },
		{ "--max-clients=3", "max-clients=3" },
		{ "-s|3", "max-per-source=3" },
		{ "--max-per-source=1000000", "max-per-source=1000000" },
		{ "-r|3", "rate=3" },
		{ "--rate=1000000", "rate=1000000" },
		{ "--ipv6-prefix|1", "ipv6-prefix=1" },
		{ "--ipv6-prefix=128", "ipv6-prefix=128" },
		{ "-g|0", "grace=0" },
		{ "--grace=3600", "grace=3600" },
		{ "-t|1", "idle-timeout=1" },
		{ "-t0", "" },
		{ "--idle-timeout|2", "idle-timeout=2" },
		{ "--idle-timeout=31536000", "idle-timeout=31536000" },
		{ "-u", "udp" },
		{ "--udp", "udp" },
		{ "-i", "inetd" },
		{ "--inetd", "inetd" },
		{ "-x|192.0.2.0/24", "proxy=::ffff:192.0.2.0/120" },
		{ "-x192.0.2.7", "proxy=::ffff:192.0.2.7/128" },
		{ "-x0.0.0.0/0", "proxy=::ffff:0.0.0.0/96" },
		{ "--proxy-protocol|2001:db8::/32", "proxy=2001:db8::/32" },
		{ "--proxy-protocol=::/0", "proxy=::/0" },
		{ "-x|::1|-x|127.0.0.1|-x|::1",
		    "proxy=::1/128 proxy=::ffff:127.0.0.1/128 proxy=::1/128" },
		{ "-m|/run/echod/echod.prom", "metrics=/run/echod/echod.prom" },
		{ "-m/x", "metrics=/x" },
		{ "--metrics|/a b", "metrics=/a b" },
		{ "--metrics=/x.prom", "metrics=/x.prom" },
		{ "-L|syslog", "syslog" },
		{ "-Lstderr", "" },
		{ "--log|syslog", "syslog" },
		{ "--log=syslog", "syslog" },
		{ "-q", "priority=4" },
		{ "--quiet", "priority=4" },
		{ "-v", "priority=7" },
		{ "--verbose", "priority=7" },
		{ "-n", "check" },
		{ "--check", "check" },
		/* in one word */
		{ "-4qn", "v4 priority=4 check" },
		{ "-6np80", "v6 port=80 check" },
		{ "-nvp|80", "port=80 priority=7 check" },
		{ "-4uvx::1", "v4 udp proxy=::1/128 priority=7" },
		/* a value may look like an option */
		{ "-U|-4", "user=-4" },
		{ "-U|--", "user=--" },
		{ "-l|-host", "listen=-host,0" },
		/* all of them */
		{ "-6|-l|::1|-p|9|-b|10|-u|-d|-P|/x|-U|u:g|-c|11|-s|13|-r|14|"
		  "--ipv6-prefix=15|-t|12|-g|16|-x|::/17|-m|/y|-L|stderr|-q|"
		  "-n",
		    "v6 listen=::1,0 port=9 backlog=10 udp daemon pidfile=/x "
		    "user=u:g max-clients=11 max-per-source=13 rate=14 "
		    "ipv6-prefix=15 grace=16 idle-timeout=12 proxy=::/17 "
		    "metrics=/y priority=4 check" },
		/* and all for one client */
		{ "-i|-U|u:g|-t|12|-g|16|-x|::/17|-L|syslog|-v|-n",
		    "inetd user=u:g grace=16 idle-timeout=12 proxy=::/17 "
		    "syslog priority=7 check" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect(rows[i].line, rows[i].want);
}

static void
daemon_changes_two_defaults(void **state)
{
	(void)state;
	expect("-d", "daemon pidfile=" ECHOD_PIDFILE " syslog");
	expect("--daemon", "daemon pidfile=" ECHOD_PIDFILE " syslog");
	expect("-d|-P|/x", "daemon pidfile=/x syslog");
	expect("-P|/x|-d", "daemon pidfile=/x syslog");
	expect("-d|-L|stderr", "daemon pidfile=" ECHOD_PIDFILE);
	expect("-L|stderr|-d", "daemon pidfile=" ECHOD_PIDFILE);
	expect("-L|syslog|-d", "daemon pidfile=" ECHOD_PIDFILE " syslog");
	expect("-d|-L|syslog|-L|stderr", "daemon pidfile=" ECHOD_PIDFILE);
	expect("-dd", "daemon pidfile=" ECHOD_PIDFILE " syslog");
}

/* Sockets of systemd make these options void, which is worth a warning. */
static void
options_of_listening_are_noted(void **state)
{
	static const struct {
		const char *line;
		bool want;
	} rows[] = {
		{ "", false },
		{ "-4", true },
		{ "-6", true },
		{ "-l|::1", true },
		{ "-p|80", true },
		{ "-p7", true }, /* what it would be anyway */
		{ "-b|9", true },
		{ "--ipv4", true },
		{ "--ipv6", true },
		{ "--listen=::1", true },
		{ "--port=80", true },
		{ "--backlog|9", true },
		{ "--back=9", true },
		{ "-u", true },
		{ "--udp", true },
		{ "-v|-p|80|-c|3", true },
		{ "-qn4", true },
		{ "--ipv6-prefix=48", false },
		{ "--ipv6-prefix|128", false },
		{ "-c|6", false },
		{ "-s4", false },
		{ "-U|-4", false },
		{ "-d|-P|/p|-U|l|-c|4|-s|6|-r|4|-t|6|-g|4|-x|::|-m|/m|"
		  "-L|syslog|-q|-v|-n",
		    false },
		{ "-i", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char why[OPTIONS_WHY_SIZE];
		struct options opt;

		assert_int_equal(parse(&opt, rows[i].line, why), OPTIONS_SERVE);
		if (opt.listen_given != rows[i].want)
			fail_msg("'%s'", rows[i].line);
	}
}

static void
last_one_wins(void **state)
{
	(void)state;
	expect("-4|-6", "v6");
	expect("-6|-4", "v4");
	expect("-64|--ipv6", "v6");
	expect("-p|80|--port=81", "port=81");
	expect("--port=81|-p|7", "");
	expect("-b|1|-b|2", "backlog=2");
	expect("-P|/a|-P|/b", "pidfile=/b");
	expect("-U|a|-U|b", "user=b");
	expect("-c|2|-c|1024", "");
	expect("-t|9|-t|0", "");
	expect("-L|syslog|-L|stderr", "");
	expect("-q|-v", "priority=7");
	expect("-v|-q", "priority=4");
	expect("-n|-n", "check");
	expect("-u|--udp", "udp");
	expect("-i|-i", "inetd");
	expect("-m|/a|-m|/b", "metrics=/b");
}

static void
sixteen_addresses_are_the_most(void **state)
{
	char line[512] = "", want[512] = "";

	(void)state;
	for (int i = 1; i <= OPTIONS_LISTEN_MAX; i++) {
		char one[32];

		snprintf(
		    one, sizeof(one), "%s-l|h:%d", i > 1 ? "|" : "", 100 + i);
		strcat(line, one);
		snprintf(one, sizeof(one), "%slisten=h,%d", i > 1 ? " " : "",
		    100 + i);
		strcat(want, one);
	}
	assert_int_equal(OPTIONS_LISTEN_MAX, 16);
	expect(line, want);
	strcat(line, "|--listen=:7");
	expect_wrong(line, "--listen|-l|:7|16");
	expect("-l|:7", "listen=,7");
}

static void
sixteen_networks_are_the_most(void **state)
{
	char line[512] = "", want[1024] = "";

	(void)state;
	for (int i = 1; i <= OPTIONS_PROXY_MAX; i++) {
		char one[64];

		snprintf(one, sizeof(one), "%s-x|2001:db8:%d::/48",
		    i > 1 ? "|" : "", i);
		strcat(line, one);
		snprintf(one, sizeof(one), "%sproxy=2001:db8:%d::/48",
		    i > 1 ? " " : "", i);
		strcat(want, one);
	}
	assert_int_equal(OPTIONS_PROXY_MAX, 16);
	expect(line, want);
	strcat(line, "|--proxy-protocol=::1");
	expect_wrong(line, "--proxy-protocol|-x|'::1'|16 networks");
	expect("-x|::1", "proxy=::1/128");
}

/* One client on standard input has no use for what is for many. */
static void
inetd_is_for_one_client(void **state)
{
	static const char *const server[][2] = {
		{ "-4", "--ipv4 (-4)" },
		{ "-6", "--ipv6 (-6)" },
		{ "-l|::1", "--listen (-l)" },
		{ "-p|7", "--port (-p)" },
		{ "-b|4096", "--backlog (-b)" },
		{ "-u", "--udp (-u)" },
		{ "-d", "--daemon (-d)" },
		{ "-P|/x", "--pidfile (-P)" },
		{ "-c|1024", "--max-clients (-c)" },
		{ "-s|0", "--max-per-source (-s)" },
		{ "-r|0", "--rate (-r)" },
		{ "--ipv6-prefix=64", "--ipv6-prefix" },
		{ "-m|/x", "--metrics (-m)" },
	};
	static const char *const allowed[][2] = {
		{ "-U|u", "user=u" },
		{ "-t|9", "idle-timeout=9" },
		{ "-g|9", "grace=9" },
		{ "-x|::1", "proxy=::1/128" },
		{ "-L|syslog", "syslog" },
		{ "-L|stderr", "" },
		{ "-q", "priority=4" },
		{ "-v", "priority=7" },
		{ "-n", "check" },
	};
	char line[64], want[128];

	(void)state;
	for (size_t i = 0; i < COUNT(server); i++) {
		snprintf(want, sizeof(want),
		    "%s is not for --inetd (-i), which serves one client",
		    server[i][1]);
		/* Wherever it stands. */
		snprintf(line, sizeof(line), "-i|%s", server[i][0]);
		expect_wrong(line, want);
		snprintf(line, sizeof(line), "%s|-v|--inetd", server[i][0]);
		expect_wrong(line, want);
	}
	for (size_t i = 0; i < COUNT(allowed); i++) {
		snprintf(line, sizeof(line), "-i|%s", allowed[i][0]);
		snprintf(want, sizeof(want), "inetd%s%s",
		    allowed[i][1][0] != '\0' ? " " : "", allowed[i][1]);
		expect(line, want);
		snprintf(line, sizeof(line), "%s|-i", allowed[i][0]);
		expect(line, want);
	}
	/* The first of several is told. */
	expect_wrong("-d|-i|-4", "--daemon (-d)");
	expect_wrong("-t|9|-c|3|-p|7|-i", "--max-clients (-c)");
	/* What is wrong by itself comes first, as do operands. */
	expect_wrong("-4|-i|-t|x", "--idle-timeout");
	expect_wrong("-4|-i|7", "'7'");
}

/* What is no number at all, and what no option's range has. */
static const char *const no_numbers[] = {
	"",
	" ",
	"-",
	"+",
	"x",
	"-1",
	"-0",
	"+1",
	" 1",
	"\t1",
	"\n1",
	"1x",
	"x1",
	"1 ",
	"1\n",
	"1\r",
	"1.5",
	"1,000",
	"1e3",
	"0x10",
	"1k",
	"infinity",
	"nan",
	"\xd9\xa1", /* ARABIC-INDIC DIGIT ONE */
	"2147483648",
	"4294967296",
	"4294967297", /* 1, modulo 2^32 */
	"9223372036854775807",
	"9223372036854775808",
	"18446744073709551617", /* 1, modulo 2^64 */
	"99999999999999999999",
	"-9223372036854775809",
	"1111111111111111111111111111111111111111111111111111111111111111",
};

static const struct {
	const char *letter, *name, *min, *max;
	const char *less, *more; /* than these; NULL: nothing is */
} numeric[] = {
	{ "-p", "--port", "1", "65535", "0", "65536" },
	{ "-b", "--backlog", "1", "65535", "0", "65536" },
	{ "-c", "--max-clients", "1", "1000000", "0", "1000001" },
	{ "-t", "--idle-timeout", "0", "31536000", NULL, "31536001" },
	{ "-s", "--max-per-source", "0", "1000000", NULL, "1000001" },
	{ "-r", "--rate", "0", "1000000", NULL, "1000001" },
	{ "--ipv6-prefix", "--ipv6-prefix", "1", "128", "0", "129" },
	{ "-g", "--grace", "0", "3600", NULL, "3601" },
};

/* Whether value is shown as it is: it need not be if it is long or strange. */
static bool
is_plain(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (!isprint((unsigned char)*p))
			return false;
	return strlen(value) <= 32;
}

static void
expect_no_number(size_t i, const char *value)
{
	char line[256], parts[256], quoted[64] = "";

	if (is_plain(value))
		snprintf(quoted, sizeof(quoted), "'%s'|", value);
	snprintf(parts, sizeof(parts), "%s|%s|%s%s|%s", numeric[i].letter,
	    numeric[i].name, quoted, numeric[i].min, numeric[i].max);
	snprintf(line, sizeof(line), "%s|%s", numeric[i].letter, value);
	expect_wrong(line, parts);
	snprintf(line, sizeof(line), "%s=%s", numeric[i].name, value);
	expect_wrong(line, parts);
	snprintf(line, sizeof(line), "%s|%s", numeric[i].name, value);
	expect_wrong(line, parts);
	snprintf(line, sizeof(line), "%s%s", numeric[i].letter, value);
	if (value[0] != '\0' && strcmp(numeric[i].letter, numeric[i].name) != 0)
		expect_wrong(line, parts);
}

static void
bad_numbers_are_named_with_their_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(numeric); i++) {
		for (size_t j = 0; j < COUNT(no_numbers); j++)
			expect_no_number(i, no_numbers[j]);
		if (numeric[i].less != NULL)
			expect_no_number(i, numeric[i].less);
		expect_no_number(i, numeric[i].more);
	}
}

static void
ends_of_ranges_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(numeric); i++) {
		const char *const ends[] = { numeric[i].min, numeric[i].max };

		for (size_t j = 0; j < COUNT(ends); j++) {
			char line[64], want[64];

			snprintf(line, sizeof(line), "%s=%s", numeric[i].name,
			    ends[j]);
			snprintf(want, sizeof(want), "%s=%s",
			    numeric[i].name + 2, ends[j]);
			/* The default is not described. */
			if (strcmp(line, "--idle-timeout=0") == 0 ||
			    strcmp(line, "--max-per-source=0") == 0 ||
			    strcmp(line, "--rate=0") == 0)
				want[0] = '\0';
			expect(line, want);
		}
	}
}

static void
bad_values_are_named(void **state)
{
	static const struct {
		const char *line, *parts;
	} rows[] = {
		{ "-l|", "--listen|-l|''|empty" },
		{ "-l|:", "--listen|-l|':'|port" },
		{ "-l|[::1", "--listen|'[::1'|bracket" },
		{ "--listen=h:0", "--listen|'h:0'|port" },
		{ "-l|a b", "--listen|'a b'|character" },
		{ "-l|h|-l|:x y", "--listen|':x y'|port" },
		{ "-p|no-such-service", "--port|-p|no-such-service|service" },
		{ "-P|", "--pidfile|-P|''|absolute" },
		{ "-P|x.pid", "--pidfile|'x.pid'|absolute" },
		{ "--pidfile=./x", "--pidfile|'./x'|absolute" },
		{ "-P|~/x", "--pidfile|'~/x'|absolute" },
		{ "-d|-P| /x", "--pidfile|' /x'|absolute" },
		{ "-m|", "--metrics|-m|''|absolute" },
		{ "-m|x.prom", "--metrics|'x.prom'|absolute" },
		{ "--metrics=./x", "--metrics|'./x'|absolute" },
		{ "-x|",
		    "--proxy-protocol|-x|''|must be an IPv4 or IPv6 address, or ADDRESS/BITS" },
		{ "-x|localhost",
		    "--proxy-protocol|'localhost'|or IPv6 address" },
		{ "-x|192.0.2.0/", "'192.0.2.0/'|0 to 32 bits" },
		{ "-x|192.0.2.0/33", "'192.0.2.0/33'|0 to 32 bits" },
		{ "-x|2001:db8::/129", "'2001:db8::/129'|0 to 128 bits" },
		{ "--proxy-protocol=192.0.2.7/24",
		    "--proxy-protocol|'192.0.2.7/24'|beyond" },
		{ "-x|::1|-x|x", "--proxy-protocol|'x'" },
		{ "-U|", "--user|-U|user" },
		{ "--user=", "--user|-U|user" },
		{ "-L|", "--log|-L|''|stderr|syslog" },
		{ "-L|Syslog", "--log|'Syslog'|stderr|syslog" },
		{ "-L|sys", "--log|'sys'|stderr|syslog" },
		{ "--log=stderr ", "--log|'stderr '|stderr|syslog" },
		{ "--log=/dev/stderr", "--log|stderr|syslog" },
		/* the first bad one is told, and a later good one is no cure */
		{ "-p|0|-p|7", "--port|'0'" },
		{ "-c|0|-b|0", "--max-clients" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_wrong(rows[i].line, rows[i].parts);
}

static void
missing_values_are_told(void **state)
{
	static const char *const rows[][2] = {
		{ "-l", "--listen" },
		{ "-p", "--port" },
		{ "-b", "--backlog" },
		{ "-P", "--pidfile" },
		{ "-U", "--user" },
		{ "-c", "--max-clients" },
		{ "-s", "--max-per-source" },
		{ "-r", "--rate" },
		{ "-t", "--idle-timeout" },
		{ "-g", "--grace" },
		{ "-x", "--proxy-protocol" },
		{ "-m", "--metrics" },
		{ "-L", "--log" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char line[64], parts[64];

		snprintf(parts, sizeof(parts), "%s|%s|needs a value",
		    rows[i][0], rows[i][1]);
		expect_wrong(rows[i][0], parts);
		expect_wrong(rows[i][1], parts);
		snprintf(line, sizeof(line), "-4|-n|%s", rows[i][0]);
		expect_wrong(line, parts);
		snprintf(line, sizeof(line), "-4n%s", rows[i][0] + 1);
		expect_wrong(line, parts);
	}
}

static void
unwanted_values_are_told(void **state)
{
	static const char *const names[] = { "--ipv4", "--ipv6", "--udp",
		"--inetd", "--daemon", "--quiet", "--verbose", "--check",
		"--version", "--help" };

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		char line[64], parts[64];

		snprintf(parts, sizeof(parts), "%s|no value", names[i]);
		snprintf(line, sizeof(line), "%s=1", names[i]);
		expect_wrong(line, parts);
		snprintf(line, sizeof(line), "-4|%s=", names[i]);
		expect_wrong(line, parts);
	}
}

static void
unknown_options_are_told(void **state)
{
	static const struct {
		const char *line, *parts;
	} rows[] = {
		{ "-z", "unknown|-z" },
		{ "-4z", "unknown|-z" },
		{ "-z4", "unknown|-z" },
		{ "-Z|7", "unknown|-Z" },
		{ "-?", "unknown|-?" },
		{ "-:", "unknown|-:" },
		{ "-+", "unknown|-+" },
		{ "-;", "unknown|-;" },
		{ "-=", "unknown|-=" },
		{ "-4-", "unknown|--" },
		{ "--zebra", "unknown|--zebra" },
		{ "--zebra=7", "unknown|--zebra" },
		{ "--ports=7", "unknown|--ports" },
		{ "--PORT=7", "unknown|--PORT" },
		{ "--ipv", "ambiguous|--ipv" },
		{ "--ipv=4", "ambiguous|--ipv" },
		{ "--p|80", "ambiguous|--p" },
		{ "--l=:7", "ambiguous|--l" },
		{ "--ver", "ambiguous|--ver" },
		{ "--u", "ambiguous|--u" },
		{ "--i", "ambiguous|--i" },
		{ "--m=/x", "ambiguous|--m" },
		{ "--=7", "--=7" },
		{ "-4|--zebra|-6", "unknown|--zebra" },
		{ "-p|7|-z|-6", "unknown|-z" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_wrong(rows[i].line, rows[i].parts);
}

static void
names_may_be_abbreviated(void **state)
{
	(void)state;
	expect("--lis=:80", "listen=,80");
	expect("--po|80", "port=80");
	expect("--back=3", "backlog=3");
	expect("--dae", "daemon pidfile=" ECHOD_PIDFILE " syslog");
	expect("--pid=/x", "pidfile=/x");
	expect("--us|u", "user=u");
	expect("--ud", "udp");
	expect("--in", "inetd");
	expect("--pr=::1", "proxy=::1/128");
	expect("--me|/x", "metrics=/x");
	expect("--max-c=3", "max-clients=3");
	expect("--idle|4", "idle-timeout=4");
	expect("--qui", "priority=4");
	expect("--verb", "priority=7");
	expect("--che", "check");
	/* A bad value is named with the whole option. */
	expect_wrong("--max-c=0", "--max-clients");
}

static void
operands_are_refused(void **state)
{
	static const struct {
		const char *line, *operand;
	} rows[] = {
		{ "7", "'7'" },
		{ "1234|-4", "'1234'" },
		{ "-4|1234", "'1234'" },
		{ "-", "'-'" },
		{ "-d|start", "'start'" },
		{ "|-4", "''" }, /* an empty word */
		{ "--|7", "'7'" },
		{ "--|-4", "'-4'" },
		{ "-4|--|--", "'--'" },
		{ "x|-z", "'x'" }, /* it is what came first */
		{ "x|-h", "'x'" },
		{ "4|--zebra", "'4'" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_wrong(rows[i].line, rows[i].operand);
}

static void
two_dashes_end_the_options(void **state)
{
	(void)state;
	expect("--", "");
	expect("-4|--", "v4");
	expect("-p|80|--", "port=80");
}

static void
help_and_version_are_asked_for(void **state)
{
	static const struct {
		const char *line;
		enum options_action want;
	} rows[] = {
		{ "-h", OPTIONS_HELP },
		{ "--help", OPTIONS_HELP },
		{ "--he", OPTIONS_HELP },
		{ "-4h", OPTIONS_HELP },
		{ "-p|80|-h", OPTIONS_HELP },
		{ "-V", OPTIONS_VERSION },
		{ "--version", OPTIONS_VERSION },
		{ "--vers", OPTIONS_VERSION },
		{ "-V|-h", OPTIONS_VERSION },
		{ "-hV", OPTIONS_HELP },
		/* whatever comes after, but not what is wrong before */
		{ "-h|-z", OPTIONS_HELP },
		{ "-h|7", OPTIONS_HELP },
		{ "-i|-4|-h", OPTIONS_HELP },
		{ "-i|-4|-V", OPTIONS_VERSION },
		{ "-V|-p|0", OPTIONS_VERSION },
		{ "-z|-h", OPTIONS_WRONG },
		{ "-p|0|-V", OPTIONS_WRONG },
		/* a value, or an operand */
		{ "-U|-h", OPTIONS_SERVE },
		{ "--|-h", OPTIONS_WRONG },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char why[OPTIONS_WHY_SIZE];
		struct options opt;

		if (parse(&opt, rows[i].line, why) != rows[i].want)
			fail_msg("'%s'", rows[i].line);
	}
}

static void
nothing_is_left_from_before(void **state)
{
	static const char *const before[] = {
		"-4|-l|:80|-p|81|-b|1|-d|-P|/x|-U|u|-c|2|-t|3|-L|syslog|-v|-n",
		"-u|-s|3|-r|4|--ipv6-prefix=5|-g|6|-x|::1|-m|/x",
		"-i|-x|::1",
		"-i|-4", /* a conflict */
		"-4z", /* getopt(3) is left amid a word */
		"-hq",
		"-Vq",
		"-p|0|-c|0",
		"-p",
		"--zebra",
		"--ipv4=7",
		"x|y|z",
		"-4|-4|-4|-4|-4|-4|-4|-4|--|x",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(before); i++) {
		char why[OPTIONS_WHY_SIZE];
		struct options opt;

		parse(&opt, before[i], why);
		expect("", "");
		parse(&opt, before[i], why);
		expect("-6|-p|80", "v6 port=80");
		parse(&opt, before[i], why);
		expect_wrong("--zebra", "--zebra");
	}
}

/* POSIXLY_CORRECT(7) changes what getopt(3) does with operands. */
static void
environment_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(setenv("POSIXLY_CORRECT", "1", 1), 0);
	expect("-4|-p|80", "v4 port=80");
	expect_wrong("x|-4", "'x'");
	assert_int_equal(unsetenv("POSIXLY_CORRECT"), 0);
}

static void
reasons_survive_long_values(void **state)
{
	static const struct {
		const char *before, *parts;
	} rows[] = {
		{ "-p|", "--port|65535" },
		{ "--backlog=", "--backlog|65535" },
		{ "-l|", "--listen|too long" },
		{ "-P|", "--pidfile|absolute" },
		{ "-m|", "--metrics|absolute" },
		{ "-x|",
		    "--proxy-protocol|must be an IPv4 or IPv6 address, or ADDRESS/BITS" },
		{ "-x|::/", "--proxy-protocol|128 bits" },
		{ "-L|", "--log|syslog" },
		{ "", "unexpected|-p" },
		{ "--", "unknown|--help" },
	};
	char line[1500];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		memset(line, '7', sizeof(line) - 1);
		line[sizeof(line) - 1] = '\0';
		memcpy(line, rows[i].before, strlen(rows[i].before));
		expect_wrong(line, rows[i].parts);
	}
}

static void
help_names_each_option_on_one_screen(void **state)
{
	static const char *const names[] = { "-4, --ipv4", "-6, --ipv6",
		"-l, --listen=", "-p, --port=", "-b, --backlog=",
		"-d, --daemon",
		"-P, --pidfile=", "-U, --user=", "-c, --max-clients=",
		"-s, --max-per-source=", "-r, --rate=", "    --ipv6-prefix=",
		"-g, --grace=", "-t, --idle-timeout=", "-u, --udp",
		"-i, --inetd", "-x, --proxy-protocol=", "-m, --metrics=",
		"-L, --log=", "-q, --quiet", "-v, --verbose", "-n, --check",
		"-V, --version", "-h, --help", "(4096)", "(1024)",
		ECHOD_PIDFILE, ECHOD_USER, "RFC 862" };
	/* Two that belong together share a line; all explanations align. */
	static const char *const lines_of[] = {
		"\n  -4, --ipv4, -6, --ipv6     only IPv4, or only IPv6\n",
		"\n  -p, --port=PORT            a number or ",
		"\n      --ipv6-prefix=BITS     how much of ",
		"\n  -x, --proxy-protocol=NET   who sends ",
		"\n  -q, --quiet, -v, --verbose log warnings ",
		"\n  -V, --version, -h, --help  print ",
	};
	char text[8192], *rest = text, *line;
	FILE *out = fmemopen(text, sizeof(text), "w");
	size_t lines = 0;

	(void)state;
	assert_non_null(out);
	options_help(out);
	assert_int_equal(ferror(out), 0);
	assert_int_equal(fclose(out), 0);
	for (size_t i = 0; i < COUNT(names); i++)
		if (strstr(text, names[i]) == NULL)
			fail_msg("no '%s' in:\n%s", names[i], text);
	for (size_t i = 0; i < COUNT(lines_of); i++)
		if (strstr(text, lines_of[i]) == NULL)
			fail_msg("no '%s' in:\n%s", lines_of[i], text);
	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&rest, "\n")) != NULL) {
		lines++;
		if (strlen(line) > 80)
			fail_msg("wider than a screen: %s", line);
		if (line[0] != '\0' && line[strlen(line) - 1] == ' ')
			fail_msg("ends with blanks: %s", line);
	}
	assert_in_range(lines - 1, 10, 24);
}

static void
help_tells_of_errors(void **state)
{
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	options_help(out);
	assert_int_not_equal(ferror(out), 0);
	fclose(out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_design),
		cmocka_unit_test(no_argv_at_all_is_defaults),
		cmocka_unit_test(each_option_is_stored),
		cmocka_unit_test(daemon_changes_two_defaults),
		cmocka_unit_test(options_of_listening_are_noted),
		cmocka_unit_test(last_one_wins),
		cmocka_unit_test(sixteen_addresses_are_the_most),
		cmocka_unit_test(sixteen_networks_are_the_most),
		cmocka_unit_test(inetd_is_for_one_client),
		cmocka_unit_test(bad_numbers_are_named_with_their_range),
		cmocka_unit_test(ends_of_ranges_are_taken),
		cmocka_unit_test(bad_values_are_named),
		cmocka_unit_test(missing_values_are_told),
		cmocka_unit_test(unwanted_values_are_told),
		cmocka_unit_test(unknown_options_are_told),
		cmocka_unit_test(names_may_be_abbreviated),
		cmocka_unit_test(operands_are_refused),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(help_and_version_are_asked_for),
		cmocka_unit_test(nothing_is_left_from_before),
		cmocka_unit_test(environment_changes_nothing),
		cmocka_unit_test(reasons_survive_long_values),
		cmocka_unit_test(help_names_each_option_on_one_screen),
		cmocka_unit_test(help_tells_of_errors),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
