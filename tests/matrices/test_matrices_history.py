"""When an indicator sees the dead tokens of a run: planted trajectories with known answers."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import census, write_run

from deadtokens.cli import call
from deadtokens.errors import UserError
from deadtokens.matrices.history import SEEN, follow_indicators

TOKENS, WIDTH, UPDATES = 90, 8, 40
SHRUNK, GATHERED = 10, 26  # states from which on
DEAD = census(TOKENS)["dead"].values


def write(folder, W, *boundaries):
    """Write a run of given weights, (state, token, component), as segments."""
    tensors = {"W": torch.from_numpy(W.astype(np.float32))}
    tensors["grad"] = torch.zeros(len(W) - 1, *W.shape[1:])
    write_run(folder, tensors, [0, *boundaries, len(W) - 1], names=("W", "grad"))
    return sorted(folder.glob("segment-*.nc"))


def trajectory():
    """Return a W whose dead rows are small from one state on, and in one direction from another."""
    generator = np.random.default_rng(0)
    W = np.repeat(generator.normal(0, 1, (1, TOKENS, WIDTH)), UPDATES + 1, axis=0)
    W[SHRUNK:, DEAD] *= 0.05
    direction = generator.normal(0, 1, WIDTH)
    W[GATHERED:, DEAD] = 0.02 * W[GATHERED:, DEAD] + direction
    return W


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return follow_indicators(write(tmp_path_factory.mktemp("run"), trajectory(), 16))


def test_each_sees_them_from_the_planted_state_on(found):
    seen = dict(zip(found["indicator"].values, found["seen_from"].values.tolist(), strict=True))
    assert seen["cosine"] == GATHERED
    # Small rows are near the mean of small rows, and in one direction from the mean of all.
    assert seen["to_reference"] == seen["cosine_without_mean"] == SHRUNK
    states = found["state"].values
    assert states.tolist() == sorted({0, *states.tolist()}) and states[-1] == UPDATES
    assert {SHRUNK, GATHERED} <= set(states.tolist())
    norm = found["area"].sel(indicator="norm")
    assert (norm.sel(state=slice(SHRUNK, GATHERED - 1)) == 1).all()
    assert (norm.sel(state=slice(0, SHRUNK - 1)) < 0.7).all()
    assert seen["norm"] == -1  # what it saw it loses when they gather at some distance


def test_an_interval_holds_its_area_and_the_means_are_those_of_the_rows(found):
    assert (found["area_low"] <= found["area"]).all()
    assert (found["area"] <= found["area_high"]).all()
    norms = np.linalg.norm(trajectory(), axis=2)
    asked = np.flatnonzero(DEAD)[1::2]
    for state in (0, SHRUNK, UPDATES):
        one = found.sel(state=state, indicator="norm")
        assert one["dead_mean"] == pytest.approx(norms[state, asked].mean(), rel=1e-5)
        assert one["live_mean"] == pytest.approx(norms[state, ~DEAD].mean(), rel=1e-5)
    assert found.attrs["dead_tokens"] == 30 and found.attrs["reference_tokens"] == 15


def test_tokens_that_are_like_all_others_are_not_seen(tmp_path):
    """Negative control: nothing happens to the dead rows."""
    generator = np.random.default_rng(1)
    W = np.repeat(generator.normal(0, 1, (1, TOKENS, WIDTH)), 5, axis=0)
    found = follow_indicators(write(tmp_path, W))
    assert (found["seen_from"] == -1).all()
    assert (found["area"] < SEEN).all()


def test_the_command_writes_what_is_found(tmp_path, found):
    segments = write(tmp_path, trajectory(), 16)
    call("indicators", [*map(str, segments), "--output", str(tmp_path / "indicators.nc")])
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "indicators.nc"), found)


def test_one_dead_token_is_too_few(tmp_path):
    W = np.random.default_rng(2).normal(0, 1, (3, 3, WIDTH))  # of which the first is dead
    with pytest.raises(UserError, match="1 of 3 tokens are dead; indicators need two"):
        follow_indicators(write(tmp_path, W))
