"""Batches: a function of (seed, update), labels shifted once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.training.batches import batch_starts, read_batch

STREAM = np.arange(1000, dtype=np.int32)  # a token's id is its position


@given(seed=st.integers(0, 2**32 - 1), update=st.integers(1, 10**6))
def test_labels_are_the_next_tokens(seed, update):
    inputs, targets = read_batch(STREAM, 5, 7, seed, update)
    assert inputs.shape == targets.shape == (5, 7)
    assert (targets == inputs + 1).all()
    assert (np.diff(inputs, axis=1) == 1).all()


@given(update=st.integers(1, 1000))
def test_batch_does_not_depend_on_what_was_drawn_before(update):
    alone = batch_starts(1000, 8, 10, 3, update)
    for earlier in range(1, 5):
        batch_starts(1000, 8, 10, 3, earlier)
    assert (batch_starts(1000, 8, 10, 3, update) == alone).all()
    assert (batch_starts(1000, 8, 10, 3, update + 1) != alone).any()
    assert (batch_starts(1000, 8, 10, 4, update) != alone).any()


def test_starts_are_uniform_and_leave_room_for_the_last_label():
    starts = np.concatenate([batch_starts(20, 50, 16, 0, update) for update in range(1, 400)])
    assert set(starts) == {0, 1, 2, 3}
    counts = np.bincount(starts)
    assert np.abs(counts / counts.sum() - 0.25).max() < 0.02
