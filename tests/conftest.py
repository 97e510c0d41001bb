"""What holds for all tests."""

import pytest

from deadtokens.training.device import make_deterministic


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    make_deterministic(threads=1)
