"""Waiting for events, with a deadline that is there only to fail, not to hang."""

import contextlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

DEADLINE = 30  # seconds


def wait_until(condition, what):
    """Poll until condition() is true, and return what it returned."""
    deadline = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return result


@contextlib.contextmanager
def in_background(function, threads=1):
    """Call function again and again from threads, as long as the context lasts.

    What it raises ends its thread at once, and is raised when the context ends.
    """
    over = threading.Event()

    def repeat():
        while not over.is_set():
            function()

    with ThreadPoolExecutor(threads) as pool:
        repeating = [pool.submit(repeat) for _ in range(threads)]
        try:
            yield
        finally:
            over.set()
        for each in repeating:
            each.result()


class Lines:
    """The lines of a text stream, read by a thread as they come."""

    def __init__(self, stream):
        self.lines = []
        self._stream = stream
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with self._stream:
            for line in self._stream:
                with self._changed:
                    self.lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def matching(self, pattern):
        """A match for each line so far in which pattern is found."""
        return [match for line in self.lines if (match := re.search(pattern, line))]

    def wait(self, pattern, count=1):
        """Wait until pattern was found in count lines; return the last match."""

        def enough():
            return len(self.matching(pattern)) >= count or self._ended

        with self._changed:
            self._changed.wait_for(enough, DEADLINE)
            matches = self.matching(pattern)
        assert len(matches) >= count, f"{count} x {pattern!r} not in {self.lines}"
        return matches[count - 1]

    def wait_for_end(self):
        self._thread.join(DEADLINE)
        assert self._ended, "somebody still holds the other end of the stream"
