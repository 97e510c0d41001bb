import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deadtokens.freezing.strata import COLUMNS, ROWS, sampled_tokens, sampled_updates


@given(st.integers(0, 10**6))
def test_updates_are_few_ascending_and_reach_both_ends(last):
    updates = sampled_updates(last)
    assert len(updates) <= COLUMNS
    assert (np.diff(updates) > 0).all()
    assert updates.tolist() == [] if not last else (updates[0], updates[-1]) == (1, last)


def test_early_updates_are_all_there_and_late_ones_evenly_spaced_in_logarithm():
    updates = sampled_updates(100_000)
    assert updates[:30].tolist() == list(range(1, 31))
    late = np.diff(np.log(updates[updates > 2000]))
    assert late.max() < 1.05 * late.min()


def test_tokens_are_evenly_taken_in_the_order_of_their_last_motion():
    generator = np.random.default_rng(0)
    last = generator.integers(0, 10**6, 3 * ROWS + 7)
    chosen = sampled_tokens(last)
    assert len(np.unique(chosen)) == ROWS
    ranks = np.argsort(np.argsort(last, kind="stable"))[chosen]
    assert (ranks[0], ranks[-1]) == (0, len(last) - 1)
    assert set(np.diff(ranks)) == {3, 4}


def test_few_tokens_are_all_taken_and_none_is_none():
    assert sampled_tokens(np.array([5, 1, 5, 0])).tolist() == [3, 1, 0, 2]
    assert sampled_tokens(np.zeros(0, int)).tolist() == []
