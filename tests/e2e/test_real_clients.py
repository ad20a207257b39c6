"""The programs that people have."""

import re
import shutil
import subprocess

import pytest

from echod import LOOPBACK
from waiting import Lines

# Debian's package, and the command line.
PROGRAMS = [
    ("inetutils-telnet", "inetutils-telnet {host} {port}"),
    ("netcat-openbsd", "nc.openbsd -N {host} {port}"),
    ("netcat-traditional", "nc.traditional -q 1 {host} {port}"),
    ("ncat", "ncat {host} {port}"),
    ("socat", "socat - TCP:{bracketed}:{port}"),
]
IPV4_ONLY = ["netcat-traditional"]


@pytest.mark.parametrize(
    ("package", "command", "host"),
    [
        pytest.param(package, command, host, id=f"{package}-{host}")
        for package, command in PROGRAMS
        for host in LOOPBACK
        if host != "::1" or package not in IPV4_ONLY
    ],
)
def test_a_word_typed_comes_back(server, package, command, host):
    """Another, too; then the input ends, and so does the connection."""
    bracketed = f"[{host}]" if ":" in host else host
    words = command.format(host=host, bracketed=bracketed, port=server.port).split()
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs Debian's package {package}")

    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as client:
        try:
            output = Lines(client.stdout)
            for word in ("hello", "again"):
                print(word, file=client.stdin, flush=True)
                output.wait(rf"^{word}\r?$")
            client.stdin.close()
            server.wait_log(rf"^closed {re.escape(bracketed)}:\d+ .* end of file$")
            output.wait_for_end()
        finally:
            client.kill()
