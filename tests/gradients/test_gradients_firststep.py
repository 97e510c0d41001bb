"""Adam's first update: the table of the derivation, planted components, trained runs."""

import numpy as np
import pytest
from scipy.special import gammaln
from tiny import tiny_census, tiny_spec, tiny_trainer

from deadtokens.gradients.firststep import (
    EXAMPLES,
    bin_by_gradient,
    example_table,
    intended_over_lr,
    measure_first_step,
    multiplier,
    row_summary,
)
from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.spec import RunSpec
from deadtokens.seal import seal
from deadtokens.statistics.cosines import SIGN_COSINE
from deadtokens.training.segment import record_segment
from deadtokens.trajectory.populations import partition

ADAM = Hyperparameters(0.9, 0.999, 1e-8, 0.0)
DEAD = tiny_census().dead.values
MEMBERS = partition(DEAD, ~DEAD)


def first_step(folder, **fields):
    """Train four updates of a tiny run and measure the first."""
    spec = tiny_spec(**fields)
    path = folder / "segment-000.nc"
    about = {"run": "tiny", "spec": spec.json_text()}
    record_segment("tiny", tiny_trainer(**fields), 0, path, tiny_census(), about)
    seal(path)
    step = measure_first_step([path], spec, MEMBERS)
    assert np.isnan(step.row_displacement.sel(population="never sampled"))
    return step.sel(population=["dead", "live"])


def test_the_table_of_the_derivation():
    expected = [1.0000, 0.9999, 0.9901, 0.5000, 0.0099, 0.0001, 1.0000, 0.0176]
    assert example_table(RunSpec()).round(4).tolist() == expected
    assert multiplier(EXAMPLES, 1e-8).round(4).tolist() == expected


@pytest.mark.parametrize("g", [3.0, -2e-5, 4e-9, -1e-14])
def test_the_intended_update_of_first_moments_is_the_curve(g):
    intended = intended_over_lr(
        {"exp_avg": np.array([0.1 * g]), "exp_avg_sq": np.array([0.001 * g * g])}, [g], 1, ADAM
    )
    assert intended == pytest.approx(-np.sign(g) * multiplier(g, 1e-8), rel=1e-9)


def test_the_limits_are_sign_and_proportion():
    assert multiplier(1e3, 1e-8) == pytest.approx(1, abs=1e-10)
    assert multiplier(2e-15, 1e-8) == pytest.approx(2e-7, rel=1e-6)


def test_components_are_binned_by_their_gradient():
    edges = np.array([1e-3, 1e-2, 1e-1, 1.0])
    gradient = np.array([2e-3, 8e-3, 0.5, 0.0])
    intended, realised = np.array([1.0, 3.0, 5.0, 9.0]), np.array([0.0, 2.0, 4.0, 9.0])
    found = bin_by_gradient(gradient, intended, realised, edges)
    assert found["first_count"].tolist() == [2, 0, 1]
    assert found["first_gradient"][[0, 2]] == pytest.approx([4e-3, 0.5])
    assert found["first_intended"][0] == pytest.approx([1.1, 2.0, 2.9])
    assert found["first_realised"][2] == pytest.approx([4, 4, 4])
    assert np.isnan(found["first_intended"][1]).all()


def test_rows_are_summarised():
    gradient = np.array([[1e-3, -1e-3], [1e-8, 1e-3]])
    intended = -np.sign(gradient) * multiplier(gradient, 1e-8)
    realised = intended.copy()
    realised[1, 0] = 0
    found = row_summary(gradient, intended, realised, 1e-8)
    assert found["curve_error"] == pytest.approx(0, abs=1e-15)
    assert found["lost_share"] == 0.25
    assert found["row_displacement"] == pytest.approx((1 + np.sqrt(0.5)) / 2, rel=1e-4)
    assert found["row_intended"] == pytest.approx((1 + np.sqrt(1.25 / 2)) / 2, rel=1e-4)
    assert found["rounding"] == pytest.approx(0.5 / np.sqrt(3.25), rel=1e-4)
    assert np.isnan(list(row_summary(gradient[:0], intended[:0], realised[:0], 1).values())).all()


@pytest.mark.parametrize("width", [2, 16, 256])
def test_the_sign_of_normal_gradients_has_a_cosine_of_the_root_of_two_over_pi(width):
    """In D dimensions exactly sqrt(D) times the mean size of a component of a unit vector."""
    gradient = np.random.default_rng(0).normal(size=(20_000, width)) * 1e-3
    step = -np.sign(gradient) * multiplier(gradient, 1e-12)
    found = row_summary(gradient, step, step, 1e-12)["gradient_cosine"]
    size = np.exp(gammaln(width / 2) - gammaln((width + 1) / 2)) / np.sqrt(np.pi)
    assert found == pytest.approx(-np.sqrt(width) * size, abs=2e-3)
    assert abs(found + SIGN_COSINE) < 0.25 / width + 1e-3
    assert pytest.approx(np.sqrt(2 / np.pi)) == SIGN_COSINE


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda normal: np.sign(normal), -1.0),  # all components alike
        (lambda normal: normal**3, -2 * np.sqrt(2 / np.pi) / np.sqrt(15)),  # moments 3 and 6
    ],
)
def test_other_gradients_have_other_cosines(draw, expected):
    """Negative control: it is the gradients' distribution that makes 0.80, not the update."""
    gradient = draw(np.random.default_rng(1).normal(size=(2000, 256)))
    step = -np.sign(gradient)
    found = row_summary(gradient, step, step, 1e-12)["gradient_cosine"]
    assert found == pytest.approx(expected, abs=0.02)


def test_far_below_eps_the_first_step_is_along_the_gradient():
    gradient = 1e-9 * np.random.default_rng(2).normal(size=(50, 16))
    step = -np.sign(gradient) * multiplier(gradient, 1.0)
    step[:25] = 0  # at rest: left out
    found = row_summary(gradient, step, step, 1.0)["gradient_cosine"]
    assert found == pytest.approx(-1)
    assert np.isnan(row_summary(gradient, step, 0 * step, 1.0)["gradient_cosine"])


@pytest.mark.parametrize(
    ("precision", "curve", "rounding"), [("fp32", 1e-6, 1e-4), ("pure-bf16", 0.01, 0.2)]
)
def test_a_trained_run_follows_the_curve(precision, curve, rounding, tmp_path):
    step = first_step(tmp_path, precision=precision, eps=1e-3, embedding_std=0.1)
    assert (step.curve_error < curve).all()
    assert (step.rounding < rounding).all()
    inside = step.first_count > 0
    expected = multiplier(step.first_gradient, 1e-3)
    median = step.first_intended.sel(spread=0.5)
    off = np.abs(median - expected).where(inside, 0)
    assert off.max() < 0.03  # of a bin's median to its mean
    assert int(step.first_count.sum()) == DEAD.size * 8


def test_without_weights_near_zero_a_row_moves_by_lr_sqrt_d(tmp_path):
    step = first_step(tmp_path, precision="fp32")
    assert step.row_displacement.values == pytest.approx([1, 1], abs=2e-3)
    wide = first_step(tmp_path, precision="pure-bf16", embedding_std=2.0, lr=1e-4, tied=False)
    assert (wide.lost_share > 0.9).all()  # half an ulp of 2 is 0.008


def test_a_saturated_softmax_leaves_the_sign_regime(tmp_path):
    """The whole riddle at once: tied and of standard deviation 8, dead gradients are below eps."""
    step = first_step(tmp_path, precision="fp32", embedding_std=8.0)
    dead, live = step.row_intended.values
    assert dead < 0.3
    assert live > 0.5
    untied = first_step(tmp_path, precision="fp32", embedding_std=8.0, tied=False)
    assert untied.row_intended.sel(population="dead") > 0.9


def test_warmup_divides_by_the_first_learning_rate(tmp_path):
    step = first_step(tmp_path, precision="fp32", warmup=10)
    assert step.row_displacement.values == pytest.approx([1, 1], abs=2e-3)
