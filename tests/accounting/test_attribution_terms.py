"""Terms, bound and ages by themselves: closure and bound hold for any hyper-parameters."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.accounting.ages import REACH, GradientHistory, RecentAverages, split_by_age
from deadtokens.accounting.bound import SMALLEST, UNIT, binade, rounding_bound, roundings
from deadtokens.accounting.quantiles import quantiles_of_finite
from deadtokens.accounting.terms import (
    coefficients,
    inverse_denominator,
    split_displacement,
)
from deadtokens.training.optimizer import hyperparameters, learning_rate, update_W
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import RunSpec
from deadtokens.ulp import half_ulps, spacing

specs = st.builds(
    RunSpec,
    precision=st.sampled_from(list(REGIMES)),
    lr=st.sampled_from([1e-5, 3e-4, 1e-3, 0.1]),
    beta1=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99]),
    beta2=st.sampled_from([0.0, 0.9, 0.99, 0.997, 0.999]),
    eps=st.sampled_from([1e-12, 1e-8, 1e-3]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.1, 5.0, 40.0]),
    width=st.just(8),
    warmup=st.sampled_from([0, 3]),
)


def replayed(spec, seed, updates=5):
    """Yield what the run's own optimizer finds and leaves, update by update."""
    generator = torch.Generator().manual_seed(seed)
    regime = REGIMES[spec.precision]
    weights, moments = (getattr(torch, name) for name in (regime.weights, regime.moments))
    W = torch.randn(6, 8, generator=generator).mul(0.02).to(weights)
    state = {"W": W, "exp_avg": torch.zeros(6, 8, dtype=moments)}
    state["exp_avg_sq"] = state["exp_avg"].clone()
    for t in range(1, updates + 1):
        scale = 10.0 ** torch.randint(-14, 2, (6, 8), generator=generator)
        grad = (torch.randn(6, 8, generator=generator) * scale).to(weights)
        grad[:, ::5] = 0
        before = {name: tensor.clone() for name, tensor in state.items()}
        update_W(spec, state, grad, t, 0)
        yield t, before, {name: tensor.clone() for name, tensor in state.items()}, grad


def split(spec, t, before, after, grad, lr=None):
    hyper = hyperparameters(spec)
    factors = coefficients(t, lr or learning_rate(spec, t), hyper)
    W = before["W"], after["W"]
    inverse = inverse_denominator(after["exp_avg_sq"], t, hyper)
    vectors = split_displacement(W, grad.double(), before["exp_avg"].double(), inverse, factors)
    bound = rounding_bound(W, vectors, factors, roundings(REGIMES[spec.precision]))
    return vectors, factors, bound


@settings(max_examples=150, deadline=None)
@given(spec=specs, seed=st.integers(0, 10**6))
def test_terms_close_and_rounding_keeps_its_bound(spec, seed):
    for t, before, after, grad in replayed(spec, seed):
        vectors, factors, bound = split(spec, t, before, after, grad)
        sizes = (torch.from_numpy(factors)[:, None, None] * vectors[:4]).abs().sum(0)
        terms = torch.from_numpy(factors)[:, None, None] * vectors[:4]
        gap = terms.sum(0) - vectors[4]
        assert (gap.abs() <= 1e-12 * sizes).all()
        assert (vectors[3].abs() <= bound).all()
        assert torch.equal(vectors[4], after["W"].double() - before["W"].double())


@pytest.mark.parametrize("precision", REGIMES)
def test_a_wrong_learning_rate_breaks_the_bound(precision):
    """Beside the bound of pure bf16 a per cent is lost: its own operations lose as much."""
    wrong = 1.05 if precision == "pure-bf16" else 1.01
    spec = RunSpec(precision=precision, lr=0.1)
    broken = 0
    for t, before, after, grad in replayed(spec, 1):
        vectors, _, bound = split(spec, t, before, after, grad, lr=0.1 * wrong)
        broken += int((vectors[3].abs() > bound).sum())
    assert broken > 10


def test_the_bound_is_reached_where_the_weight_does_not_move():
    """At rest all of the step is rounded away: just below half an ulp it fills the bound."""
    W = torch.full((1, 1), 1.0, dtype=torch.bfloat16)
    spec = RunSpec(precision="bf16-weights", lr=2**-8 * 0.999)
    state = {"W": W.clone(), "exp_avg": torch.zeros(1, 1), "exp_avg_sq": torch.zeros(1, 1)}
    before = {name: tensor.clone() for name, tensor in state.items()}
    grad = torch.full((1, 1), -1.0, dtype=torch.bfloat16)
    update_W(spec, state, grad, 1, 0)
    vectors, factors, bound = split(spec, 1, before, state, grad)
    assert torch.equal(state["W"], W)
    ratio = float(vectors[3].abs() / bound)
    assert ratio == pytest.approx(0.999, abs=1e-4)
    assert float(vectors[1]) * factors[1] == pytest.approx(2**-8 * 0.999, rel=1e-6)


@pytest.mark.parametrize(("format", "kind"), [("bfloat16", torch.int16), ("float32", torch.int32)])
def test_half_ulps_by_bits_are_those_of_the_definition(format, kind):
    dtype = getattr(torch, format)
    generator = np.random.default_rng(0)
    limit = 2 ** (torch.iinfo(kind).bits - 1)
    patterns = generator.integers(-limit, limit, 70_000)
    values = torch.from_numpy(patterns).to(kind).view(dtype)
    values = values[values.isfinite() & (values.float().abs() >= SMALLEST)]
    assert len(values) > 10_000
    _, away = half_ulps(values.float().numpy(), format)
    fast = binade(values).numpy() * UNIT[format]
    assert (fast == away).all()
    assert (fast == spacing(values.float().numpy(), format) / 2).all()


def test_small_numbers_have_the_ulp_of_the_smallest():
    values = torch.tensor([0.0, -0.0, 1e-40, 2.0**-65, 2.0**-64], dtype=torch.float32)
    assert binade(values).tolist() == [2.0**-64] * 5


@given(beta1=st.sampled_from([0.0, 0.5, 0.9, 0.99]), lengths=st.lists(st.integers(1, 140)))
@settings(max_examples=15, deadline=None)
def test_averages_of_any_segments_are_those_of_the_whole(beta1, lengths):
    total = sum(lengths)
    grads = torch.randn(total, 3, 2, generator=torch.Generator().manual_seed(0)).bfloat16()
    whole = RecentAverages(torch.zeros(3, 2).double(), torch.zeros(REACH - 1, 3, 2), beta1)
    history, rows = GradientHistory(5, 2, beta1, torch.bfloat16), slice(1, 4)
    first = 0
    for length in lengths:
        averages = history.recall(rows)
        for grad in grads[first : first + length]:
            for age in (1, 10, 100):
                assert torch.equal(averages.ago(age), whole.ago(age))
            averages.push(grad.double())
            whole.push(grad.double())
        history.keep(rows, averages, grads[first : first + length])
        first += length
    expected = np.zeros((3, 2))
    for grad in grads.double().numpy():
        expected = beta1 * expected + (1 - beta1) * grad
    np.testing.assert_allclose(whole.ago(1).numpy(), expected, rtol=1e-12, atol=1e-15)


def test_ages_sum_to_present_and_momentum():
    generator = np.random.default_rng(0)
    present, momentum = generator.normal(size=(2, 4, 3))
    ages = split_by_age(present, momentum, generator.normal(size=(4, 3, 3)), 0.9)
    np.testing.assert_allclose(ages.sum(axis=-2), present + momentum, rtol=1e-13)


@given(
    values=st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1),
    quantile=st.floats(0, 1),
)
def test_quantiles_are_numpys_of_the_finite_values(values, quantile):
    found = quantiles_of_finite(np.array([values]), [quantile])[0, 0]
    there = np.array(values)[np.isfinite(values)]
    expected = np.quantile(there, quantile) if len(there) else np.nan
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9, nan_ok=True)


def test_quantiles_of_nothing_are_nan():
    assert np.isnan(quantiles_of_finite(np.zeros((3, 0)), [0.5])).all()
    assert np.isnan(quantiles_of_finite(np.full((2, 4), np.inf), [0.1, 0.5])).all()
