"""echod can be started anew at once, whoever is still connected."""

import signal

import clients


def test_after_a_kill(start, directory):
    """Port and pidfile are free, and the client of the dead one is served on."""
    pidfile = directory / "echod.pid"
    dead = start(f"--pidfile={pidfile}")
    with dead.connect() as old:
        assert clients.exchange(old, b"before") == b"before"
        dead.stop(signal.SIGKILL)

        server = start(f"--pidfile={pidfile}", port=dead.port)
        assert pidfile.read_text() == str(server.pid)
        assert clients.exchange(old, b"after") == b"after"
        with server.connect() as new:
            assert clients.exchange(new, b"new") == b"new"
        assert clients.transfer(old, [b"the end"]) == b"the end"


def test_after_many_kills_with_udp_and_metrics(start, directory):
    """The worker and the writer of the dead one are in nobody's way."""
    file = directory / "echod.prom"
    options = "--udp", f"--metrics={file}"
    server = start(*options)
    for _ in range(15):
        server.stop(signal.SIGKILL)
        server = start(*options, port=server.port)
        assert file.read_text().endswith("# EOF\n")
    with server.connect() as client:
        assert clients.exchange(client, b"x") == b"x"
    assert server.stop() == 0
    assert not file.exists()


def test_after_a_stop(start):
    """Connections that echod closed first, now in TIME_WAIT, hold no port."""
    before = start()
    with before.connect() as client:
        assert clients.exchange(client, b"before") == b"before"
        assert before.stop() == 0
        assert clients.receive_all(client) == b""
    server = start(port=before.port)
    with server.connect() as client:
        assert clients.exchange(client, b"after") == b"after"
