#include "echod/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "config.h"
#include "echod/clock.h"

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

/* A text that grows. */
struct text {
	char *at;
	size_t len;
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

static void
one(struct text *t, const char *name, const char *type, const char *help,
    uint64_t value)
{
	head(t, name, type, help);
	append(t, "echod_%s %" PRIu64 "\n", name, value);
}

/* Of TCP and of UDP. */
static void
two(struct text *t, const char *name, const char *help, uint64_t tcp,
    uint64_t udp)
{
	head(t, name, "counter", help);
	append(t, "echod_%s{proto=\"tcp\"} %" PRIu64 "\n", name, tcp);
	append(t, "echod_%s{proto=\"udp\"} %" PRIu64 "\n", name, udp);
}

size_t
metrics_text(const struct metrics *m, char text[static METRICS_TEXT_SIZE])
{
	struct text t = { .at = text };

	one(&t, "connections_total", "counter",
	    "Connections that got a process.", m->accepted);
	one(&t, "clients", "gauge", "Clients that are connected.", m->active);
	head(&t, "refused_total", "counter",
	    "Connections and datagrams that were refused.");
	for (size_t i = 0; i < REFUSED_REASONS; i++)
		append(&t, "echod_refused_total{reason=\"%s\"} %" PRIu64 "\n",
		    refused_labels[i], m->refused[i]);
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
		append(&t,
		    "echod_child_exits_total{reason=\"%s\"} %" PRIu64 "\n",
		    session_label((enum session_end)i), m->ends[i]);
	head(&t, "start_time_seconds", "gauge",
	    "When echod started, in seconds since 1970.");
	append(&t, "echod_start_time_seconds %" PRId64 "\n", m->birth);
	head(&t, "build_info", "gauge", "The version, as a label.");
	append(&t, "echod_build_info{version=\"%s\"} 1\n", ECHOD_VERSION);
	append(&t, "# EOF\n");
	return t.len;
}
