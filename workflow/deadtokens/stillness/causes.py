"""Why components that an update left as they were stood still: one cause for each.

A counterfactual along the recorded gradients, not another training: had a moment been exact, the
weights would have moved, and the gradients that followed would have been others.

With W for W[t-1], a for the step size and D for the denominator of update t, moments (m, v) *move*
a component if its exact change ``-lr weight_decay W - a m / D(v)``, added to W and rounded once to
nearest-even in W's format, gives another number. Tried are the recorded moments (r) and exact ones
(x), replayed in float32 from the recorded gradients. The first cause of `CAUSES` that holds counts:

1. *no gradient*: g = 0, the recorded m was 0 before the update, and decay alone does not move it;
2. *below half an ulp*: (m_x, v_x) do not move it, so exact moments would lose the update too;
   *compensated* instead, if what the update could not move changed the compensation of W: it is not
   lost, but waits there;
3. *another rounding*: (m_r, v_r) move it, so a rounding within the update held it, or, where
   results are rounded stochastically, chance;

and where exact moments move it while the recorded ones do not:

4. *first moment*: (m_x, v_r) move it, (m_r, v_x) do not: the first moment's rounding held it;
5. *second moment*: the reverse;
6. *either*: both do: making one of them exact, whichever, is enough;
7. *both together*: neither does: only both exact moments move it.

The order gives the weight's format the first word. `HOLDERS` have none: each says which formats,
with all else exact, keep the component still, whatever others do. The weight's own is always among
them, for without it no update is lost: what the moments' add is decided by training without them.

Where W has a compensation, the change has what that holds besides: the update adds it too. SGD has
D = 1 and a = lr, and a v that is 1 both as recorded and exact: no cause is a second moment's.
"""

from itertools import product
from typing import NamedTuple

import numpy as np

from deadtokens.loops import compiled, inlined
from deadtokens.run.formats import (
    EXPONENT,
    FRACTION,
    MANTISSA,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
)
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    denominator_of,
    step_size,
)

CAUSES = (
    "no gradient",
    "below half an ulp",
    "compensated",
    "another rounding",
    "first moment",
    "second moment",
    "either",
    "both together",
)
# Whose format would have kept a component still, and the moments that then do not move it.
HOLDERS = {
    "weight": "xx",
    "weight, first moment": "rx",
    "weight, second moment": "xr",
    "weight, both moments": "rr",
}
COMBINATIONS = tuple(
    "; ".join(name for place, name in enumerate(HOLDERS) if bits >> place & 1) or "none"
    for bits in range(2 ** len(HOLDERS))
)
BELOW_1 = 1 - 2.0**-53  # the float64 next to it
inlined(denominator_of)  # which loops below call


class Moments(NamedTuple):
    """First and second moment after an update, float32 ndarray of one shape."""

    first: np.ndarray
    second: np.ndarray


class Numbers(NamedTuple):
    """The numbers that all components of an update share.

    Attributes
    ----------
    step : float
        By which m over D is multiplied: a.
    correction, eps : float
        D is sqrt(v) over the one plus the other.
    decay : float
        lr weight_decay.
    half_ulp : float
        Of 1, away from zero, in W's format.
    lowest_bit : uint32
        Of W's format, in the pattern of the same number as float32.
    """

    step: float
    correction: float
    eps: float
    decay: float
    half_ulp: float
    lowest_bit: np.uint32


def numbers_of(t: int, lr: float, hyper: Hyperparameters, format: str) -> Numbers:
    """Return the numbers of update t, of weights in a format, 'bfloat16' or 'float32'."""
    return Numbers(
        step_size(t, lr, hyper),
        correction(t, hyper),
        hyper.eps,
        lr * hyper.weight_decay,
        UNIT_ROUNDOFF[format],
        np.uint32(1 << MANTISSA["float32"] - MANTISSA[format]),
    )


class Reach(NamedTuple):
    """How far a component's exact change goes, in walls: |change| over half an ulp, towards it.

    The change has what a compensation holds in it; one of 1 is a tie. The first letter is the first
    moment's, the second the second's: r recorded, x exact. All are float64 ndarrays of one shape.
    """

    rr: np.ndarray
    xx: np.ndarray
    xr: np.ndarray
    rx: np.ndarray


@compiled
def find_reaches(W, held, recorded, exact, numbers, reach):
    """Fill in the reach of an update with the recorded moments, the exact ones, and one of each.

    Parameters
    ----------
    W : float32 ndarray of shape (components,)
        Before the update; of bfloat16 the same values.
    held : float32 ndarray of shape (components,)
        The compensation before the update, zeros without one.
    recorded, exact : Moments
        After it, of W's shape.
    numbers : Numbers
    reach : Reach
        Of W's shape, which is filled.
    """
    per_wall, over_r, over_x = np.empty((2, len(W))), np.empty(len(W)), np.empty(len(W))
    invert_walls(W.view(np.uint32), numbers.half_ulp, per_wall)
    find_denominator(recorded.second, numbers, over_r)
    find_denominator(exact.second, numbers, over_x)
    find_reach(recorded.first, over_r, W, held, numbers, per_wall, reach.rr)
    find_reach(exact.first, over_x, W, held, numbers, per_wall, reach.xx)
    find_reach(exact.first, over_r, W, held, numbers, per_wall, reach.xr)
    find_reach(recorded.first, over_x, W, held, numbers, per_wall, reach.rx)


@compiled
def invert_walls(bits, half_ulp, per_wall):
    """Fill in 1 over half an ulp of finite float32 patterns, towards zero and away from it.

    What `ulp.half_ulps` defines: they differ at a normal power of two, except at the smallest one,
    since below it subnormals keep its spacing.
    """
    towards_zero, away = per_wall[0], per_wall[1]
    for i in range(len(bits)):
        power = np.uint32(max(bits[i] & EXPONENT, SMALLEST_NORMAL))
        denser = 2.0 if bits[i] & FRACTION == 0 and power > SMALLEST_NORMAL else 1.0
        away[i] = 1 / (half_ulp * np.float64(power.view(np.float32)))
        towards_zero[i] = denser * away[i]


@compiled
def find_denominator(second, numbers, over):
    """Fill in D, float64, from second moments after an update, float32."""
    for i in range(len(over)):
        root = np.sqrt(np.float64(second[i]))
        over[i] = denominator_of(root, numbers.correction, numbers.eps)


@compiled
def find_reach(first, over, W, held, numbers, per_wall, reach):
    """Fill in the reach with first moments, float32, over their denominators."""
    towards_zero, away = per_wall[0], per_wall[1]
    for i in range(len(reach)):
        loss = first[i] * numbers.step / over[i] + W[i] * numbers.decay  # a change is its negative
        loss -= held[i]
        inward = -loss if W[i] < 0 else loss
        reach[i] = inward * towards_zero[i] if inward > 0 else -inward * away[i]


@compiled
def is_odd(bits, lowest_bit):
    """Return whether the lowest bit of a number is set: it then loses a tie to a neighbour."""
    return bits & lowest_bit != 0


def cause_of(kept: bool, without_gradient: bool, rr: bool, xx: bool, xr: bool, rx: bool) -> str:
    """Return why a component stood still.

    Parameters
    ----------
    kept : bool
        The update changed the compensation.
    without_gradient : bool
        The gradient is 0 and so is the recorded first moment before the update.
    rr, xx, xr, rx : bool
        Whether these moments move it; the letters are those of `Reach`.
    """
    if without_gradient and not rr:
        return "no gradient"
    if not xx:
        return "compensated" if kept else "below half an ulp"
    if rr:
        return "another rounding"
    if xr and rx:
        return "either"
    if not xr and not rx:
        return "both together"
    return "first moment" if xr else "second moment"


ANSWERS = list(product([False, True], repeat=6))
CAUSE_OF = np.array([CAUSES.index(cause_of(*answers)) for answers in ANSWERS], np.int8)


@compiled
def name_causes(reach, odd, kept, without_gradient, cause):
    """Fill in why each component would stand still, as an index into `CAUSES`.

    Parameters
    ----------
    reach : Reach
    odd : ndarray of bool
        See `is_odd`.
    kept, without_gradient : ndarray of bool
        See `cause_of`.
    cause : ndarray of int8, of the same shape
    """
    for i in range(len(cause)):
        enough = BELOW_1 if odd[i] else 1.0  # an odd number goes at a tie too
        # The row of ANSWERS: a binary number of the six.
        answers = 32 * kept[i] + 16 * without_gradient[i]
        answers += 8 * (reach.rr[i] > enough) + 4 * (reach.xx[i] > enough)
        answers += 2 * (reach.xr[i] > enough) + (reach.rx[i] > enough)
        cause[i] = CAUSE_OF[answers]


@compiled
def name_holders(reach, odd, holders):
    """Fill in which of `HOLDERS` would keep each component still, as an index: `COMBINATIONS`.

    Parameters
    ----------
    reach : Reach
    odd : ndarray of bool
        See `is_odd`.
    holders : ndarray of int8, of the same shape
    """
    for i in range(len(holders)):
        enough = BELOW_1 if odd[i] else 1.0
        moved = (reach.xx[i] > enough) + 2 * (reach.rx[i] > enough)
        moved += 4 * (reach.xr[i] > enough) + 8 * (reach.rr[i] > enough)
        holders[i] = 15 - moved
