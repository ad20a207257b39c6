/*
 * Options: an input is a command line, its words ended by newlines, or, if
 * there is a NUL in it, by NULs.
 */
#include "echod/options.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "config.h"
#include "support.h"

enum { WORDS_MAX = 64, TEXT_MAX = 512 };

/* A command line; each word has memory of its own, read or left in whole. */
struct command {
	int argc;
	char *argv[WORDS_MAX + 1];
};

static void
add_word(struct command *cmd, const char *word, size_t len)
{
	char *copy = malloc(len + 1);

	assert(copy != NULL && cmd->argc < WORDS_MAX);
	if (len > 0)
		memcpy(copy, word, len);
	copy[len] = '\0';
	cmd->argv[cmd->argc++] = copy;
}

static void
split(struct command *cmd, const char *text, size_t size)
{
	const char *const end = text + size;
	const char mark =
	    size > 0 && memchr(text, '\0', size) != NULL ? '\0' : '\n';

	*cmd = (struct command){ 0 };
	add_word(cmd, "echod", strlen("echod"));
	while (text < end && cmd->argc < WORDS_MAX) {
		const char *stop = memchr(text, mark, (size_t)(end - text));
		const size_t len = (size_t)((stop != NULL ? stop : end) - text);

		add_word(cmd, text, len);
		text += len + 1;
	}
}

static void
free_words(struct command *cmd)
{
	for (int i = 0; i < cmd->argc; i++)
		free(cmd->argv[i]);
}

static bool
is_in_argv(const struct command *cmd, const char *p)
{
	for (int i = 0; i < cmd->argc; i++)
		if (p >= cmd->argv[i] &&
		    p <= cmd->argv[i] + strlen(cmd->argv[i]))
			return true;
	return false;
}

/* Whether number is from min to max. */
static bool
within(int number, int min, int max)
{
	return number >= min && number <= max;
}

static void
check_path(const char *path, const struct command *cmd)
{
	if (path != NULL)
		assert(path[0] == '/' && is_in_argv(cmd, path));
}

/* One client on standard input has nothing of what is for many. */
static void
check_inetd(const struct options *opt)
{
	assert(opt->family == AF_UNSPEC && opt->nlisten == 0);
	assert(!opt->listen_given && !opt->udp && !opt->daemon);
	assert(opt->port == 7 && opt->backlog == 4096);
	assert(opt->pidfile == NULL && opt->metrics == NULL);
	assert(opt->max_clients == 1024 && opt->max_per_source == 0);
	assert(opt->rate == 0 && opt->ipv6_prefix == 64);
}

static void
check_options(const struct options *opt, const struct command *cmd)
{
	assert(opt->family == AF_UNSPEC || opt->family == AF_INET ||
	    opt->family == AF_INET6);
	assert(opt->nlisten <= OPTIONS_LISTEN_MAX);
	for (size_t i = 0; i < opt->nlisten; i++)
		check_spec(&opt->listen[i]);
	assert(opt->port != 0);
	assert(within(opt->backlog, 1, 65535));
	assert(within(opt->max_clients, 1, 1000000));
	assert(within(opt->max_per_source, 0, 1000000));
	assert(within(opt->rate, 0, 1000000));
	assert(within(opt->ipv6_prefix, 1, 128));
	assert(within(opt->idle_timeout, 0, 365 * 24 * 3600));
	assert(within(opt->grace, 0, 3600));
	assert(opt->log == LOG_TO_STDERR || opt->log == LOG_TO_SYSLOG);
	assert(opt->priority == LOG_WARNING || opt->priority == LOG_INFO ||
	    opt->priority == LOG_DEBUG);
	assert(!opt->daemon || opt->pidfile != NULL);
	if (opt->inetd)
		check_inetd(opt);
	assert(opt->nproxy <= OPTIONS_PROXY_MAX);
	for (size_t i = 0; i < opt->nproxy; i++)
		check_network(&opt->proxy[i]);
	check_path(opt->metrics, cmd);
	if (opt->pidfile != NULL && opt->daemon &&
	    strcmp(opt->pidfile, ECHOD_PIDFILE) == 0)
		assert(opt->pidfile[0] == '/');
	else
		check_path(opt->pidfile, cmd);
	if (opt->user != NULL)
		assert(opt->user[0] != '\0' && is_in_argv(cmd, opt->user));
}

static void __attribute__((format(printf, 2, 3)))
add_option(struct command *cmd, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);

	const int len = vasprintf(&text, fmt, ap);

	va_end(ap);
	assert(len >= 0 && cmd->argc < WORDS_MAX);
	cmd->argv[cmd->argc++] = text;
}

/* What is for who serves many. */
static void
write_server_options(const struct options *opt, struct command *cmd)
{
	char text[SPEC_TEXT_SIZE];

	if (opt->family != AF_UNSPEC)
		add_option(cmd, opt->family == AF_INET ? "-4" : "-6");
	for (size_t i = 0; i < opt->nlisten; i++)
		add_option(
		    cmd, "--listen=%s", write_spec(&opt->listen[i], text));
	add_option(cmd, "--port=%u", opt->port);
	add_option(cmd, "--backlog=%d", opt->backlog);
	if (opt->daemon)
		add_option(cmd, "--daemon");
	if (opt->udp)
		add_option(cmd, "--udp");
	if (opt->pidfile != NULL)
		add_option(cmd, "--pidfile=%s", opt->pidfile);
	if (opt->metrics != NULL)
		add_option(cmd, "--metrics=%s", opt->metrics);
	add_option(cmd, "--max-clients=%d", opt->max_clients);
	add_option(cmd, "--max-per-source=%d", opt->max_per_source);
	add_option(cmd, "--rate=%d", opt->rate);
	add_option(cmd, "--ipv6-prefix=%d", opt->ipv6_prefix);
}

/* The command line that says what opt is, in whole. */
static void
write_options(const struct options *opt, struct command *cmd)
{
	char text[NETWORK_TEXT_SIZE];

	*cmd = (struct command){ 0 };
	add_option(cmd, "echod");
	if (opt->inetd)
		add_option(cmd, "--inetd");
	else
		write_server_options(opt, cmd);
	if (opt->user != NULL)
		add_option(cmd, "--user=%s", opt->user);
	for (size_t i = 0; i < opt->nproxy; i++)
		add_option(cmd, "--proxy-protocol=%s",
		    write_network(&opt->proxy[i], text));
	add_option(cmd, "--idle-timeout=%d", opt->idle_timeout);
	add_option(cmd, "--grace=%d", opt->grace);
	add_option(
	    cmd, "--log=%s", opt->log == LOG_TO_SYSLOG ? "syslog" : "stderr");
	if (opt->priority != LOG_INFO)
		add_option(cmd, opt->priority == LOG_DEBUG ? "-v" : "-q");
	if (opt->check)
		add_option(cmd, "--check");
}

/* Whether two strings that may be NULL are the same. */
static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
check_same(const struct options *a, const struct options *b)
{
	assert(a->family == b->family);
	assert(a->nlisten == b->nlisten);
	for (size_t i = 0; i < a->nlisten; i++) {
		assert(same_text(a->listen[i].host, b->listen[i].host));
		assert(a->listen[i].port == b->listen[i].port);
	}
	assert(a->port == b->port);
	assert(a->backlog == b->backlog);
	assert(a->udp == b->udp);
	assert(a->inetd == b->inetd);
	assert(a->nproxy == b->nproxy);
	for (size_t i = 0; i < a->nproxy; i++) {
		assert(memcmp(&a->proxy[i].net, &b->proxy[i].net,
			   sizeof(a->proxy[i].net)) == 0);
		assert(a->proxy[i].bits == b->proxy[i].bits);
	}
	assert(same_text(a->metrics, b->metrics));
	assert(a->daemon == b->daemon);
	assert(same_text(a->pidfile, b->pidfile));
	assert(same_text(a->user, b->user));
	assert(a->max_clients == b->max_clients);
	assert(a->max_per_source == b->max_per_source);
	assert(a->rate == b->rate);
	assert(a->ipv6_prefix == b->ipv6_prefix);
	assert(a->idle_timeout == b->idle_timeout);
	assert(a->grace == b->grace);
	assert(a->log == b->log);
	assert(a->priority == b->priority);
	assert(a->check == b->check);
}

/* Parse cmd, which must stay as it was. */
static enum options_action
parse(struct options *opt, const struct command *cmd,
    char why[static OPTIONS_WHY_SIZE])
{
	struct command copy = { 0 };

	for (int i = 0; i < cmd->argc; i++)
		add_word(&copy, cmd->argv[i], strlen(cmd->argv[i]));
	memset(opt, 0xff, sizeof(*opt));
	memset(why, 0xff, OPTIONS_WHY_SIZE);

	struct command given = *cmd;
	const enum options_action what =
	    options_parse(opt, given.argc, given.argv, why);

	assert(memcmp(&given, cmd, sizeof(given)) == 0);
	for (int i = 0; i < cmd->argc; i++)
		assert(strcmp(cmd->argv[i], copy.argv[i]) == 0);
	free_words(&copy);
	return what;
}

/* What is served is so by the command line that says it in whole. */
static void
check_written(const struct options *opt)
{
	char why[OPTIONS_WHY_SIZE];
	struct command written;
	struct options again;

	write_options(opt, &written);
	assert(parse(&again, &written, why) == OPTIONS_SERVE);
	check_options(&again, &written);
	check_same(opt, &again);
	free_words(&written);
}

/* A reason is whole, and a newline in it is one of a word that it quotes. */
static void
check_why(const char why[static OPTIONS_WHY_SIZE], const struct command *cmd)
{
	const char *end = memchr(why, '\0', OPTIONS_WHY_SIZE);
	bool newline = false;

	assert(end != NULL);
	assert(end > why && end < why + OPTIONS_WHY_SIZE - 1);
	for (int i = 0; i < cmd->argc; i++)
		newline |= strchr(cmd->argv[i], '\n') != NULL;
	assert(newline || strchr(why, '\n') == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[OPTIONS_WHY_SIZE], again[OPTIONS_WHY_SIZE];
	struct options opt, same;
	struct command cmd;

	split(&cmd, (const char *)data, size);

	const enum options_action what = parse(&opt, &cmd, why);

	/* getopt_long(3) has kept nothing of it. */
	assert(parse(&same, &cmd, again) == what);
	switch (what) {
	case OPTIONS_SERVE:
		check_options(&opt, &cmd);
		check_same(&opt, &same);
		check_written(&opt);
		break;
	case OPTIONS_WRONG:
		check_why(why, &cmd);
		assert(strcmp(why, again) == 0);
		break;
	default:
		assert(what == OPTIONS_HELP || what == OPTIONS_VERSION);
	}
	free_words(&cmd);
	return 0;
}
