"""Freezing: planted trajectories with known answers."""

import numpy as np
import pytest
import torch
from planted import write_run

from deadtokens.analysis.freezing import (
    changed_tokens,
    displacement_norms,
    last_changes,
    measure_freezing,
    measure_motion,
)
from deadtokens.trajectory import layout


def as_blocks(W: np.ndarray, lengths: list[int]):
    """Cut W, (tokens, components, states), into blocks of updates of the given lengths."""
    start = 0
    for length in lengths:
        states = W[:, :, start : start + length + 1]
        yield np.arange(start + 1, start + length + 1), states[:, :, :-1], states[:, :, 1:]
        start += length


def planted_positions() -> np.ndarray:
    """Four tokens, three components, ten updates; dead are the first three.

    Token 0 moves by (3, 4, 0) until update 4 and stands then. Token 1 stands during updates 3-5,
    moves in update 6 (a thaw) and stands after. Token 2 always moves. Token 3, live, never does.
    """
    moves = np.zeros((4, 3, 10), np.float32)
    moves[0, :2, :4] = np.array([3, 4])[:, None]
    moves[1, 2, [0, 1, 5]] = 0.5
    moves[2, 0, :] = 1
    start = np.full((4, 3, 1), 8, np.float32)
    return np.concatenate([start, start + moves.cumsum(axis=2)], axis=2).astype(np.float32)


DEAD = np.array([True, True, True, False])


@pytest.mark.parametrize("lengths", [[10], [1] * 10, [3, 4, 3]])
def test_planted_freezes_are_found(lengths):
    motion = measure_motion(as_blocks(planted_positions(), lengths), DEAD)
    assert motion.update.tolist() == list(range(1, 11))
    assert motion.last_change.tolist() == [4, 6, 10, 0]
    third = np.array([0, 0, 1, 1, 2, 1, 2, 2, 2, 2]) / 3
    assert motion.frozen_fraction[:, 0] == pytest.approx(third)
    assert (motion.frozen_fraction[:, 1] == 1).all()
    medians = motion.displacement_quantile[:, 0, 2]
    assert medians == pytest.approx([1, 1, 1, 1, 0, 0.5, 0, 0, 0, 0])
    assert motion.displacement_quantile[0, 0].tolist() == pytest.approx(
        np.quantile([5, 0.5, 1], [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    )
    assert (motion.displacement_quantile[:, 1] == 0).all()


def test_bits_count_not_values():
    before = np.array([0.0, np.nan, 1.0, 1e-45], np.float32).reshape(4, 1, 1)
    after = np.array([-0.0, np.nan, 1.0, 0.0], np.float32).reshape(4, 1, 1)
    assert changed_tokens(before, after)[:, 0].tolist() == [True, False, False, True]


def test_norms_are_numpys():
    generator = np.random.default_rng(0)
    before, after = generator.normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = np.linalg.norm(after.astype(float) - before, axis=1)
    assert displacement_norms(before, after) == pytest.approx(expected, rel=1e-6)


def test_last_change_of_a_token_that_never_moves_is_0():
    assert last_changes(np.array([5, 6]), np.array([[False, False], [True, False]])).tolist() == [
        0,
        5,
    ]


def test_an_empty_population_is_nan():
    motion = measure_motion(as_blocks(planted_positions(), [10]), np.zeros(4, bool))
    assert np.isnan(motion.frozen_fraction[:, 0]).all()
    assert np.isnan(motion.displacement_quantile[:, 0]).all()
    assert motion.frozen_fraction[0, 1] == 0.25


def test_a_run_from_files_is_labelled(tmp_path):
    W = torch.from_numpy(planted_positions().transpose(2, 0, 1).copy()).bfloat16()
    tensors = dict.fromkeys(layout.STATE_TENSORS, W) | {"grad": W[1:]}
    write_run(tmp_path, tensors, [0, 5, 10], spec="{}")
    freezing = measure_freezing(tmp_path)
    # The files' census calls the tokens 0 and 3 dead.
    dead = freezing.frozen_fraction.sel(population="dead")
    assert dead.values.tolist() == [0.5] * 4 + [1.0] * 6
    assert freezing.last_change.values.tolist() == [4, 6, 10, 0]
    assert freezing.censored.values.tolist() == [False, False, True, False]
    assert freezing.attrs["run"] == "planted"
    assert all(freezing[name].attrs["long_name"] for name in freezing.data_vars)
