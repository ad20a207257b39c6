"""echod as an administrator has it: a unit, a file with its options, and a journal."""

import fnmatch
import json
import re

import clients
from waiting import wait_until

DEFAULTS = "/etc/default/echod"
EXAMPLES = "/usr/share/doc/echod/examples"

# What a test may leave, whatever became of it.
TIDY = """
systemctl stop 'echod*.socket' echod.service 'echod@*' 'echod-inetd@*' 'test-*'
systemctl reset-failed 'echod*' 'test-*'
rm -rf /etc/default/echod-* /etc/systemd/system/*.wants/echod*
rm -rf /etc/systemd/system/echod*
systemctl daemon-reload
"""


def assert_is_served(machine, **where):
    """Who comes now, gets its word back."""
    with machine.connect(**where) as client:
        assert clients.exchange(client, b"hello") == b"hello"


class Service:
    """echod.service, or another unit of its package; and the file with its options."""

    def __init__(self, machine, unit="echod.service", options=DEFAULTS):
        self.machine = machine
        self.unit = unit
        self._options = options

    def start(self, **how):
        return self.systemctl("start", **how)

    def stop(self):
        return self.systemctl("stop")

    def restart(self):
        return self.systemctl("restart")

    def systemctl(self, verb, *options, **how):
        return self.machine.run("systemctl", verb, *options, self.unit, **how)

    def show(self, name):
        """A property, as text."""
        return self.systemctl("show", "--value", f"--property={name}").stdout.strip()

    @property
    def state(self):
        return self.show("ActiveState")

    @property
    def pid(self):
        return int(self.show("MainPID"))

    def set_options(self, options):
        self.machine.write(self._options, f'ECHOD_OPTS="{options}"\n')

    def drop_in(self, text):
        """Change the unit as `systemctl edit` does."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/test.conf", text)
        self.machine.run("systemctl", "daemon-reload")

    def example(self, name):
        """Use one of the drop-ins that the package brings."""
        directory = f"/etc/systemd/system/{self.unit}.d"
        self.machine.run("mkdir", "-p", directory)
        self.machine.run("cp", f"{EXAMPLES}/{name}", directory)
        self.machine.run("systemctl", "daemon-reload")

    def children(self):
        """The processes of its clients."""
        words = ["pgrep", "--parent", self.pid]
        return [int(pid) for pid in self.machine.run(*words, check=False).stdout.split()]

    def status(self):
        """What the Status: line of `systemctl status` says."""
        shown = self.systemctl("status", "--no-pager", "--lines=0", check=False).stdout
        found = re.search(r'^ +Status: "(.*)"$', shown, re.MULTILINE)
        return found[1] if found else ""

    def wait_for_status(self, pattern):
        """Wait until it is such."""
        try:
            wait_until(lambda: re.fullmatch(pattern, self.status()), f"{pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the status is {self.status()!r}") from None


class Journal:
    """The lines of it since the object was made."""

    def __init__(self, machine):
        self._machine = machine
        machine.run("journalctl", "--sync")
        [last] = self._read("--lines=1")
        self._cursor = last["__CURSOR"]

    def _read(self, *options):
        lines = self._machine.run("journalctl", "--no-pager", "--output=json", *options).stdout
        return [json.loads(line) for line in lines.splitlines()]

    def read(self, **fields):
        """The entries, as dicts, in which all of these fields are such.

        They are not told to journalctl: it would drop the first one that matches.
        """
        lines = self._read(f"--after-cursor={self._cursor}")
        return [line for line in lines if line.items() >= fields.items()]

    def of_systemd(self, worst=7):
        """What systemd itself said, up to a priority."""
        lines = self.read(_PID="1", _TRANSPORT="journal")
        return [line for line in lines if int(line["PRIORITY"]) <= worst]

    def text(self, ends=20):
        """As a person reads it; of many lines those at both ends."""
        cursor = f"--after-cursor={self._cursor}"
        lines = self._machine.run("journalctl", "--no-pager", cursor).stdout.splitlines()
        if len(lines) > 2 * ends:
            lines[ends:-ends] = [f"... {len(lines) - 2 * ends} more ..."]
        return "\n".join(lines)

    def matching(self, pattern, unit="echod.service"):
        """The entries of echod itself in which pattern is found; of units like unit."""
        return [
            line
            for line in self.read()
            if fnmatch.fnmatchcase(line.get("_SYSTEMD_UNIT", ""), unit)
            and re.search(pattern, line["MESSAGE"])
        ]

    def wait(self, pattern, count=1, unit="echod.service"):
        """Wait until there are so many of them; the last one."""

        def enough():
            found = self.matching(pattern, unit)
            return len(found) >= count and found[count - 1]

        return wait_until(enough, f"{count} x {pattern!r} in the journal")
