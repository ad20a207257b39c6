"""--max-per-source, --rate and --ipv6-prefix."""

import clients
from waiting import wait_until


def can_come(server, host, source):
    with server.connect(host, source=source) as client:
        return clients.served(client)


def test_a_source_has_its_share(start, stay):
    """The third of one source is refused; another source does not notice."""
    server = start("--max-per-source=2")
    one = stay(server.connect(source="127.0.0.2"))
    two = stay(server.connect(source="127.0.0.2"))
    assert clients.served(one) and clients.served(two)
    assert not can_come(server, "127.0.0.1", "127.0.0.2")
    assert can_come(server, "127.0.0.1", "127.0.0.3")
    server.wait_log(
        r"^refused 127\.0\.0\.2:\d+: 2 clients from 127\.0\.0\.2 already$"
    )
    one.close()
    wait_until(lambda: can_come(server, "127.0.0.1", "127.0.0.2"), "its turn")
    assert clients.served(two)


def test_a_network_of_ipv6_is_a_source(start, stay, network):
    """Its /64, if not said otherwise: nobody gets more by changing the address."""
    network("2001:db8:0:1::1/128", "2001:db8:0:1::2/128", "2001:db8:0:2::1/128")
    server = start("--max-per-source=1")
    assert clients.served(stay(server.connect("::1", source="2001:db8:0:1::1")))
    assert not can_come(server, "::1", "2001:db8:0:1::2")
    assert can_come(server, "::1", "2001:db8:0:2::1")
    server.wait_log(r"^refused \[2001:db8:0:1::2\]:\d+: 1 .* 2001:db8:0:1::/64 already$")


def test_how_much_of_an_address_is_its_source(start, stay, network):
    network("2001:db8:0:1::1/128", "2001:db8:0:1::2/128", "2001:db8:0:2::1/128")
    for prefix, same, other in (
        (128, "2001:db8:0:1::1", "2001:db8:0:1::2"),
        (48, "2001:db8:0:2::1", "::1"),
    ):
        server = start("--max-per-source=1", f"--ipv6-prefix={prefix}")
        assert clients.served(stay(server.connect("::1", source="2001:db8:0:1::1")))
        assert not can_come(server, "::1", same)
        assert can_come(server, "::1", other)


def test_a_source_may_come_so_often(start):
    """Of many at once some are refused, and another source is not; then it may."""
    server = start("--rate=2", "--quiet")
    came = [can_come(server, "127.0.0.1", "127.0.0.2") for _ in range(20)]
    assert came[:2] == [True, True]
    assert False in came
    assert can_come(server, "127.0.0.1", "127.0.0.3")
    wait_until(lambda: can_come(server, "127.0.0.1", "127.0.0.2"), "a token")


def test_refusals_do_not_flood_the_log(start):
    """The first has its line, then a line per second counts the others."""
    server = start("--max-per-source=1")
    with server.connect() as first:
        assert clients.served(first)
        for _ in range(200):
            assert not can_come(server, "127.0.0.1", "127.0.0.1")
        server.wait_log("^refused 127.*already$")
        server.wait_log(r"^refused \d+ more in the meantime$")

        def counted():
            lines = server.log.matching(r"^refused (\d+) more in the meantime$")
            alone = server.log.matching("^refused 127")
            return len(alone) + sum(int(line[1]) for line in lines)

        wait_until(lambda: counted() == 200, "all refusals to be counted")
    assert len(server.log.matching("^refused")) < 50


def test_refusals_are_told_before_it_stops(start):
    server = start("--max-per-source=1")
    with server.connect() as first:
        assert clients.served(first)
        for _ in range(5):
            assert not can_come(server, "127.0.0.1", "127.0.0.1")
    assert server.stop() == 0
    held = sum(int(line[1]) for line in server.log.matching(r"^refused (\d+) more"))
    assert held + len(server.log.matching("^refused 127")) == 5
