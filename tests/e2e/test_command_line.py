"""What the command line says, and what is wrong with it."""

import os
import shlex
import socket

import pytest

from echod import LOOPBACK, free_port

BAD = [
    # the arguments, and what the reason must name; of a kind one, the rest has a unit test
    (["-z"], "-z"),
    (["--nonsense"], "--nonsense"),
    (["--v"], "--v"),
    (["--daemon=x"], "--daemon"),
    (["--ipv6-prefix"], "--ipv6-prefix"),
    (["-4", "operand", "-6"], "'operand'"),
    (["two\nlines"], "two"),
    (["--two\nlines"], "two"),
    (["--log=two\nlines"], "--log"),
    (["--log=file"], "--log"),
    (["--pidfile=echod.pid"], "--pidfile"),
    (["--port=65536"], "--port"),
    (["-p", ""], "--port"),
    (["--max-clients=0"], "--max-clients"),
    (["--idle-timeout=1.5"], "--idle-timeout"),
    (["--listen=[::1"], "--listen"),
    (["--listen=127.0.0.1"] * 17, "--listen"),
    (["--proxy-protocol=127.0.0.1/8"], "--proxy-protocol"),
    (["--check", "-m", "echod.prom"], "--metrics"),
    (["--inetd", "--port=7"], "--port (-p) is not for --inetd"),
    (["--check", "--udp", "-i"], "--udp (-u) is not for --inetd"),
    (["--user="], "--user"),
    (["--user=no-such-user"], "--user"),
    (["--user=nobody:no-such-group"], "--user"),
    (["--user=:nogroup"], "--user"),
    (["--user=nobody:"], "--user"),
    (["--user=root"], "--user"),
    (["--user=0"], "--user"),
    (["--user=nobody:root"], "--user"),
    (["--user=-1"], "--user"),
    (["--user=4294967295:1"], "--user"),
]


@pytest.mark.parametrize(
    ("arguments", "named"), BAD, ids=[shlex.join(bad[0])[:30] for bad in BAD]
)
def test_a_bad_command_line(run, arguments, named):
    """Exit status 64, and one line on standard error that names the culprit."""
    result = run(*arguments)
    assert result.returncode == os.EX_USAGE
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_on_a_screen(run, option):
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(run, option):
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("echod ")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("options", [["--help"], ["--version"], ["--check"]])
def test_output_that_cannot_be_written_is_an_error(run, options):
    with open("/dev/full", "w") as full:
        result = run(*options, stdout=full)
    assert result.returncode != 0
    assert "standard output" in result.stderr


@pytest.mark.parametrize("options", [["--help"], ["--version"], ["--check", "-p8007"]])
def test_a_closed_output_is_an_error(run, options):
    """What takes its place must not swallow what is written."""
    result = run(*options, wrapper=["sh", "-c", 'exec "$@" >&-', "sh"])
    assert result.returncode != 0
    assert "standard output" in result.stderr


def check(run, *options):
    """What echod --check says, having found no fault."""
    result = run("--check", *options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (["-4"], "0.0.0.0:7"),
        (["-4", "-p", "echo"], "0.0.0.0:7"),
        (["-4", "-p", "80"], "0.0.0.0:80"),
        (["-4", "-l", ":80"], "0.0.0.0:80"),
        (["-l", "127.0.0.1"], "127.0.0.1:7"),
        (["-l", "127.0.0.1:echo", "-p80"], "127.0.0.1:7"),
        (["-4", "-l", "localhost"], "127.0.0.1:7"),
        (["-6"], "[::]:7"),
        (["-6", "-l", ":80"], "[::]:80"),
        (["-l", "::1"], "[::1]:7"),
        (["-l", "[::1]"], "[::1]:7"),
        (["-l", "[::1]:80"], "[::1]:80"),
        (["-l", "127.0.0.1", "-l", "127.0.0.1:80"], "127.0.0.1:7 and 127.0.0.1:80"),
    ],
)
def test_check_tells_where_it_would_listen(run, options, where):
    if "[" in where and "::1" not in LOOPBACK:
        pytest.skip("this host has no IPv6")
    output = check(run, *options)
    assert output.partition(" as user ")[0].rstrip() == f"echod would listen on {where}"


def test_check_leaves_a_running_echod_alone(server, run, directory):
    """It may be asked before a restart: neither port nor pidfile is touched."""
    pidfile = directory / "echod.pid"
    where = [f"--listen={LOOPBACK[0]}", f"--port={server.port}"]
    output = check(run, *where, f"--pidfile={pidfile}")
    assert f"{LOOPBACK[0]}:{server.port}" in output
    assert not pidfile.exists()


@pytest.mark.parametrize("options", [[], ["--check"]], ids=["serve", "check"])
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_host(run, options, host):
    result = run(*options, f"--listen={host}", f"--port={free_port()}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert host in result.stderr
    assert result.stdout == ""


def test_an_address_of_the_other_family(run):
    result = run("-4", "--listen=::1", f"--port={free_port()}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert "::1" in result.stderr


def test_an_address_in_use(run):
    """Exit status 69; one line says which it is."""
    with socket.create_server((LOOPBACK[0], 0)) as other:
        port = other.getsockname()[1]
        result = run(f"--listen={LOOPBACK[0]}", f"--port={port}")
    assert result.returncode == os.EX_UNAVAILABLE
    assert len(result.stderr.splitlines()) == 1
    assert f"{LOOPBACK[0]}:{port}: Address already in use" in result.stderr
