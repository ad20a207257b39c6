"""How many descriptors a test may have."""

import resource

import pytest


@pytest.fixture
def plenty_of_descriptors():
    """Room for the sockets of many clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
