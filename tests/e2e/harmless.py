"""What no process of echod that serves may have."""

import procfs
from marks import has_filter

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def assert_harmless(pid):
    """No capability, no way to get any, not root, and no more calls than it needs."""
    status = procfs.status(pid)
    assert [int(status[which], 16) for which in CAPABILITIES] == [0, 0, 0, 0]
    assert status["NoNewPrivs"] == "1"
    assert "0" not in status["Uid"].split()
    if has_filter:
        assert status["Seccomp"] == "2"
