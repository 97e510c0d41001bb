"""Causes of standing still: planted ones, and all against whole numbers and decimals."""

from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.run.update import Numbers
from deadtokens.stillness import causes as module
from deadtokens.stillness.causes import (
    BELOW_1,
    CAUSES,
    COMBINATIONS,
    HOLDERS,
    Moments,
    Reach,
    cause_of,
    find_denominator,
    find_reaches,
    invert_walls,
    is_odd,
    name_causes,
    name_holders,
    numbers_of,
)
from deadtokens.ulp import half_ulps

MANTISSA = {torch.bfloat16: 7, torch.float32: 23}
INTEGER = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
PLAIN = Hyperparameters(beta1=0.0, beta2=0.0, eps=2.0**-10, weight_decay=0.0)
CLOSE = Fraction(1, 10**12)


def value(pattern, kept):
    """Decode a bit pattern (its sign apart) with `kept` bits of mantissa by whole numbers."""
    exponent, mantissa = divmod(pattern, 2**kept)
    scale = Fraction(2) ** (max(exponent, 1) - 127 - kept)
    return scale * (mantissa + (2**kept if exponent else 0))


def moved_by(W, index, change):
    """Return whether W[index] + change lies nearer to a neighbour; halfway, if W's pattern is odd.

    Also how close to halfway it is, as a part of the way.
    """
    kept = MANTISSA[W.dtype]
    pattern = int(W.view(INTEGER[W.dtype])[index])
    pattern, sign = pattern & (2 ** (8 + kept) - 1), -1 if pattern < 0 else 1
    outward = pattern == 0 or (change > 0) == (sign > 0)
    neighbour = pattern + (1 if outward else -1)
    halfway = abs(value(neighbour, kept) - value(pattern, kept)) / 2
    moves = abs(change) > halfway or (abs(change) == halfway and pattern % 2 == 1)
    return moves, abs(abs(change) / halfway - 1)


def exact_change(W, m, v, t, lr, hyper):
    """Return the change of one component by 60 decimals."""
    with localcontext(prec=60):
        W, m, v, lr = (
            number if isinstance(number, Decimal) else Decimal(float(number))
            for number in (W, m, v, lr)
        )
        bc1, bc2 = (1 - Decimal(beta) ** t for beta in (hyper.beta1, hyper.beta2))
        over = v.sqrt() / bc2.sqrt() + Decimal(hyper.eps)
        return Fraction(-lr * Decimal(hyper.weight_decay) * W - lr / bc1 * m / over)


def expected_cause(moves, without_gradient, kept=False):
    """Return the cause by the definition's words."""
    if without_gradient and not moves["rr"]:
        return "no gradient"
    if not moves["xx"]:
        return "compensated" if kept else "below half an ulp"
    if moves["rr"]:
        return "another rounding"
    alone = {"first moment": moves["xr"], "second moment": moves["rx"]}
    sufficient = [name for name, is_enough in alone.items() if is_enough]
    return {0: "both together", 1: sufficient[0] if sufficient else "", 2: "either"}[
        len(sufficient)
    ]


def numbers(t, lr, hyper, dtype):
    return numbers_of(t, lr, hyper, str(dtype).removeprefix("torch."))


def find_causes(W, recorded, exact, t, lr, hyper, find=find_reaches, held=0.0, kept=False):
    """Return the causes of components, none of them without gradient."""
    reach, odd = Reach(*np.empty((4, W.numel()))), W.view(INTEGER[W.dtype]).numpy() % 2 == 1
    held = np.full(W.numel(), held, np.float32)
    find(W.float().numpy(), held, recorded, exact, numbers(t, lr, hyper, W.dtype), reach)
    return causes_of(reach, odd, np.zeros(W.numel(), bool), np.full(W.numel(), kept))


def causes_of(reach, odd, without_gradient, kept=None):
    cause = np.empty(len(odd), np.int8)
    name_causes(reach, odd, np.zeros_like(odd) if kept is None else kept, without_gradient, cause)
    return [CAUSES[index] for index in cause]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_causes_are_the_holders_put_in_an_order(seed):
    draw = np.random.default_rng(seed)
    reach = Reach(*draw.choice([0.5, BELOW_1, 1.0, 1.5], (4, 40)))
    odd, without = draw.random((2, 40)) < 0.3
    holders = np.empty(40, np.int8)
    name_holders(reach, odd, holders)
    moves = {
        moments: np.array([holder not in COMBINATIONS[held].split("; ") for held in holders])
        for holder, moments in HOLDERS.items()
    }
    expected = [
        cause_of(False, *answers)
        for answers in zip(without, *(moves[name] for name in Reach._fields), strict=True)
    ]
    assert causes_of(reach, odd, without) == expected
    tie = (reach.xx == 1) & odd
    assert moves["xx"][tie].all()  # an odd number goes at a tie


def causes(rows, W=1.25, lr=2.0**-7, hyper=PLAIN, dtype=torch.bfloat16, **carried):
    """Return the causes of components with (m_r, v_r, m_x, v_x), none of them without gradient."""
    m_r, v_r, m_x, v_x = np.array(rows, np.float32).T.copy()
    W = torch.full((len(rows),), W, dtype=dtype)
    return find_causes(W, Moments(m_r, v_r), Moments(m_x, v_x), 1, lr, hyper, **carried)


# Half an ulp of 1.25 is 2 ** -8; with lr = 2 ** -7 a component moves if m / (sqrt(v) + eps) > 1 / 2
# (at 1 / 2 it stays: 1.25 is even). The exact moments, 1 and 1, move it.
PLANTED = {
    "below half an ulp": (1, 1, 2**-14, 2**-28),  # exact: 1 / 17, by eps
    "another rounding": (1, 1, 1, 1),
    "first moment": (1 / 16, 1, 1, 1),
    "second moment": (1, 256, 1, 1),
    "either": (0.6, 2.25, 1, 1),  # 0.6 and 1 / 1.5 move it, 0.6 / 1.5 does not
    "both together": (1 / 4, 16, 1, 1),
}


def test_planted_causes():
    assert causes(list(PLANTED.values())) == list(PLANTED)


@pytest.mark.parametrize("cause", list(PLANTED)[2:])
def test_with_exact_moments_recorded_no_moment_is_blamed(cause):
    _, _, m_x, v_x = PLANTED[cause]
    assert causes([(m_x, v_x, m_x, v_x)]) == ["another rounding"]


def test_the_moments_are_not_mistaken_for_each_other():
    exchanged = [(m_x, v_x, m_r, v_r) for m_r, v_r, m_x, v_x in PLANTED.values()]
    assert causes(exchanged[2:]) == ["below half an ulp"] * 4


@pytest.mark.parametrize(
    ("W", "m", "cause"),
    [
        (1.25, 0.5, "below half an ulp"),  # an even number keeps a tie
        (1.25, 0.5 + 2**-24, "another rounding"),
        (1.2578125, 0.5, "another rounding"),  # an odd one loses it
        (1.2578125, 0.5 - 2**-24, "below half an ulp"),
        (1.0, 0.25, "below half an ulp"),  # towards zero from a power of two: half the wall
        (1.0, 0.25 + 2**-24, "another rounding"),
        (1.0, -0.25 - 2**-24, "below half an ulp"),  # away from zero
        (1.0, -0.5 - 2**-24, "another rounding"),
        (-1.0, -0.25 - 2**-24, "another rounding"),
        (-1.0, 0.25 + 2**-24, "below half an ulp"),
    ],
)
def test_walls_and_ties(W, m, cause):
    exactly = replace(PLAIN, eps=0.0)
    assert causes([(m, 1, m, 1)], W=W, hyper=exactly) == [cause]


def test_what_a_compensation_holds_belongs_to_the_change():
    """A step of a quarter of the way moves W when three quarters wait, and not towards zero."""
    exactly, quarter = replace(PLAIN, eps=0.0), [(0.125, 1, 0.125, 1)]
    assert causes(quarter, hyper=exactly) == ["below half an ulp"]
    assert causes(quarter, hyper=exactly, kept=True) == ["compensated"]
    walls = 2.0**-8
    for held, cause in ((-0.75, "compensated"), (-0.76, "another rounding"), (0.75, "compensated")):
        assert causes(quarter, hyper=exactly, held=held * walls, kept=True) == [cause]


def test_the_decay_belongs_to_the_change():
    """lr weight_decay W = 1.25 * 2 ** -8 is more than half an ulp, with no moment at all."""
    decaying = replace(PLAIN, weight_decay=0.5)
    assert causes([(0, 1, 0, 1)]) == ["below half an ulp"]
    assert causes([(0, 1, 0, 1)], hyper=decaying) == ["another rounding"]


def test_without_gradient_only_decay_can_have_been_held():
    moved, unmoved = np.full(2, 1.5), np.full(2, 0.5)
    odd, without = np.array([False, True]), np.array([True, True])
    reach = Reach(unmoved, unmoved, unmoved, unmoved)
    assert causes_of(reach, odd, without) == ["no gradient"] * 2
    assert causes_of(reach, odd, ~without) == ["below half an ulp"] * 2
    reach = Reach(moved, moved, moved, moved)
    assert causes_of(reach, odd, without) == ["another rounding"] * 2


def finite_patterns(dtype):
    """Return float32 values of every bfloat16, or of many float32, and powers of two."""
    if dtype == torch.bfloat16:
        bits = np.arange(2**16, dtype=np.uint32) << 16
    else:
        random = np.random.default_rng(0).integers(2**32, size=10**5, dtype=np.uint32)
        bits = np.concatenate([random, np.arange(2**9, dtype=np.uint32) << 23, random >> 9])
    values = bits.view(np.float32)
    return values[np.isfinite(values)]


@pytest.mark.parametrize("dtype", MANTISSA)
def test_walls_are_those_of_the_definition(dtype):
    values, format = finite_patterns(dtype), str(dtype).removeprefix("torch.")
    per_wall = np.empty((2, len(values)))
    invert_walls(values.view(np.uint32), numbers(1, 1e-3, PLAIN, dtype).half_ulp, per_wall)
    assert (1 / per_wall == half_ulps(values, format)).all()


@pytest.mark.parametrize("dtype", MANTISSA)
def test_the_lowest_bit_is_that_of_the_format(dtype):
    W = torch.from_numpy(finite_patterns(dtype)).to(dtype)
    bits, lowest_bit = W.float().numpy().view(np.uint32), numbers(1, 1e-3, PLAIN, dtype).lowest_bit
    assert (is_odd.py_func(bits, lowest_bit) == (W.view(INTEGER[dtype]).numpy() % 2 == 1)).all()


@given(st.sampled_from([0.0, 0.9, 0.999]), st.integers(1, 3000), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_denominators_are_those_of_the_update_but_for_torchs_root(beta2, t, seed):
    """numpy rounds a square root correctly; torch's of float64 may be the neighbour."""
    hyper = replace(PLAIN, beta2=beta2, eps=1e-8)
    v = (10.0 ** np.random.default_rng(seed).uniform(-40, 4, 999)).astype(np.float32)
    found, expected = (
        np.empty(len(v)),
        Numbers(t, 0.0, hyper).denominator(torch.from_numpy(v).double()),
    )
    find_denominator(v, numbers(t, 1e-3, hyper, torch.bfloat16), found)
    assert (found == np.sqrt(v.astype(np.float64)) / np.sqrt(1 - beta2**t) + 1e-8).all()
    assert np.abs(found / expected.numpy() - 1).max() <= 2.0**-51


HYPER = st.builds(
    Hyperparameters,
    beta1=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    beta2=st.sampled_from([0.0, 0.9, 0.99, 0.999]),
    eps=st.sampled_from([1e-8, 1e-3, 2.0**-10]),
    weight_decay=st.sampled_from([0.0, 0.1, 3.0]),
)


def compare(dtype, hyper, t, seed, find=find_reaches):
    """Return the causes found for drawn components and those expected ('': too close to call)."""
    draw = np.random.default_rng(seed)
    W = planted_weights(dtype, draw)
    half = 2.0 ** -(MANTISSA[dtype] + 2) * np.abs(W.double().numpy())  # of about half an ulp
    lr = float(draw.choice([1e-3, 2.0**-7]))
    v_r, v_x = 10.0 ** draw.uniform(-14, 2, (2, W.numel()))
    scale = half / lr * (1 - hyper.beta1**t) * draw.choice([-1, 1], W.numel())
    m_r, m_x = scale * np.sqrt([v_r, v_x]) * 2.0 ** draw.uniform(-3, 3, (2, W.numel()))
    v_r, v_x = np.where(draw.random(W.numel()) < 0.5, [v_r, v_x], [v_x, v_r])
    pairs = {"r": np.array([m_r, v_r], np.float32), "x": np.array([m_x, v_x], np.float32)}
    held = (half * draw.uniform(-2, 2, W.numel())).astype(np.float32)
    held[draw.random(W.numel()) < 0.5] = 0
    kept = draw.random(W.numel()) < 0.5
    moments = (Moments(*pair) for pair in pairs.values())
    found = find_causes(W, *moments, t, lr, hyper, find, held, kept)
    expected = []
    for index in range(W.numel()):
        answers = {
            m + v: moved_by(
                W,
                index,
                exact_change(W[index], pairs[m][0][index], pairs[v][1][index], t, lr, hyper)
                + Fraction(float(held[index])),
            )
            for m in pairs
            for v in pairs
        }
        decided = min(distance for _, distance in answers.values()) > CLOSE
        moves = {names: answer for names, (answer, _) in answers.items()}
        cause = expected_cause(moves, without_gradient=False, kept=kept[index])
        expected.append(cause if decided else "")
    return found, expected


def differing(found, expected):
    return [pair for pair in zip(found, expected, strict=True) if pair[1] not in (pair[0], "")]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(MANTISSA)), HYPER, st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_every_cause_is_that_of_whole_numbers_and_decimals(dtype, hyper, t, seed):
    found, expected = compare(dtype, hyper, t, seed)
    assert expected.count("") < len(expected) / 4
    assert not differing(found, expected)


BUSY = Hyperparameters(beta1=0.5, beta2=0.9, eps=1e-8, weight_decay=0.1)


def test_the_comparison_meets_every_cause_and_would_see_a_wrong_wall(monkeypatch):
    seen = {cause for seed in range(20) for cause in compare(torch.bfloat16, BUSY, 3, seed)[1]}
    assert set(CAUSES) - seen == {"no gradient"}

    def equal_walls(bits, half_ulp, per_wall):
        invert_walls(bits, half_ulp, per_wall)
        per_wall[0] = per_wall[1]

    monkeypatch.setattr(module, "invert_walls", equal_walls)
    wrong = find_reaches.py_func
    assert any(differing(*compare(torch.bfloat16, BUSY, 3, seed, wrong)) for seed in range(20))


def planted_weights(dtype, draw, number=24):
    """Draw weights of all sizes, powers of two and both zeros among them."""
    W = torch.from_numpy(draw.normal(0, 1, number) * 10.0 ** draw.uniform(-8, 2, number)).to(dtype)
    W[:6] = torch.from_numpy(2.0 ** draw.integers(-12, 6, 6) * draw.choice([-1, 1], 6)).to(dtype)
    W[6], W[7] = 0.0, -0.0
    return W
