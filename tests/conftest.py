"""What holds for all tests."""

import socket

import pytest

from deadtokens.run.device import make_deterministic


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    make_deterministic(threads=1)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest: workers share whole files, in this order."""
    items.sort(key=lambda item: item.path.parent.name != "workflow")


@pytest.fixture
def free_port() -> int:
    """A port of this machine at which processes of a test may meet."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
