"""Freezing: planted trajectories with known answers, through files."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import planted, write_run

from deadtokens.cli import call
from deadtokens.comparison.measures import measure
from deadtokens.freezing import moves
from deadtokens.freezing.freezing import measure_freezing
from deadtokens.run import layout

SPEC = {"spec": "{}"}


def planted_positions(updates: int = 10) -> np.ndarray:
    """Four tokens, three components; the files' census calls 0 and 3 dead.

    Token 0 moves by (3, 4, 0) until update 4 and stands then. Token 1 stands during updates 3-5,
    moves in update 6 (a thaw) and stands after. Token 2 always moves. Token 3 never does.
    """
    moves = np.zeros((4, 3, updates), np.float32)
    moves[0, :2, :4] = np.array([3, 4])[:, None]
    moves[1, 2, [0, 1, 5]] = 0.5
    moves[2, 0, :] = 1
    start = np.full((4, 3, 1), 8, np.float32)
    return np.concatenate([start, start + moves.cumsum(axis=2)], axis=2).astype(np.float32)


def measured(folder, W: np.ndarray, boundaries=None, dtype=torch.bfloat16, **attributes):
    """Write W, (tokens, components, states), as a run and measure it."""
    tensor = torch.from_numpy(np.ascontiguousarray(W.transpose(2, 0, 1))).to(dtype)
    tensors = dict.fromkeys(layout.STATE_TENSORS, tensor) | {"grad": tensor[1:]}
    boundaries = boundaries or [0, W.shape[2] - 1]
    write_run(folder, tensors, boundaries, **SPEC | attributes)
    return measure_freezing(folder)


@pytest.mark.parametrize("boundaries", [[0, 10], [0, 1, 4, 10]])
def test_planted_freezes_are_found_however_the_run_is_cut(boundaries, tmp_path):
    freezing = measured(tmp_path, planted_positions(), boundaries)
    assert freezing["update"].values.tolist() == list(range(1, 11))
    dead = freezing.sel(population="dead")
    assert dead.frozen_fraction.values.tolist() == [0.5] * 4 + [1.0] * 6
    live = freezing.frozen_fraction.sel(population="live")
    assert live.values.tolist() == [0, 0, 0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5]
    assert freezing.last_change.values.tolist() == [4, 6, 10, 0]
    assert freezing.censored.values.tolist() == [False, False, True, False]
    recorded = freezing.sel(grid="recorded")
    assert recorded.thaws.values.tolist() == [0, 1, 0, 0]
    assert recorded.longest_broken.values.tolist() == [0, 3, 0, 0]
    assert recorded.longest_still.values.tolist() == [6, 4, 0, 10]
    assert recorded.unsettled.values.tolist() == [True, True, True, False]  # too short to tell
    assert dead.displacement_quantile.sel(quantile=0.5).values.tolist() == [2.5] * 4 + [0.0] * 6
    assert dead.centroid_speed.values == pytest.approx([2.5] * 4 + [0] * 6)
    assert dead.centroid_acceleration.values[1:] == pytest.approx([0] * 3 + [2.5] + [0] * 5)
    assert np.isnan(dead.centroid_acceleration[0])
    # The two dead tokens, d apart, have each a distance of d / 2 from their centroid.
    assert freezing.radius.values == pytest.approx(2.5 * np.array([1, 2, 3, 4, 4, 4, 4, 4, 4, 4]))
    assert freezing.radius_velocity.values == pytest.approx([2.5] * 4 + [0] * 6)


def test_cuts_change_nothing(tmp_path):
    W = planted(steps=150, tokens=7, width=5)["W"].float().numpy().transpose(1, 2, 0)
    W = np.nan_to_num(np.clip(W, -1e3, 1e3))
    answers = []
    for name, boundaries in (("one", [0, 150]), ("three", [0, 40, 41, 150])):
        (tmp_path / name).mkdir()
        answers.append(measured(tmp_path / name, W, boundaries))
    xr.testing.assert_allclose(*answers, rtol=1e-6)  # long sums round in another order
    for name in ("last_motion", "thaws", "longest_broken", "hops", "phase_fraction", "strata"):
        xr.testing.assert_equal(answers[0][name], answers[1][name])


def test_survival_says_who_is_still_in_motion(tmp_path):
    freezing = measured(tmp_path, planted_positions())
    live = freezing.surviving_fraction.sel(population="live", grid="recorded")
    assert live.sel(criterion="last motion").values.tolist() == [1.0] * 5 + [0.5] * 5
    dead = freezing.surviving_fraction.sel(population="dead", grid="recorded")
    assert dead.sel(criterion="settled").values.tolist() == [0.5] * 10
    (tmp_path / "longer").mkdir()
    longer = measured(tmp_path / "longer", planted_positions(14))
    dead = longer.surviving_fraction.sel(population="dead", grid="recorded")
    assert dead.sel(criterion="settled").values.tolist() == [0.5] * 3 + [0.0] * 11


def test_onsets_of_the_dead(tmp_path):
    freezing = measured(tmp_path, planted_positions(14))
    onset = freezing.sel(definition="last motion of 100%")
    assert (onset.onset, onset.onset_duration, onset.onset_ongoing) == (4, 11, True)
    assert float(freezing.onset.sel(definition="last motion of 50%")) == 1
    still = freezing.sel(definition="global stillness")
    assert (still.onset, still.onset_lasting) == (5, 5)


def test_onsets_and_transitions_date_the_same_motion_by_the_same_update(tmp_path):
    freezing = measured(tmp_path, gas_to_solid())
    passed = freezing.transition_update.sel(transition="hops to stillness", grid="recorded")
    for level in (0.5, 0.9):
        onset = freezing.onset.sel(definition=f"last motion of {level:.0%}")
        assert float(onset) == float(passed.sel(level=level))
        assert freezing.surviving_fraction.sel(
            population="dead", grid="recorded", criterion="last motion", update=int(onset)
        ) == pytest.approx(1 - level, abs=1 / 34)


@pytest.mark.parametrize("last", [206, 160, 140, 100, 60])
def test_the_outcome_and_the_transition_date_half_of_the_last_motions_alike(tmp_path, last):
    """The dead tokens are 34, and the later the record ends the more of them have settled."""
    freezing = measured(tmp_path, gas_to_solid()[:, :, :last])
    of_half = {"transition": "hops to settled stillness", "grid": "recorded", "level": 0.5}
    median, reason = measure("freezing.nc", freezing)["last_motion"]
    assert median == pytest.approx(float(freezing.transition_update.sel(of_half)), nan_ok=True)
    unsettled = freezing.unsettled.sel(grid="recorded").values[freezing.dead]
    assert np.isnan(median) == (np.mean(unsettled) > 0.5) == bool(reason)


def test_a_stillness_of_a_few_updates_is_not_for_good(tmp_path):
    """Of the transitions by which no token was seen to move again, those at the end say nothing."""
    cut = measured(tmp_path, gas_to_solid()[:, :, :206])  # token 99 was still for seven updates
    stopped = cut.transition_update.sel(transition="hops to stillness", grid="recorded")
    assert stopped.values[:2].tolist() == [18, 96]
    assert np.isfinite(stopped[2])  # token 90 stopped at 180
    assert np.isnan(cut.onset.sel(definition="last motion of 100%"))
    assert np.isnan(cut.onset_lasting.sel(definition="global stillness"))
    assert cut.onset.sel(definition="global stillness") == 199
    assert cut.unsettled.sel(token=99, grid="recorded")


def test_quantiles_are_numpys(tmp_path):
    generator = np.random.default_rng(3)
    W = generator.normal(size=(30, 4, 9)).astype(np.float32)
    freezing = measured(tmp_path, W, dtype=torch.float32)
    dead = np.arange(30) % 3 == 0
    norms = np.linalg.norm(np.diff(W.astype(float), axis=2), axis=1)
    for population, chosen in (("dead", dead), ("live", ~dead)):
        expected = np.quantile(norms[chosen], moves.QUANTILES, axis=0).T
        found = freezing.displacement_quantile.sel(population=population)
        assert found.values == pytest.approx(expected, rel=1e-5)
    centre = W[dead].astype(float).mean(axis=0)
    distance = np.linalg.norm(W[dead] - centre, axis=1)
    expected = np.sqrt((distance**2).mean(axis=0))[1:]
    assert freezing.radius.values == pytest.approx(expected, rel=1e-6)


def creeping() -> np.ndarray:
    """One dead and two live float32 tokens that creep on within one step of bfloat16's grid."""
    steps = np.arange(8, dtype=np.float32) * 2.0**-20
    return np.broadcast_to(1 + steps, (3, 2, 8)).astype(np.float32)


def test_the_grids_disagree_where_float32_creeps(tmp_path):
    freezing = measured(tmp_path, creeping(), dtype=torch.float32)
    frozen = freezing.phase_fraction.sel(phase="frozen", population="dead")
    assert frozen.sel(grid="bfloat16").values.tolist() == [1.0] * 7
    assert frozen.sel(grid="recorded").values.tolist() == [0.0] * 7
    assert freezing.frozen_fraction.sel(population="dead").values.tolist() == [0.0] * 7
    early = freezing.last_in_phase.sel(phase="early", token=0)
    assert early.sel(grid="recorded") == 7
    assert early.sel(grid="bfloat16") == 0


def gas_to_solid() -> np.ndarray:
    """A hundred tokens, every third dead: token i jitters to update i, hops to 2 i, then stands."""
    updates, tokens = np.arange(1, 221), np.arange(100)[:, None]
    step = 2.0**-7  # an ulp from 1 on
    # Two ulps to and fro in the jitter, one in the hops: the weight stays between 1 and 2.
    sign = np.where(updates % 2, 1, -1)
    size = np.where(updates <= tokens, 2, np.where(updates <= 2 * tokens, 1, 0)) * step
    moves = np.concatenate([np.zeros((100, 1)), sign * size], axis=1).cumsum(axis=1)
    W = np.ones((100, 2, 221), np.float32)
    W[:, 0] = 1.5 + moves
    return W


def test_the_transition_from_jitter_to_hops_to_stillness(tmp_path):
    freezing = measured(tmp_path, gas_to_solid(), [0, 60, 130, 220])
    recorded = freezing.sel(grid="recorded")
    tokens = np.arange(100)
    assert (recorded.last_jitter == tokens).all()
    assert (recorded.last_motion == 2 * tokens).all()
    assert (recorded.hops == tokens).all()
    assert recorded.transition_update.sel(transition="jitter to hops").values.tolist() == [
        9,
        48,
        90,
    ]
    width = recorded.transition_width
    assert width.values.tolist() == [81, 162, 162]
    hopping = freezing.hop_fraction.sel(population="dead", update=30, grid="recorded")
    assert hopping == np.mean((tokens[::3] < 30) & (2 * tokens[::3] >= 30))


def test_strata_show_sampled_tokens_in_order(tmp_path):
    freezing = measured(tmp_path, gas_to_solid()[::-1], [0, 220])
    updates, tokens = freezing.strata_update.values, freezing.strata_token.values
    assert tokens.tolist() == list(range(99, -1, -3))  # reversed: the last token freezes first
    own = 99 - tokens[:, None]
    expected = np.where(updates <= own, 0, np.where(updates <= 2 * own, 2, 3))
    # An update of two ulps in one of two components is above the root of 2: early.
    assert (freezing.strata.values == expected).all()


def test_effects_are_of_the_dead(tmp_path):
    W = gas_to_solid()
    W[:, 1] = np.arange(100, dtype=np.float32)[:, None]  # the norm grows with the token
    freezing = measured(tmp_path, W)
    effect = freezing.sel(property="initial norm", transition="hops to stillness")
    assert effect.effect == 1
    assert effect.effect_tokens == 34
    assert str(effect.effect_measure.values) == "Spearman's correlation"
    assert freezing.effect_low.dims == ("transition", "property")


def test_an_empty_population_is_nan(tmp_path):
    W = planted_positions()[:1]  # the one token is dead
    freezing = measured(tmp_path, W)
    live = freezing.sel(population="live")
    for name in (
        "frozen_fraction",
        "displacement_quantile",
        "surviving_fraction",
        "centroid_speed",
    ):
        assert np.isnan(live[name]).all()
    assert (freezing.radius == 0).all()


def test_a_run_without_updates(tmp_path):
    freezing = measured(
        tmp_path, planted_positions()[:, :, :1], [0, 0], status="diverged", diverged_at=1
    )
    assert freezing.sizes["update"] == 0
    assert freezing.frozen_fraction.dims == ("update", "population")
    assert freezing.last_change.values.tolist() == [0] * 4
    assert freezing.censored.all()
    assert np.isnan(freezing.onset).all()
    assert freezing.strata.size == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_infinities_and_nans_of_a_diverged_run_are_no_accident(dtype, tmp_path):
    tensors = planted(steps=5, tokens=9, width=4, dtype=dtype)
    write_run(tmp_path, tensors, [0, 5], **SPEC)
    freezing = measure_freezing(tmp_path)
    bits = tensors["W"].view(torch.int16 if dtype is torch.bfloat16 else torch.int32).numpy()
    still = (bits[1:] == bits[:-1]).all(axis=2)[:, ::3]
    assert (freezing.frozen_fraction.sel(population="dead") == still.mean(axis=1)).all()


def test_only_W_is_needed(tmp_path):
    tensors = planted(steps=3, tokens=4, width=4)
    write_run(tmp_path, tensors, [0, 3], names=("W",), **SPEC)
    assert measure_freezing(tmp_path).sizes["update"] == 3


def test_memory_does_not_grow_with_the_run(tmp_path, monkeypatch):
    """Windows are of few chunks, and all but small rows is of a window's size."""
    lengths = []
    follow = moves.Lives.follow
    monkeypatch.setattr(
        moves.Lives,
        "follow",
        lambda lives, phase, *how: (lengths.append(phase.shape[-1]), follow(lives, phase, *how)),
    )
    measured(tmp_path, np.ones((2, 3, 641), np.float32))
    assert sum(lengths) == 640
    assert max(lengths) < 5 * layout.STEPS_PER_CHUNK


def test_the_command_writes_a_labelled_file(tmp_path, caplog):
    caplog.set_level("INFO")
    measured(tmp_path, planted_positions())
    output = tmp_path / "freezing.nc"
    call("freezing", [str(tmp_path / "segment-000.nc"), "--output", str(output)])
    freezing = xr.load_dataset(output)
    assert freezing.attrs["run"] == "planted"
    for name in freezing.data_vars:
        assert freezing[name].attrs["long_name"], name
        assert freezing[name].attrs["units"], name
    assert "freezing planted: 100.0% of the dead tokens are frozen at update 10" in caplog.text
