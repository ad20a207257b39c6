/*
 * Echo: from one file descriptor to another, every byte, in order (RFC 862).
 */
#ifndef ECHOD_ECHO_H
#define ECHOD_ECHO_H

#include <stddef.h>
#include <stdint.h>

/* So many timeouts, each a part of the time that a peer may be idle. */
enum { ECHO_TICKS = 4 };

/* Why an echo ended. */
enum echo_end {
	ECHO_EOF, /* read(2) returned 0 and all that was read is written */
	ECHO_SILENT, /* read(2) timed out too often (SO_RCVTIMEO of socket(7))
		      */
	ECHO_STALLED, /* write(2) timed out too often (SO_SNDTIMEO) */
	ECHO_RESET, /* the peer broke the connection off */
	ECHO_VANISHED, /* the peer does not answer, or cannot be reached */
	ECHO_FAILED, /* any other error: errno has it */
};

/* What an errno of read(2) or write(2) says about the peer. */
enum echo_end echo_why(int error);

/*
 * Write to out what is read from in, through buf of size bytes, until it ends;
 * first the held bytes that were read into buf before.
 * It waits for both, though somebody has set O_NONBLOCK on them; no more than
 * size bytes are ever on the way.  After each write
 * *total grows by what was written.  Nothing that was read is lost but with
 * ECHO_STALLED, ECHO_RESET, ECHO_VANISHED and ECHO_FAILED.  Timeouts end it
 * after ECHO_TICKS in a row in which nothing moved, neither through here nor
 * from the kernel to the peer (SIOCOUTQ of tcp(7)).  EINTR goes on, so a signal
 * handler may shutdown(2) in to end it.  Where SIGPIPE is ignored, a peer that
 * is gone is ECHO_RESET; else the signal ends the process.
 * Async-signal-safe.
 */
enum echo_end echo(int in, int out, void *buf, size_t size, size_t held,
    _Atomic uint64_t *total);

#endif
