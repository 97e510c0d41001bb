"""The yardstick of rounding: the size of the terms that cancel, and what it lets pass."""

import math

import pytest
import torch
from backprop.random_models import Case, random_case

from deadtokens.backprop import model as by_hand
from deadtokens.backprop.autograd import TOLERANCE, errors
from deadtokens.backprop.layers import attention_scores_backward, softmax_backward
from deadtokens.backprop.rounding import term_sizes
from deadtokens.backprop.symbols import OUTSIDE

PLACE = (1, "bk")


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def size_of(compute):
    """The size of the terms of one result."""
    return term_sizes(lambda: {PLACE: compute()}, {PLACE: compute()})[PLACE].item()


def test_terms_of_a_sum_that_cancels():
    """Twenty thousand times 3 - 3: products of 3 and their sums move, what is left does not."""
    x = torch.full((20_000,), 3.0, dtype=torch.float64)
    size = size_of(lambda: x * 1.0 - x * 1.0)
    assert size == pytest.approx(math.sqrt(2 * 20_000) * 3, rel=0.02)
    assert size_of(lambda: (x * 2).sum()[None]) <= 3 * 20_000 * 6  # one sum: once, by a deviate


def test_what_returns_given_numbers_is_not_rounded():
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).view(3, 4)
    assert size_of(lambda: x.T[1:].chunk(3)[0].amax(0)) == 0
    assert size_of(lambda: x.T[1:].chunk(3)[0].sum(0)) > 0


def test_a_size_does_not_depend_on_when_it_is_taken():
    case = random_case()
    first = case.terms()
    torch.rand(3)
    assert case.terms() == first


def key_bias_terms(case: Case, block: int) -> float:
    """The same size for the key bias, derived: of sum_qk A_qk (g_A_qk - sum_i A_qi g_A_qi) Q_q."""
    values, gradients = case.values(), case.gradients()
    A, g_A, Q = values[block, "A"], gradients[block, "A"], values[block, "Q"]
    squares = (A * g_A).square() + (A * (A * g_A).sum(-1, keepdim=True)).square()
    terms = squares.mT @ Q.square() / Q.shape[-1]
    return terms.sum().sqrt().item()


@pytest.mark.parametrize("seed", range(10))
def test_the_terms_of_the_key_bias_are_those_of_the_derivation(seed):
    case = random_case(seed=seed, layers=2)
    terms = case.terms()
    for block in (1, 2):
        assert 0.1 < terms[block, "bk"].item() / key_bias_terms(case, block) < 10


@pytest.mark.parametrize("scale", [0.02, 0.2, 1, 3])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_rounding_stays_far_below_the_tolerance(scale, activation):
    """From weights that hardly matter to softmaxes that are all but saturated."""
    for seed in range(8):
        layers = 1 + seed % 3
        case = random_case(seed, layers=layers, tied=seed % 2 == 0, activation=activation)
        for weight in case.named.values():
            weight.mul_(2 * scale)
        off = case.errors()
        assert max(off.values()) < TOLERANCE / 100, (seed, max(off, key=off.get))


@pytest.mark.parametrize("certainty", [10, 20, 30])
def test_a_text_without_surprise_is_no_error(certainty):
    """As the loss goes to zero, p - y cancels, and every gradient with it."""
    case = random_case()
    case.targets.zero_()
    case.b[0] += certainty
    terms, gradients = case.terms(), case.gradients()
    assert 0 < case.loss() < 100 * math.exp(-certainty)
    assert terms[OUTSIDE, "z"] > gradients[OUTSIDE, "z"].norm() / (10 * case.loss())
    off = case.errors()
    assert max(off.values()) < TOLERANCE / 100, max(off, key=off.get)


def test_a_model_without_any_gradient_is_no_error():
    """A loss of exactly zero: nothing to divide by."""
    case = random_case(layers=1)
    for weight in case.named.values():
        weight.zero_()
    case.targets.zero_()
    case.b[0] = 1000.0
    assert case.loss() == 0
    assert set(case.errors().values()) == {0.0}


def without_the_sum(g_p, p):
    """Softmax's backward whose rows do not sum to zero."""
    return p * g_p


def with_a_little_less(g_p, p):
    """The same, with the sum off by a billionth."""
    return softmax_backward(g_p, p) + 1e-9 * p * (p * g_p).sum(-1, keepdim=True)


def keys_for_queries(g_S, Q, K):
    """The scores' backward that takes the keys where the queries belong."""
    g_Q, _ = attention_scores_backward(g_S, Q, K)
    return g_Q, g_S @ Q / math.sqrt(Q.shape[-1])


WRONG = {
    "softmax without its sum": ("softmax_backward", without_the_sum),
    "a sum off by a billionth": ("softmax_backward", with_a_little_less),
    "rows for columns": ("attention_scores_backward", keys_for_queries),
}


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("seed", range(5))
def test_a_key_bias_that_is_not_zero_is_noticed(mistake, seed, monkeypatch):
    """By its own row, not only by those above it."""
    case = random_case(seed=seed, layers=1)
    monkeypatch.setattr(by_hand, *WRONG[mistake])
    assert case.errors()[1, "bk"] > TOLERANCE


def test_two_tolerances_of_the_terms_are_noticed():
    case = random_case(layers=1)
    gradients, terms = case.gradients(), case.terms()
    planted = gradients[1, "bk"].clone()
    planted[0] += 2e-10 * terms[1, "bk"]
    off = errors(gradients | {(1, "bk"): planted}, case.reference(), terms)
    assert off[1, "bk"] > TOLERANCE
    assert off[OUTSIDE, "z"] < TOLERANCE
