"""When an indicator sees the dead tokens of a run: planted trajectories with known answers."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from foreign_records import make_record
from planted import census, write_run

from deadtokens.cli import call
from deadtokens.matrices.history import SEEN, follow_indicators
from deadtokens.matrices.indicators import INDICATORS
from deadtokens.statistics.roc import area_under_curve
from deadtokens.trajectory.chunks import decode_chunk

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


def test_tokens_that_were_never_sampled_are_not_asked(tmp_path, monkeypatch):
    """They lie with the dead ones, and no indicator that sees these can know better."""
    unmet = np.isin(np.arange(TOKENS), (1, 2, 4, 5, 7, 8))
    known = census(TOKENS).assign(sampled=("token", (~DEAD & ~unmet).astype(int)))
    monkeypatch.setattr("planted.census", lambda _: known)
    W = trajectory()
    W[SHRUNK:, unmet] *= 0.05
    W[GATHERED:, unmet] = W[GATHERED:, np.flatnonzero(DEAD)[1::2][: unmet.sum()]]
    found = follow_indicators(write(tmp_path, W, 16))
    seen = found["seen_from"].to_series()
    assert seen["cosine"] == GATHERED
    assert seen["to_reference"] == seen["cosine_without_mean"] == SHRUNK
    assert found["never_sampled"].values.tolist() == unmet.tolist()
    norms = np.linalg.norm(W, axis=2)
    for state in (0, SHRUNK, UPDATES):
        one = found.sel(state=state, indicator="norm")
        assert one["live_mean"] == pytest.approx(norms[state, ~DEAD & ~unmet].mean(), rel=1e-5)
    # The negative control: as live ones they would hide what the indicator sees.
    asked = ~found["reference"].values
    assert area_under_curve(norms[SHRUNK][asked], DEAD[asked]).value < SEEN
    assert found["area"].sel(indicator="norm", state=SHRUNK) == 1


def test_a_run_that_met_no_token_has_no_areas(tmp_path, monkeypatch):
    known = census(TOKENS).assign(sampled=("token", np.zeros(TOKENS, int)))
    monkeypatch.setattr("planted.census", lambda _: known)
    found = follow_indicators(write(tmp_path, trajectory()[:3]))
    assert found["area"].isnull().all() and found["live_mean"].isnull().all()
    assert "30 of 90 tokens are dead and 0 live" in found.attrs["left_out"]


def test_the_command_writes_what_is_found(tmp_path, found):
    segments = write(tmp_path, trajectory(), 16)
    call("indicators", [*map(str, segments), "--output", str(tmp_path / "indicators.nc")])
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "indicators.nc"), found)


@pytest.mark.parametrize(
    ("dead", "reference"), [((), 0), ((1,), 1), (range(4), 2)], ids=["none", "one", "all"]
)
def test_of_too_few_dead_tokens_there_are_no_areas_and_no_mistake(
    dead, reference, tmp_path, monkeypatch
):
    is_dead = np.isin(np.arange(4), dead)
    tokens = census(4).assign(dead=("token", is_dead), sampled=("token", (~is_dead).astype(int)))
    monkeypatch.setattr("planted.census", lambda _: tokens)
    W = np.random.default_rng(2).normal(0, 1, (3, 4, WIDTH))
    segments = write(tmp_path, W)
    call("indicators", [*map(str, segments), "--output", str(tmp_path / "indicators.nc")])
    found = xr.load_dataset(tmp_path / "indicators.nc")
    assert found["indicator"].values.tolist() == list(INDICATORS)
    assert found["state"].values.tolist() == [0, 1, 2]
    assert found["area"].isnull().all() and (found["seen_from"] == -1).all()
    assert found.attrs["reference_tokens"] == reference
    assert found.attrs["left_out"] == (
        f"areas: {len(dead)} of 4 tokens are dead and {4 - len(dead)} live; indicators need two "
        "dead ones, and live ones"
    )
    norms = np.linalg.norm(np.delete(W, dead, axis=1), axis=2)
    if len(dead) < 4:
        live = found["live_mean"].sel(indicator="norm").values
        assert live == pytest.approx(norms.mean(axis=1), rel=1e-5)


def test_enough_dead_tokens_leave_nothing_out(found):
    assert "left_out" not in found.attrs
    assert found["dead"].values.tolist() == DEAD.tolist()
    assert np.flatnonzero(found["reference"]).tolist() == np.flatnonzero(DEAD)[::2].tolist()


@pytest.mark.parametrize("end", [np.nan, np.inf, 1e30, 0.0])
def test_the_end_of_a_diverged_run_is_a_result(end, tmp_path):
    W = trajectory()[[0, -1, -1]]
    W[2] *= end
    found = follow_indicators(write(tmp_path, W, 1))
    area = found["area"].sel(indicator="cosine_without_mean")
    assert area[1] == 1
    assert area[2] == 1 if end == 1e30 else area[2].isnull()
    first = found["area"].sel(indicator="cosine_without_first")
    assert first[1].notnull() and first[2].isnull()  # its products are no numbers, or all zero


def test_only_chunks_with_a_state_that_is_looked_at_are_read(tmp_path, monkeypatch):
    """Four segments have two chunks each; the first four states lie in the first of them."""
    inflated = []

    def counted(*arguments):
        inflated.append(arguments)
        return decode_chunk(*arguments)

    generator = np.random.default_rng(3)
    W = np.repeat(generator.normal(0, 1, (1, 12, 2)), 501, axis=0)
    segments = write(tmp_path, W, 125, 250, 375)
    monkeypatch.setattr("deadtokens.trajectory.inflate.decode_chunk", counted)
    monkeypatch.setattr("deadtokens.matrices.history.STATES", 5)
    found = follow_indicators(segments)
    assert found["state"].values.tolist() == [0, 1, 5, 22, 106, 500]
    assert len(inflated) == 3


def test_a_recording_of_some_rows_says_that_it_has_not_all(tmp_path):
    """The mean of all rows, and their first component, are not those of the recorded ones."""
    make_record(tmp_path / "some", rows="dead", live=5)
    segments = sorted((tmp_path / "some").glob("segment-*.nc"))
    call("indicators", [*map(str, segments), "--output", str(tmp_path / "indicators.nc")])
    found = xr.load_dataset(tmp_path / "indicators.nc")
    assert not found.data_vars
    assert found.attrs["left_out"] == (
        "run some: has 15 of 40 rows of W; record all of them to have the indicators"
    )
    figure = tmp_path / "history.png"
    call("figure", ["indicator_history", str(tmp_path / "indicators.nc"), "--output", str(figure)])
    assert pd.read_csv(figure.with_suffix(".csv")).empty


def test_a_recording_that_does_not_know_its_dead_tokens_says_so(tmp_path):
    make_record(tmp_path / "mine", counts=None, embedding=None)
    segments = sorted((tmp_path / "mine").glob("segment-*.nc"))
    call("indicators", [*map(str, segments), "--output", str(tmp_path / "indicators.nc")])
    found = xr.load_dataset(tmp_path / "indicators.nc")
    assert not found.data_vars
    assert "which of its tokens are dead is not known" in found.attrs["left_out"]
