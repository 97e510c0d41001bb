"""Drift of planted runs, from files: known paths, directions and populations."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import write_run

from deadtokens.cli import call
from deadtokens.drift.drift import measure_drift
from deadtokens.drift.follow import Watch, follow
from deadtokens.drift.labels import VARIABLES
from deadtokens.drift.record import choose_members, early_states
from deadtokens.errors import UserError
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.run import layout
from deadtokens.run.spec import RunSpec
from deadtokens.trajectory.blocks import Block
from deadtokens.trajectory.populations import partition

TOKENS, WIDTH, UPDATES = 30, 4, 12
DEAD = np.arange(TOKENS) % 3 == 0  # as the planted census says
DRIFT = np.array([0.25, 0.0, -0.125, 0.0])  # exact in bfloat16's range, and sums of it


def positions(updates=UPDATES, thermal=0.0, seed=0):
    """Return W of dead tokens that drift along DRIFT, with thermal motion; the live ones rest."""
    generator = np.random.default_rng(seed)
    start = generator.integers(-8, 8, size=(TOKENS, WIDTH)) / 8
    steps = np.zeros((updates, TOKENS, WIDTH))
    steps[:, DEAD] = DRIFT + thermal * generator.normal(size=(updates, DEAD.sum(), WIDTH))
    W = np.concatenate([start[None], start + np.cumsum(steps, axis=0)])
    return torch.from_numpy(W.astype(np.float32))


def write(folder, W, boundaries=None, **attributes):
    tensors = dict.fromkeys(layout.STATE_TENSORS, W) | {"grad": W[1:]}
    spec = RunSpec(precision="fp32").json_text()
    write_run(folder, tensors, boundaries or [0, len(W) - 1], spec=spec, **attributes)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Return the drift of a cloud that moves as one along a line."""
    folder = tmp_path_factory.mktemp("straight")
    write(folder, positions(), [0, 5, 12])
    return measure_drift(folder)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Return W and the drift of a cloud with thermal motion as well."""
    folder = tmp_path_factory.mktemp("noisy")
    write(folder, positions(thermal=0.3), [0, 5, 12])
    return positions(thermal=0.3).numpy().astype(np.float64), measure_drift(folder)


def test_a_cloud_that_moves_as_one_has_only_bulk_motion(straight):
    dead = straight.sel(population="dead")
    length = np.linalg.norm(DRIFT)
    assert dead.bulk_speed.values == pytest.approx(length)
    assert dead.thermal_speed.values == pytest.approx(0, abs=1e-6)
    assert dead.bulk_share.values == pytest.approx(1)
    assert dead.pairwise_cosine.values == pytest.approx(1)
    assert dead.resultant_length.values == pytest.approx(1)
    assert dead.movers.values.tolist() == [10] * UPDATES
    assert dead.efficiency.values[1:] == pytest.approx(1)
    assert dead.step_cosine.values[1:] == pytest.approx(1)
    assert dead.path_length.values == pytest.approx(length * np.arange(UPDATES + 1))
    assert dead.radius.values == pytest.approx(dead.radius.values[0])


def test_live_tokens_that_rest_are_said_to(straight):
    live = straight.sel(population="live")
    assert (live.movers == 0).all() and (live.bulk_speed == 0).all()
    assert np.isnan(live.bulk_share).all() and np.isnan(live.pairwise_cosine).all()
    assert (live.path_length == 0).all()


def test_the_one_direction_is_found_and_named(straight):
    share = straight.share.sel(rank=1)
    for source in ("net displacement", "centroid displacement"):
        assert float(share.sel(source=source, centring="raw")) == pytest.approx(1)
        assert np.isnan(share.sel(source=source, centring="centred"))
        found = straight.principal_direction.sel(source=source, centring="raw", leading=1)
        assert found.values == pytest.approx(DRIFT / np.linalg.norm(DRIFT), abs=1e-6)
    # the planted mean hidden state at update t is (t, t + 1, t + 2, t + 3)
    hidden = np.arange(WIDTH) + np.mean(np.arange(1, UPDATES + 1))
    expected = hidden @ DRIFT / np.linalg.norm(hidden) / np.linalg.norm(DRIFT)
    chosen = {"source": "net displacement", "centring": "raw", "leading": 1}
    cosine = straight.cosine.sel(candidate="mean hidden state", **chosen)
    assert float(cosine) == pytest.approx(expected, rel=1e-5)
    assert float(straight.candidate_cosine.sel(candidate="mean hidden state")) == pytest.approx(
        expected, rel=1e-5
    )
    alone = straight.explained_alone.sel(source="net displacement", centring="raw")
    assert float(alone.sel(candidate="mean hidden state")) == pytest.approx(expected**2, rel=1e-5)
    assert straight.attrs["chance_cosine"] == pytest.approx(0.878, abs=1e-3)  # tables of r, 3 d.f.


def test_quantities_of_states_and_updates_are_numpys(noisy):
    W, drift = noisy
    steps = np.diff(W, axis=0)
    for name, chosen in (("dead", DEAD), ("live", ~DEAD)):
        cloud, found = W[:, chosen], drift.sel(population=name)
        centroid = cloud.mean(axis=1)
        assert found.centroid.values == pytest.approx(centroid, abs=1e-7)
        distances = np.linalg.norm(cloud - centroid[:, None], axis=2)
        assert found.radius.values == pytest.approx(np.sqrt((distances**2).mean(axis=1)), rel=1e-5)
        ratio = np.linalg.norm(centroid, axis=1) / np.linalg.norm(cloud, axis=2).mean(axis=1)
        assert found.mean_embedding_ratio.values == pytest.approx(ratio, rel=1e-5)
    whole = np.linalg.norm(W.mean(axis=1), axis=1) / np.linalg.norm(W, axis=2).mean(axis=1)
    assert drift.mean_embedding_ratio_all.values == pytest.approx(whole, rel=1e-5)
    covariance = [np.cov(rows.T, bias=True) for rows in W[:, DEAD]]
    expected = np.linalg.eigvalsh(covariance)[:, ::-1]
    assert drift.eigenvalue.values == pytest.approx(expected, rel=1e-4, abs=1e-5)
    gap = np.linalg.norm(W[:, DEAD].mean(axis=1) - W[:, ~DEAD].mean(axis=1), axis=1)
    assert drift.separation.values == pytest.approx(gap, rel=1e-5)
    dead = drift.sel(population="dead")
    bulk = np.linalg.norm(steps[:, DEAD].mean(axis=1), axis=1)
    assert dead.bulk_speed.values == pytest.approx(bulk, rel=1e-5)
    share = bulk**2 / np.square(steps[:, DEAD]).sum(axis=2).mean(axis=1)
    assert dead.bulk_share.values == pytest.approx(share, rel=1e-4)


def far_away(radii=38):
    """Return float32 W of a cloud so many of its initial radii from zero, moving nearly as one."""
    generator = np.random.default_rng(4)
    start = 0.02 * generator.normal(size=(TOKENS, WIDTH)) + radii * 0.02
    steps = np.array([1e-3, -1e-3, 1e-3, 0]) + 1e-5 * generator.normal(size=(8, TOKENS, WIDTH))
    steps[:, ~DEAD] *= 2
    return np.concatenate([start[None], start + np.cumsum(steps, axis=0)]).astype(np.float32)


def test_a_cloud_many_radii_away_is_measured_as_exactly_as_one_at_home(tmp_path):
    recorded = far_away()
    write(tmp_path, torch.from_numpy(recorded))
    drift, freezing = measure_drift(tmp_path), measure_freezing(tmp_path)
    W = recorded.astype(np.longdouble)
    steps = np.diff(W, axis=0)
    centroids = {}
    for name, chosen in (("dead", DEAD), ("live", ~DEAD)):
        found = drift.sel(population=name)
        centroids[name] = W[:, chosen].mean(axis=1)
        offsets = np.square(W[:, chosen] - centroids[name][:, None]).sum(axis=2)
        radius = np.sqrt(offsets.mean(axis=1)).astype(float)
        assert found.radius.values == pytest.approx(radius, rel=1e-12)
        thermal = steps[:, chosen] - steps[:, chosen].mean(axis=1, keepdims=True)
        speed = np.sqrt(np.square(thermal).sum(axis=2).mean(axis=1)).astype(float)
        assert found.thermal_speed.values == pytest.approx(speed, rel=1e-9)
    gap = np.linalg.norm((centroids["dead"] - centroids["live"]).astype(float), axis=1)
    assert drift.separation.values == pytest.approx(gap, rel=1e-9)
    own = drift.radius.sel(population="dead")
    assert drift.separation_in_radii.values == pytest.approx(gap / own.values, rel=1e-9)
    assert freezing.radius.values == pytest.approx(own.values[1:], rel=1e-12)
    assert drift.eigenvalue.sum("rank").values == pytest.approx(own.values**2, rel=1e-5)


def test_the_path_and_the_ellipses_lie_in_the_plane(noisy):
    W, drift = noisy
    centroid = W[:, DEAD].mean(axis=1)
    plane = drift.plane.values
    assert plane @ plane.T == pytest.approx(np.eye(2), abs=1e-6)
    path = (centroid - centroid[0]) @ plane.T
    assert drift.path.sel(population="dead").values == pytest.approx(path, abs=1e-6)
    for place, state in enumerate(drift.marked.values):
        ellipse = plane @ np.cov(W[state][DEAD].T, bias=True) @ plane.T
        found = drift.ellipse.sel(population="dead").values[place]
        assert found == pytest.approx(ellipse, abs=1e-5)
    last = (W[-1][drift.member.values] - centroid[0]) @ plane.T
    assert drift.frame_position.values[-1] == pytest.approx(last, abs=1e-5)
    assert drift.member_dead.values.tolist() == [True] * 10 + [False] * 20
    live = ~drift.member_dead.values
    assert drift.frame_frozen.values[1:, live].all()
    assert not drift.frame_frozen.values[:, ~live].any()


def test_nobody_is_frozen_where_no_update_has_been(straight):
    assert straight.frame.values[0] == 0
    assert not straight.frame_frozen.values[0].any()
    assert straight.frame_frozen.values[1:].any(axis=1).all()  # the live ones rest


def test_components_of_the_centroids_steps_carry_the_band_of_resampled_tokens(noisy):
    W, drift = noisy
    found = drift.sel(source="centroid displacement", centring="raw", rank=1)
    low, high = found.share_band.values
    assert 0 < low < float(found.share) < high or low < high <= 1
    random = np.random.default_rng(1)
    draws = []
    for _ in range(300):
        chosen = random.choice(np.flatnonzero(DEAD), DEAD.sum())
        values = np.linalg.svd(np.diff(W[:, chosen].mean(axis=1), axis=0))[1]
        draws.append(values[0] ** 2 / (values**2).sum())
    width = np.subtract(*np.quantile(draws, [0.975, 0.025]))
    assert 0.6 < (high - low) / width < 1.6


def test_thermal_motion_without_drift_is_not_one_directional(tmp_path):
    generator = np.random.default_rng(0)
    W = np.cumsum(generator.normal(size=(41, TOKENS, WIDTH)), axis=0)
    write(tmp_path, torch.from_numpy(W.astype(np.float32)))
    drift = measure_drift(tmp_path)
    assert (drift.components_above_null == 0).all()
    dead = drift.sel(population="dead")
    assert float(dead.pairwise_cosine.mean()) == pytest.approx(0, abs=0.05)
    assert float(dead.bulk_share.mean()) == pytest.approx(0.1, abs=0.05)  # 1 / 10 tokens


def test_what_is_beyond_chance_is_decided_over_all_tests_of_the_file(noisy):
    _, drift = noisy
    parts = (drift.effect_p, drift.likeness_p)
    p = np.concatenate([part.values.ravel() for part in parts])
    marks = (drift.effect_beyond_chance, drift.likeness_beyond_chance)
    marked = np.concatenate([mark.values.ravel() for mark in marks])
    known = np.isfinite(p)
    assert known.sum() > 5
    limits = 0.05 * np.arange(1, known.sum() + 1) / known.sum()  # Benjamini's and Hochberg's line
    below = np.flatnonzero(np.sort(p[known]) <= limits)
    most = np.sort(p[known])[below[-1]] if len(below) else -1
    assert (marked == (p <= most)).all()
    assert not marked[~known].any()


def test_tokens_that_were_never_sampled_are_a_cloud_of_their_own(tmp_path, monkeypatch):
    apart = np.arange(TOKENS) % 3 == 1
    known = {"dead": ("token", DEAD), "sampled": ("token", np.where(DEAD | apart, 0, 7))}
    census = xr.Dataset(known, {"token": np.arange(TOKENS)})
    monkeypatch.setattr("planted.census", lambda tokens: census)
    W = far_away()
    write(tmp_path, torch.from_numpy(W), [0, 3, 8])
    drift = measure_drift(tmp_path)
    assert drift.population.values.tolist() == ["dead", "live", "never sampled"]
    assert drift.tokens.values.tolist() == [10, 10, 10]
    assert (drift.never_sampled.values == apart).all()
    for name, chosen in (("live", ~DEAD & ~apart), ("never sampled", apart)):
        expected = W[:, chosen].mean(axis=1, dtype=float)
        assert drift.centroid.sel(population=name).values == pytest.approx(expected, rel=1e-12)
    gap = W[:, DEAD].mean(axis=1, dtype=float) - W[:, ~DEAD & ~apart].mean(axis=1, dtype=float)
    assert drift.separation.values == pytest.approx(np.linalg.norm(gap, axis=1), rel=1e-9)
    assert not np.isin(np.flatnonzero(apart), drift.member).any()  # neither dead nor live is drawn


def test_the_same_run_gives_the_same_numbers(tmp_path, noisy):
    write(tmp_path, positions(thermal=0.3), [0, 12])
    xr.testing.assert_allclose(measure_drift(tmp_path), noisy[1], rtol=1e-4, atol=1e-5)
    xr.testing.assert_identical(measure_drift(tmp_path), measure_drift(tmp_path))


def test_everything_is_labelled(straight):
    assert set(straight.data_vars) == set(VARIABLES) | {"dead", "never_sampled", "tokens"}
    for name, variable in straight.data_vars.items():
        assert name not in VARIABLES or variable.dims == VARIABLES[name][0]
        assert variable.attrs["units"] and variable.attrs["long_name"]
    assert straight.attrs["run"] == "planted"


@pytest.mark.parametrize("updates", [0, 1, 2])
def test_a_run_of_few_updates(tmp_path, updates):
    W = positions(updates)
    if not updates:
        W = W[:1]
    write(tmp_path, W, [0, updates], status="diverged", diverged_at=updates + 1)
    drift = measure_drift(tmp_path)
    assert drift.sizes["state"] == updates + 1
    moved = np.linalg.norm(DRIFT) * updates
    assert float(drift.path_length.sel(population="dead")[-1]) == pytest.approx(moved)
    share = float(drift.share.sel(source="net displacement", centring="raw", rank=1))
    assert share == pytest.approx(1 if updates else np.nan, nan_ok=True)
    assert drift.attrs["diverged_at"] == updates + 1


def test_a_run_without_dead_tokens(tmp_path, monkeypatch):
    known = {"dead": ("token", np.zeros(TOKENS, bool)), "sampled": ("token", np.ones(TOKENS, int))}
    census = xr.Dataset(known, {"token": np.arange(TOKENS)})
    monkeypatch.setattr("planted.census", lambda tokens: census)
    write(tmp_path, positions(thermal=0.3))
    drift = measure_drift(tmp_path)
    assert np.isnan(drift.sel(population="dead").radius).all()
    assert np.isnan(drift.share).all() and np.isnan(drift.path).all()
    assert (drift.components_above_null == 0).all()
    assert np.isfinite(drift.sel(population="live").radius).all()
    assert np.isfinite(drift.mean_embedding_ratio_all).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_run_that_ends_in_numbers_that_are_not_finite(tmp_path, value):
    W = positions()
    W[-1] = value
    write(tmp_path, W, status="diverged", diverged_at=UPDATES + 1)
    drift = measure_drift(tmp_path)
    assert np.isfinite(drift.radius[:-1].sel(population=["dead", "live"])).all()
    assert not np.isfinite(
        drift.share.sel(source="net displacement", centring="raw")[1:]
    ).all() or (value == 1e30)


def test_a_missing_first_segment_is_one_sentence(tmp_path):
    write(tmp_path, positions(), [0, 5, 12])
    with pytest.raises(UserError, match=r"is not the first segment of its run.*segment-000\.nc"):
        measure_drift([tmp_path / "segment-001.nc"])


def test_the_command_writes_the_file(tmp_path, caplog):
    write(tmp_path, positions())
    output = tmp_path / "out" / "drift.nc"
    with caplog.at_level("INFO"):
        call("drift", [str(tmp_path / "segment-000.nc"), "--output", str(output)])
    assert xr.load_dataset(output, engine="h5netcdf").attrs["run"] == "planted"
    assert "efficiency 1; the first component explains 100.0%" in caplog.text


@pytest.mark.parametrize("lengths", [[13], [1] * 13, [4, 9]])
def test_blocks_do_not_matter(lengths, noisy):
    W = noisy[0].astype(np.float32).transpose(1, 2, 0)
    ends = np.cumsum(lengths)
    blocks = [
        Block(np.arange(end - length, end), {"W": W[:, :, end - length : end].copy()})
        for length, end in zip(lengths, ends, strict=True)
    ]
    weights = np.full((1, DEAD.sum()), 1 / DEAD.sum(), np.float32)
    watch = Watch(partition(DEAD, ~DEAD), {0, 12}, {0, 6, 12}, {0, 3}, np.array([0, 1]), weights)
    found = follow(blocks, watch)
    assert np.concatenate(found.eigenvalues) == pytest.approx(noisy[1].eigenvalue.values, rel=1e-3)
    steps = np.diff(noisy[0][:, DEAD].mean(axis=1), axis=0)
    assert found.resampled[0] == pytest.approx(steps.T @ steps, rel=1e-4, abs=1e-5)
    assert sorted(found.W) == [0, 12]
    assert (found.W[12] == W[:, :, 12]).all()
    assert found.frozen[3].tolist() == [False, True]
    assert sorted(state for name, state in found.covariance if name == "live") == [0, 6, 12]


@pytest.mark.parametrize("tile", [3, TOKENS])
def test_resampled_centroids_are_those_of_repeated_tokens(tile, noisy, monkeypatch):
    monkeypatch.setattr("deadtokens.drift.follow.TILE", tile)
    W, drawn = noisy[0], np.random.default_rng(1).integers(DEAD.sum(), size=(5, DEAD.sum()))
    weights = np.stack([np.bincount(one, minlength=DEAD.sum()) for one in drawn]) / DEAD.sum()
    watch = Watch(
        partition(DEAD, ~DEAD), set(), set(), set(), np.array([0]), weights.astype(np.float32)
    )
    block = Block(np.arange(len(W)), {"W": W.astype(np.float32).transpose(1, 2, 0).copy()})
    found = follow([block], watch).resampled
    for one, products in zip(drawn, found, strict=True):
        steps = np.diff(W[:, DEAD][:, one].mean(axis=1), axis=0)
        assert products == pytest.approx(steps.T @ steps, rel=1e-4, abs=1e-6)


def test_early_states_and_members():
    assert early_states(1500, 7) == [0, 42, 167, 375, 667, 1042, 1500]
    assert early_states(0, 7) == [0]
    assert early_states(2, 60) == [0, 1, 2]
    members = partition(DEAD, ~DEAD)
    chosen = choose_members(members, {"dead": 3, "live": 100}, np.random.default_rng(0))
    assert DEAD[chosen].tolist() == [True] * 3 + [False] * 20
