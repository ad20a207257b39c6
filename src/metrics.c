#include "echod/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "echod/clock.h"
#include "echod/ending.h"

/* As metrics name them. */
static const char *const refused_labels[REFUSED_REASONS] = {
	[REFUSED_MANY] = "max_per_source",
	[REFUSED_FAST] = "rate",
	[REFUSED_HEADER] = "proxy_header",
	[REFUSED_DATAGRAM_FAST] = "udp_rate",
	[REFUSED_DATAGRAM_SOURCE] = "udp_source",
};

/* Clients, not datagrams. */
static uint64_t
clients_refused(const struct metrics *m)
{
	return m->refused[REFUSED_MANY] + m->refused[REFUSED_FAST] +
	    m->refused[REFUSED_HEADER];
}

char *
metrics_status(
    const struct metrics *m, int64_t now, char text[static METRICS_STATUS_SIZE])
{
	snprintf(text, METRICS_STATUS_SIZE,
	    "status: up %" PRId64 " s, %zu active, %" PRIu64
	    " accepted, %" PRIu64 " refused (%" PRIu64
	    " over --max-per-source, %" PRIu64 " over --rate, %" PRIu64
	    " for their PROXY header), %" PRIu64 " lost, %" PRIu64
	    " bytes, %" PRIu64 " backoffs, %" PRIu64 " datagrams, %" PRIu64
	    " datagrams refused",
	    (now - m->started) / CLOCK_SECOND, m->active, m->accepted,
	    clients_refused(m), m->refused[REFUSED_MANY],
	    m->refused[REFUSED_FAST], m->refused[REFUSED_HEADER], m->lost,
	    m->bytes, m->backoffs, m->datagrams,
	    m->refused[REFUSED_DATAGRAM_FAST] +
		m->refused[REFUSED_DATAGRAM_SOURCE]);
	return text;
}

char *
metrics_brief(const struct metrics *m, char text[static METRICS_BRIEF_SIZE])
{
	snprintf(text, METRICS_BRIEF_SIZE,
	    "%zu client%s, %" PRIu64 " accepted, %" PRIu64 " refused",
	    m->active, m->active == 1 ? "" : "s", m->accepted,
	    clients_refused(m));
	return text;
}

void
metrics_name(struct metrics *m, const char *path)
{
	static const char prefix[] = "echod-", suffix[] = ".prom";
	const char *base = strrchr(path, '/') + 1;
	size_t len = strlen(base);

	if (len > strlen(suffix) &&
	    strcmp(base + len - strlen(suffix), suffix) == 0)
		len -= strlen(suffix);
	if (len <= strlen(prefix) || strncmp(base, prefix, strlen(prefix)) != 0)
		return;
	snprintf(m->name, sizeof(m->name), "%.*s", (int)(len - strlen(prefix)),
	    base + strlen(prefix));
	for (char *c = m->name; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
			*c = '_'; /* what a label cannot have, or seldom has */
}

/* A text that grows. */
struct text {
	char *at;
	size_t len;
	const char *name; /* metrics_name() */
};

static void __attribute__((format(printf, 2, 3)))
append(struct text *t, const char *fmt, ...)
{
	const size_t left = METRICS_TEXT_SIZE - t->len;
	va_list ap;

	va_start(ap, fmt);

	const int n = vsnprintf(t->at + t->len, left, fmt, ap);

	va_end(ap);
	assert(n >= 0 && (size_t)n < left); /* numbers have a longest */
	t->len += (size_t)n;
}

static void
head(struct text *t, const char *name, const char *type, const char *help)
{
	append(t, "# HELP echod_%s %s\n# TYPE echod_%s %s\n", name, help, name,
	    type);
}

/* A line with a number, and with the label that is value, unless it is NULL. */
static void
sample(struct text *t, const char *name, const char *label, const char *value,
    uint64_t number)
{
	char whose[sizeof(",name=\"\"") + METRICS_NAME_SIZE] = "";

	if (t->name[0] != '\0')
		snprintf(whose, sizeof(whose), "%sname=\"%s\"",
		    label != NULL ? "," : "", t->name);
	append(t, "echod_%s", name);
	if (label != NULL)
		append(t, "{%s=\"%s\"%s}", label, value, whose);
	else if (whose[0] != '\0')
		append(t, "{%s}", whose);
	append(t, " %" PRIu64 "\n", number);
}

static void
one(struct text *t, const char *name, const char *type, const char *help,
    uint64_t number)
{
	head(t, name, type, help);
	sample(t, name, NULL, NULL, number);
}

/* Of TCP and of UDP. */
static void
two(struct text *t, const char *name, const char *help, uint64_t tcp,
    uint64_t udp)
{
	head(t, name, "counter", help);
	sample(t, name, "proto", "tcp", tcp);
	sample(t, name, "proto", "udp", udp);
}

size_t
metrics_text(const struct metrics *m, char text[static METRICS_TEXT_SIZE])
{
	struct text t = { .at = text, .name = m->name };

	one(&t, "connections_total", "counter",
	    "Connections that got a process.", m->accepted);
	one(&t, "clients", "gauge", "Clients that are connected.", m->active);
	head(&t, "refused_total", "counter",
	    "Connections and datagrams that were refused.");
	for (size_t i = 0; i < REFUSED_REASONS; i++)
		sample(&t, "refused_total", "reason", refused_labels[i],
		    m->refused[i]);
	two(&t, "bytes_total", "Bytes that were sent back.", m->bytes,
	    m->datagram_bytes);
	one(&t, "datagrams_total", "counter", "Datagrams that were sent back.",
	    m->datagrams);
	two(&t, "lost_total",
	    "Connections gone before they were accepted, and datagrams that could not be sent back.",
	    m->lost, m->datagrams_lost);
	one(&t, "backoffs_total", "counter",
	    "Times that a lack of resources put new clients off.", m->backoffs);
	head(&t, "child_exits_total", "counter",
	    "Processes that ended, by the reason.");
	for (size_t i = 0; i < SESSION_ENDS; i++)
		sample(&t, "child_exits_total", "reason",
		    ending_label((enum session_end)i), m->ends[i]);
	one(&t, "start_time_seconds", "gauge",
	    "When echod started, in seconds since 1970.", m->birth);
	head(&t, "build_info", "gauge", "The version, as a label.");
	sample(&t, "build_info", "version", ECHOD_VERSION, 1);
	append(&t, "# EOF\n");
	return t.len;
}
