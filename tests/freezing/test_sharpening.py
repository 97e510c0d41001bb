"""What drives dead components: planted tensors, and torch's own optimizer."""

import numpy as np
import pytest
import torch
import xarray as xr
from planted import write_run

from deadtokens.cli import call
from deadtokens.freezing import sharpening as sharpening_module
from deadtokens.freezing.forces import (
    FORCES,
    TREND,
    available,
    fastest_decay,
    forces_of,
    gradient_decay,
)
from deadtokens.freezing.sharpening import (
    measure_sharpening,
    sample_in_words,
    sampled_tokens,
)
from deadtokens.run.hyperparameters import Hyperparameters, hyperparameters
from deadtokens.run.spec import RunSpec
from deadtokens.ulp import spacing

TOKENS, WIDTH = 7, 4  # the files' census calls 0, 3 and 6 dead
DEAD = [0, 3, 6]
SPEC = RunSpec(precision="fp32", width=WIDTH, heads=1, lr=1e-3)


def trained(updates, decay=0.02, dtype=torch.float32):
    """Train a matrix by torch's AdamW on gradients that fall; return the record."""
    generator = torch.Generator().manual_seed(0)
    W = torch.nn.Parameter(torch.randn(TOKENS, WIDTH, generator=generator).mul(0.02).to(dtype))
    optimizer = torch.optim.AdamW([W], lr=1e-3, weight_decay=0, foreach=False)
    zeros = torch.zeros(TOKENS, WIDTH, dtype=dtype)
    record = {"W": [W.detach().clone()], "grad": [], "exp_avg": [zeros], "exp_avg_sq": [zeros]}
    for t in range(updates):
        noise = torch.randn(TOKENS, WIDTH, generator=generator)
        W.grad = (1e-4 * np.exp(-decay * t) * (1 + 0.1 * noise)).to(dtype)
        record["grad"].append(W.grad.clone())
        optimizer.step()
        record["W"].append(W.detach().clone())
        for name in ("exp_avg", "exp_avg_sq"):
            record[name].append(optimizer.state[W][name].clone())
    return {name: torch.stack(tensors) for name, tensors in record.items()}


def measured(folder, tensors, boundaries, names=None, spec=SPEC):
    names = names or ("W", "exp_avg", "exp_avg_sq", "grad")
    write_run(folder, tensors, boundaries, names=names, spec=spec.json_text())
    return measure_sharpening(folder)


@pytest.fixture(scope="module")
def record():
    return trained(150)


@pytest.fixture(scope="module")
def whole(record, tmp_path_factory):
    return measured(tmp_path_factory.mktemp("whole"), record, [0, 60, 150])


def test_medians_are_those_of_the_dead_components(record, whole):
    grad = record["grad"][:, DEAD].abs().double().numpy().reshape(150, -1)
    assert whole.gradient_median.values == pytest.approx(np.median(grad, axis=1), rel=1e-6)
    moved = record["W"].diff(dim=0)[:, DEAD].abs().double().numpy().reshape(150, -1)
    assert whole.displacement_median.values == pytest.approx(np.median(moved, axis=1), rel=1e-6)
    assert whole.displacement_mean.values == pytest.approx(moved.mean(axis=1), rel=1e-6)
    walls = spacing(record["W"][:-1, DEAD].numpy(), "bfloat16").reshape(150, -1) / 2
    assert whole.wall_median.values == pytest.approx(np.median(walls, axis=1))


def test_the_intended_update_is_what_torch_did_in_float32(record, whole):
    # Nearly nothing is rounded away there, so that the recorded displacement is the intended one.
    assert whole.intended_median.values == pytest.approx(whole.displacement_median.values, rel=1e-3)
    assert whole.momentum_ratio_median.values * 1e-3 == pytest.approx(whole.intended_median.values)
    assert whole.gradient_ratio_median[0] == pytest.approx(1 / (1 + 1e-8 / 1e-4), rel=1e-3)


def test_in_bfloat16_the_intended_update_stays_and_the_displacement_stops(tmp_path):
    record = trained(60, decay=0, dtype=torch.bfloat16)
    record["W"] = record["W"] + 1  # half an ulp of numbers near 1: 2 ** -9 and more
    spec = RunSpec(precision="pure-bf16", width=WIDTH, heads=1)
    found = measured(tmp_path, record, [0, 60], spec=spec)
    assert (found.displacement_median == 0).all()
    assert found.intended_median.values == pytest.approx(np.full(60, 1e-3), rel=0.1)
    assert (found.intended_in_walls_median < 0.6).all()


def test_a_sample_is_of_the_dead_all_over_the_vocabulary():
    generator = np.random.default_rng(0)
    dead = generator.random(40_000) < 0.25
    dead[:10_000] = False
    chosen = sampled_tokens(dead, rows=65)
    assert (dead | ~chosen).all()
    assert 256 <= np.count_nonzero(chosen) < 400
    stretches = np.arange(40_000) // 65
    for stretch in np.unique(stretches[chosen]):
        assert (chosen == dead)[stretches == stretch].all()
    assert np.ptp(np.flatnonzero(chosen)) > 0.9 * 30_000


@pytest.mark.parametrize("number", [300, 1011])
def test_the_sample_is_the_one_in_words(number):
    dead = np.arange(4096) >= 4096 - number
    chosen = np.flatnonzero(sampled_tokens(dead, rows=65))
    words = sample_in_words(dead, rows=65)
    if number == 300:
        assert words == "all dead tokens"
        assert chosen.tolist() == np.flatnonzero(dead).tolist()
        return
    assert words.startswith("all dead tokens in one of 3 of the stretches of 65 tokens,")
    stretches = np.unique(np.flatnonzero(dead) // 65)
    assert np.unique(chosen // 65).tolist() == stretches[::3].tolist()


@pytest.mark.parametrize("number", [0, 1, 300])
def test_few_dead_tokens_are_all_in_the_sample(number):
    dead = np.arange(5000) >= 5000 - number
    assert (sampled_tokens(dead, rows=65) == dead).all()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgds_update_by_hand(momentum):
    hyper = Hyperparameters(momentum, 0.0, 0.0, 0.0, "sgd")
    values = {"W": np.array([[1.0], [1.5]], np.float32), "grad": np.array([[-6.0]], np.float32)}
    values |= {"exp_avg": np.array([[-20.0]], np.float32)} if momentum else {}
    found = forces_of(values, np.array([2]), np.array([0.1]), hyper)
    step = 2.0 if momentum else 0.6
    assert found["intended"] == pytest.approx(step)
    assert found["intended_in_walls"] == pytest.approx(step * 2**8)
    assert set(found) == set(available(tuple(values), hyper))
    assert "intended" not in available(("W",), hyper)


def test_forces_by_hand():
    hyper = Hyperparameters(beta1=0.5, beta2=0.75, eps=1.0, weight_decay=0.0)
    values = {
        "W": np.array([[1.0], [1.5]], np.float32),
        "grad": np.array([[-6.0]], np.float32),
        "exp_avg": np.array([[-3.0]], np.float32),
        "exp_avg_sq": np.array([[9 * 0.4375]], np.float32),
    }
    found = forces_of(values, np.array([2]), np.array([0.1]), hyper)
    # At t = 2 the corrections are 1 - 0.5 ** 2 = 0.75 and 1 - 0.75 ** 2 = 0.4375.
    expected = {
        "gradient": 6,
        "root_second_moment": 3,
        "gradient_ratio": 1.5,
        "momentum_ratio": 1,
        "intended": 0.1,
        "intended_in_walls": 25.6,
        "displacement": 0.5,
        "wall": 2.0**-8,
    }
    assert {name: rows.tolist() for name, rows in found.items()} == {
        name: [[pytest.approx(value)]] for name, value in expected.items()
    }


@pytest.mark.parametrize("names", [("W",), ("W", "exp_avg", "exp_avg_sq")])
def test_what_was_not_recorded_is_left_out_and_said(names, record, tmp_path):
    found = measured(tmp_path, record, [0, 150], names=names)
    there = {name for name in FORCES if f"{name}_median" in found}
    assert there == set(available(names, hyperparameters(SPEC)))
    missing = set(FORCES) - there
    assert all(name in found.attrs["left_out"] for name in missing)
    assert "temperature of the predictions" in found.attrs["left_out"]
    assert found.attrs["sample"] == "all dead tokens"
    assert "gradients.nc has it" in found.attrs["left_out"]
    assert "probability_median" in found


def test_windows_change_nothing(record, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(sharpening_module, "WINDOW_BYTES", 1)  # one chunk at a time
    monkeypatch.setattr(sharpening_module, "UPDATES_AT_A_TIME", 7)
    found = measured(tmp_path, record, [0, 150])
    for name in whole.data_vars:
        np.testing.assert_array_equal(found[name], whole[name])


def test_a_planted_decay_is_found_and_outruns_the_second_moment(whole):
    assert np.isnan(whole.gradient_decay[: TREND - 1]).all()
    assert whole.gradient_decay.values[TREND:] == pytest.approx(0.02, rel=0.05)
    times = TREND - 1
    late = whole.isel(update=slice(times, None))
    assert (late.gradient_decay > late.fastest_decay)[10:].all()
    fell = -np.log(whole.root_second_moment_median.values[times:]).astype(float)
    fell += np.log(whole.root_second_moment_median.values[:-times])
    assert (fell / times <= late.fastest_decay.values + 1e-6).all()
    assert (whole.gradient_decay.isnull() == whole.fastest_decay.isnull()).all()


def test_the_fastest_decay_is_that_without_a_gradient():
    beta2, updates = 0.99, np.arange(1, 301)
    root = np.sqrt(beta2**updates / (1 - beta2 ** updates.astype(float)))
    found = fastest_decay(updates, beta2)
    times = TREND - 1
    assert np.isnan(found[:times]).all()
    expected = np.log(root[:-times] / root[times:]) / times
    assert found[times:] == pytest.approx(expected)
    assert found[-1] == pytest.approx(0.005, rel=0.2)  # late: half of 1 - beta2


def test_decays_of_planted_sizes():
    times = np.arange(250)
    assert gradient_decay(np.exp(-0.01 * times))[TREND - 1 :] == pytest.approx(0.01)
    assert gradient_decay(np.full(250, 3.0))[TREND - 1 :] == pytest.approx(0, abs=1e-12)
    assert np.isnan(gradient_decay(np.ones(TREND - 1))).all()
    with_zero = np.ones(250)
    with_zero[120] = 0
    found = gradient_decay(with_zero)
    assert np.isfinite(found[119])
    assert np.isnan(found[120 : 120 + TREND]).all()


def test_a_run_without_updates_or_without_dead_tokens(record, tmp_path):
    none = {name: tensor[: 1 if name != "grad" else 0] for name, tensor in record.items()}
    (tmp_path / "none").mkdir()
    assert measured(tmp_path / "none", none, [0, 0]).sizes["update"] == 0
    live = measured(tmp_path, record, [0, 150])
    assert live.attrs["dead_tokens"] == 3


def test_the_command_writes_a_labelled_file(record, tmp_path, caplog):
    caplog.set_level("INFO")
    measured(tmp_path, record, [0, 150])
    output = tmp_path / "sharpening.nc"
    call("sharpening", [str(tmp_path / "segment-000.nc"), "--output", str(output)])
    found = xr.load_dataset(output)
    for name in found.data_vars:
        assert found[name].attrs["long_name"], name
        assert found[name].attrs["units"], name
    assert "quantities over 150 updates" in caplog.text
