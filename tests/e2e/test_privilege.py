"""Whoever starts it, echod serves without any right that could be abused."""

import os

import pytest

import clients
import procfs
from echod import LOOPBACK
from harmless import assert_harmless
from marks import needs_root


def serving(server):
    """The pids of an echod that serves a client."""
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
        [child] = server.children()
        yield from (server.pid, child)


def test_no_process_has_a_right(server):
    for pid in serving(server):
        assert_harmless(pid)


@needs_root
@pytest.mark.parametrize(
    ("options", "uid", "gid"),
    [
        ([], None, None),
        (["--user=nobody:12345"], None, 12345),
        (["--user=12345:12346"], 12345, 12346),
    ],
    ids=["default", "group", "numbers"],
)
def test_root_becomes_another_user(start, options, uid, gid):
    """All of its ids change, and the supplementary groups go."""
    server = start(*options, extra_groups=[1, 2, 3])
    for pid in serving(server):
        assert_harmless(pid)
        status = procfs.status(pid)
        uids, gids = set(status["Uid"].split()), set(status["Gid"].split())
        assert len(uids) == len(gids) == 1
        assert "0" not in uids | gids
        assert uid is None or uids == {str(uid)}
        assert gid is None or gids == {str(gid)}
        assert status["Groups"] == ""


@needs_root
def test_an_inherited_capability_is_given_up(start, public_binary):
    """As with systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE."""
    capability = "+net_bind_service"
    setpriv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    setpriv += [f"--inh-caps={capability}", f"--ambient-caps={capability}"]
    server = start(binary=public_binary, wrapper=setpriv)
    for pid in serving(server):
        assert_harmless(pid)


def test_port_7_as_an_ordinary_user(run, public_binary):
    """It is not permitted; a sentence says what to do."""
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as first:
        if int(first.read()) <= 7:
            pytest.skip("ip_unprivileged_port_start lets everybody have port 7")
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    result = run(
        f"--listen={LOOPBACK[0]}",
        binary=public_binary,
        **user if os.geteuid() == 0 else {},
    )
    assert result.returncode in (os.EX_NOPERM, os.EX_UNAVAILABLE)
    assert len(result.stderr.splitlines()) == 1
    assert f"{LOOPBACK[0]}:7: Permission denied; " in result.stderr
    assert "--port" in result.stderr


@needs_root
def test_an_ordinary_user_of_group_0(start, public_binary):
    """As containers have it."""
    setpriv = ["setpriv", "--reuid=12345", "--regid=0", "--clear-groups"]
    server = start(binary=public_binary, wrapper=setpriv)
    for pid in serving(server):
        assert_harmless(pid)
