"""The whole backward pass: against autograd, against differences, and that it can fail."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from backprop.random_models import random_case
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny import tiny_trainer

from deadtokens.backprop import model as by_hand
from deadtokens.backprop.autograd import TOLERANCE, errors
from deadtokens.backprop.layers import (
    error,
    join_paths,
    layer_norm_backward,
    spread_factor,
    standardise,
)
from deadtokens.backprop.symbols import (
    IN_BLOCK,
    OUTSIDE,
    describe,
    parameters_by_symbol,
    way_back,
)
from deadtokens.training.batches import read_batch
from deadtokens.training.model import Transformer

ROUNDING = 1e-13  # relative to the terms: hundreds of float64's roundings
VARIANTS = [{}, {"mlp_residual": False}, {"logit_spread": "constant"}]


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_gradient_is_that_of_autograd(activation, tied, bias, layers, variant):
    case = random_case(activation=activation, tied=tied, bias=bias, layers=layers, **variant)
    off = case.errors()
    assert max(off.values()) < TOLERANCE, max(off, key=off.get)
    outside = {"z", "W", "b", "h", "gain", "shift", "P"}
    outside |= {"W as output", "W as input"} if tied else {"E"}
    blocks = range(1, layers + 1)
    expected = {(OUTSIDE, symbol) for symbol in outside}
    assert set(off) == expected | {(block, symbol) for block in blocks for symbol in IN_BLOCK}
    assert set(off) <= set(way_back(layers))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    vocabulary=st.integers(2, 30),
    batch=st.integers(1, 3),
    context=st.integers(1, 7),
    heads=st.integers(1, 3),
    head=st.integers(2, 6),
    layers=st.integers(1, 3),
    tied=st.booleans(),
    bias=st.booleans(),
    activation=st.sampled_from(["relu", "gelu"]),
    mlp_residual=st.booleans(),
    logit_spread=st.sampled_from(["free", "constant"]),
)
def test_sizes_do_not_matter(heads, head, **sizes):
    """Widths from 3: of one component LayerNorm leaves nothing, of two hardly more than a sign.

    What its backward pass then lets through is what the roundings of larger terms leave.
    """
    assume(heads * head > 2)
    off = random_case(heads=heads, width=heads * head, **sizes).errors()
    assert max(off.values()) < TOLERANCE, max(off, key=off.get)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("mlp_residual", [True, False])
def test_forward_is_that_of_the_model(tied, activation, mlp_residual):
    case = random_case(tied=tied, activation=activation, layers=3, mlp_residual=mlp_residual)
    model = Transformer(case.spec, len(case.b)).double()
    model.load_state_dict(case.named)
    hidden = model(case.inputs)
    z = F.linear(hidden, model.W, case.b).flatten(0, 1)
    values = case.values()
    torch.testing.assert_close(values[OUTSIDE, "h"], hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(values[OUTSIDE, "z"], z, rtol=1e-12, atol=1e-12)
    loss = F.cross_entropy(z, case.targets.flatten()).item()
    assert values[OUTSIDE, "L"].item() == pytest.approx(loss, rel=1e-14)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("mlp_residual", [True, False])
def test_differences_of_the_loss_agree(tied, activation, mlp_residual):
    """Central differences along a random direction of each parameter; they know no derivative."""
    case = random_case(seed=3, tied=tied, activation=activation, mlp_residual=mlp_residual)
    gradients = case.gradients()
    generator = torch.Generator().manual_seed(8)
    step = 1e-6
    own = {place: gradients[place] for place in case.weights}
    for name, parameter in [*case.named.items(), ("b", case.b)]:
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        start = parameter.clone()
        losses = []
        for sign in (1, -1):
            parameter.copy_(start + sign * step * direction)
            losses.append(case.loss())
        parameter.copy_(start)
        zero = {other: torch.zeros_like(value) for other, value in case.named.items()}
        moved = parameters_by_symbol(zero | {name: direction}, case.spec.layers)
        if name == "b":
            moved = {(OUTSIDE, "b"): direction}
        expected = sum((own[place] * value).sum().item() for place, value in moved.items())
        found = (losses[0] - losses[1]) / (2 * step)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_training_consumed_this_gradient(variant):
    """The recorded gradient of a float32 run, from the hand's pass in float64."""
    trainer = tiny_trainer(precision="fp32", layers=2, **variant)
    for _ in range(5):
        trainer.advance()
    named = {name: p.detach().double() for name, p in trainer.model.named_parameters()}
    spec = trainer.spec
    batch = read_batch(trainer.stream, spec.batch, spec.context, spec.seed, trainer.update + 1)
    inputs, targets = map(torch.from_numpy, batch)
    b = torch.zeros(len(named["embedding.weight"]), dtype=torch.float64)
    weights = parameters_by_symbol(named, spec.layers) | {(OUTSIDE, "b"): b}
    values = by_hand.forward(weights, inputs, targets, spec)
    gradients = by_hand.backward(weights, values, inputs, targets, spec)
    outcome = trainer.advance()
    assert values[OUTSIDE, "L"].item() == pytest.approx(outcome.loss, rel=1e-6)
    found = gradients[OUTSIDE, "W"]
    assert (found - outcome.grad.double()).norm() < 1e-6 * found.norm()
    dead = np.setdiff1d(np.arange(len(b)), trainer.stream)
    assert (gradients[OUTSIDE, "W as input"][dead] == 0).all()
    assert (gradients[OUTSIDE, "W as output"][dead].norm(dim=1) > 0).all()


def test_the_key_bias_and_the_error_sum_to_nothing():
    case = random_case()
    gradients, terms = case.gradients(), case.terms()
    assert gradients[1, "bk"].norm() < ROUNDING * terms[1, "bk"]
    assert gradients[1, "bq"].norm() > 1e-4
    g = gradients[OUTSIDE, "z"]
    assert (g.sum(1).abs() < ROUNDING * g.abs().sum(1)).all()
    assert gradients[OUTSIDE, "b"].sum().abs() < ROUNDING * g.abs().sum()


def test_a_residual_sum_copies_the_gradient():
    gradients = random_case().gradients()
    for block in (1, 2):
        assert torch.equal(gradients[block, "m"], gradients[block, "x2"])
        assert torch.equal(gradients[block, "a"], gradients[block, "x1"])
    assert torch.equal(gradients[1, "x2"], gradients[2, "x0"])


def test_a_constant_spread_is_that_of_the_start_and_no_gradient_goes_through_its_factor():
    case = random_case(logit_spread="constant", embedding_std=0.3)
    values, gradients = case.values(), case.gradients()
    z, c = values[OUTSIDE, "z"], values[OUTSIDE, "c"]
    assert (c * z).numpy().std(axis=1) == pytest.approx(0.3 * math.sqrt(8), rel=1e-12)
    p = (c * z).softmax(1)
    y = F.one_hot(case.targets.flatten(), z.shape[1])
    torch.testing.assert_close(gradients[OUTSIDE, "z"], c * (p - y) / len(z))


def test_logits_that_are_all_alike_have_no_factor():
    assert spread_factor(torch.full((2, 5), 3.0), 0.16).tolist() == [[1.0], [1.0]]


def test_without_a_residual_path_the_gradients_do_not_add():
    case = random_case(mlp_residual=False)
    gradients, values = case.gradients(), case.values()
    for block in (1, 2):
        assert torch.equal(values[block, "x2"], values[block, "m"])
        assert torch.equal(gradients[block, "x1"], gradients[block, "x1 by MLP"])
        assert torch.equal(gradients[block, "a"], gradients[block, "x1"])
    case.named["blocks.0.contract.weight"].zero_()
    assert (case.gradients()[1, "x0"] == 0).all()  # nothing but the MLP leads further down


def test_an_unused_position_gets_nothing():
    gradients = random_case().gradients()
    assert (gradients[OUTSIDE, "P"][-1] == 0).all()
    assert (gradients[OUTSIDE, "P"][:-1].norm(dim=1) > 0).all()


def without_the_mean(g_y, x, gain):
    """LayerNorm's backward that forgets that every component moves the mean."""
    n, s = standardise(x)
    g_n = gain * g_y
    g_x = (g_n - n * (n * g_n).mean(-1, keepdim=True)) / s
    return g_x, *layer_norm_backward(g_y, x, gain)[1:]


def without_the_deviation(g_y, x, gain):
    """LayerNorm's backward that forgets that every component moves the deviation."""
    _, s = standardise(x)
    g_n = gain * g_y
    g_x = (g_n - g_n.mean(-1, keepdim=True)) / s
    return g_x, *layer_norm_backward(g_y, x, gain)[1:]


def shared_weights(direct, branch):
    """The handwritten derivation's doubt: two paths to the loss, as if each counted for half."""
    return (direct + branch) / 2


WRONG = {
    "LayerNorm without the mean": ("layer_norm_backward", without_the_mean),
    "LayerNorm without the deviation": ("layer_norm_backward", without_the_deviation),
    "no residual path": ("join_paths", lambda direct, branch: branch),
    "no branch": ("join_paths", lambda direct, branch: direct),
    "paths averaged": ("join_paths", shared_weights),
    "softmax without its sum": ("softmax_backward", lambda g_p, p: p * g_p),
    "no slope of the activation": ("activate_backward", lambda g_r, u, activation: g_r),
    "error off by one position's share": ("error", lambda z, y: error(z, y) * (1 + 1e-9)),
}


def test_a_forgotten_factor_is_noticed(monkeypatch):
    case = random_case(logit_spread="constant")
    values = case.values()
    wrong = values | {(OUTSIDE, "c"): torch.ones_like(values[OUTSIDE, "c"])}
    monkeypatch.setattr(case, "values", lambda: wrong)
    off = case.errors()
    assert min(off[OUTSIDE, "z"], off[OUTSIDE, "h"], off[1, "x0"]) > 1e-2


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_formula_is_noticed(mistake, monkeypatch):
    name, wrong = WRONG[mistake]
    case = random_case(seed=1)
    assert max(case.errors().values()) < TOLERANCE
    monkeypatch.setattr(by_hand, name, wrong)
    off = case.errors()
    assert max(off.values()) > TOLERANCE
    if mistake == "no residual path":
        assert off[2, "x2"] < TOLERANCE < off[2, "x1"]  # right above the mistake, wrong below it


def test_the_comparison_covers_the_same_tensors():
    gradients = random_case().gradients()
    fewer = {place: g for place, g in gradients.items() if place != (1, "u")}
    with pytest.raises(AssertionError, match=r"not in both: \{\(1, 'u'\)\}"):
        errors(fewer, gradients, {})
    flat = gradients | {(1, "u"): gradients[1, "u"].flatten()}
    with pytest.raises(AssertionError, match="is compared with"):
        errors(flat, gradients, dict.fromkeys(gradients, torch.tensor(1.0)))


def test_errors_are_relative_to_the_own_norm_or_to_the_terms():
    zero, one = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    gradients = {(1, "a"): one * 1.5, (1, "m"): zero + 1e-9, (1, "u"): zero, (1, "v"): zero + 1}
    reference = {(1, "a"): one, (1, "m"): zero, (1, "u"): zero, (1, "v"): zero}
    terms = {(1, "a"): 1.0, (1, "m"): 4.0, (1, "u"): 0.0, (1, "v"): 0.0}
    off = errors(gradients, reference, {place: torch.tensor(size) for place, size in terms.items()})
    assert off == {(1, "a"): 0.5, (1, "m"): 5e-10, (1, "u"): 0.0, (1, "v"): math.inf}


@pytest.mark.parametrize("lost", ["gradient", "reference", "terms"])
def test_what_is_no_number_is_no_small_error(lost):
    one, nan = torch.ones(2, dtype=torch.float64), torch.tensor([1.0, math.nan]).double()
    values = {"gradient": one * 2, "reference": one, "terms": one.norm()}
    values[lost] = values[lost] * nan[1]
    gradient, reference, terms = ({(1, "a"): value} for value in values.values())
    assert math.isnan(errors(gradient, reference, terms)[1, "a"])


def test_join_is_a_sum():
    assert join_paths(torch.tensor(2.0), torch.tensor(-5.0)) == -3


def test_every_symbol_is_described():
    assert all(describe(*place).meaning for place in way_back(2))
