"""What the tests of recorders share."""

import pytest
import torch


@pytest.fixture
def compiler():
    """Leave nothing compiled, before a test and behind it."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()
