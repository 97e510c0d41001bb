"""Why components that an update left as they were stood still: one cause for each.

A counterfactual along the recorded gradients, not another training: had a moment been exact, the
weights would have moved, and the gradients that followed would have been others.

With W for W[t-1], a for the step size and D for the denominator of update t, moments (m, v) *move*
a component if its exact change ``-lr weight_decay W - a m / D(v)``, added to W and rounded once to
nearest-even in W's format, gives another number. Tried are the recorded moments (r) and exact ones
(x), replayed in float32 from the recorded gradients. The first cause of `CAUSES` that holds counts:

1. *no gradient*: g = 0, the recorded m was 0 before the update, and decay alone does not move it;
2. *below half an ulp*: (m_x, v_x) do not move it, so exact moments would lose the update too;
3. *another rounding*: (m_r, v_r) move it, so a rounding within the update held it, or, where
   results are rounded stochastically, chance;

and where exact moments move it while the recorded ones do not:

4. *first moment*: (m_x, v_r) move it, (m_r, v_x) do not: the first moment's rounding held it;
5. *second moment*: the reverse;
6. *either*: both do: making one of them exact, whichever, is enough;
7. *both together*: neither does: only both exact moments move it.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from deadtokens.training.update import Hyperparameters, denominator, step_size
from deadtokens.ulp import half_ulps

CAUSES = (
    "no gradient",
    "below half an ulp",
    "another rounding",
    "first moment",
    "second moment",
    "either",
    "both together",
)
LOWEST_BIT = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


@dataclass(frozen=True)
class Moments:
    """First and second moment after an update, of one shape, float64."""

    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Reach:
    """How far a component's exact change goes, in walls: |change| over half an ulp, towards it.

    A change of 1 is a tie. The first letter is the first moment's, the second the second's:
    r recorded, x exact.
    """

    rr: np.ndarray
    xx: np.ndarray
    xr: np.ndarray
    rx: np.ndarray


def reaches(
    W: Tensor, recorded: Moments, exact: Moments, t: int, lr: float, hyper: Hyperparameters
) -> Reach:
    """Return the reach of an update with the recorded moments, the exact ones, and one of each.

    Parameters
    ----------
    W : bfloat16 or float32 Tensor
        Before the update.
    recorded, exact : Moments
        After it, of W's shape.
    t : int
        The update.
    lr : float
    hyper : Hyperparameters

    Returns
    -------
    Reach of float64 ndarrays of W's shape
    """
    weights, step = W.double(), step_size(t, lr, hyper)
    decay = weights * (lr * hyper.weight_decay)
    inner, outer = half_ulps(W.float().numpy(), str(W.dtype).removeprefix("torch."))
    per_outer = torch.from_numpy(1 / outer).copysign_(weights)
    denser = torch.from_numpy(outer / inner)

    def reach(loss: Tensor, over: Tensor) -> np.ndarray:
        inward = (loss / over).add_(decay).mul_(per_outer)
        return torch.maximum(inward * denser, inward.neg_()).numpy()

    loss_r, loss_x = recorded.first * step, exact.first * step  # of W: a change is its negative
    over_r, over_x = (denominator(moments.second, t, hyper) for moments in (recorded, exact))
    return Reach(
        reach(loss_r, over_r), reach(loss_x, over_x), reach(loss_x, over_r), reach(loss_r, over_x)
    )


def is_odd(W: Tensor) -> np.ndarray:
    """Return whether the lowest bit of the numbers is set: they then lose a tie to a neighbour."""
    return (W.view(LOWEST_BIT[W.dtype]).numpy() & 1).astype(bool)


def cause_of(without_gradient: bool, rr: bool, xx: bool, xr: bool, rx: bool) -> str:
    """Return why a component stood still.

    Parameters
    ----------
    without_gradient : bool
        The gradient is 0 and so is the recorded first moment before the update.
    rr, xx, xr, rx : bool
        Whether these moments move it; the letters are those of `Reach`.
    """
    if without_gradient and not rr:
        return "no gradient"
    if not xx:
        return "below half an ulp"
    if rr:
        return "another rounding"
    if xr and rx:
        return "either"
    if not xr and not rx:
        return "both together"
    return "first moment" if xr else "second moment"


ANSWERS = list(product([False, True], repeat=5))
CAUSE_OF = np.array([CAUSES.index(cause_of(*answers)) for answers in ANSWERS], np.int8)


def name_causes(reach: Reach, odd: np.ndarray, without_gradient: np.ndarray) -> np.ndarray:
    """Return the cause for which each component would stand still, as an index into `CAUSES`.

    Meaningful where the update did leave the component as it was.

    Parameters
    ----------
    reach : Reach
    odd : ndarray of bool
        See `is_odd`.
    without_gradient : ndarray of bool
        See `cause_of`.

    Returns
    -------
    ndarray of int8, same shape
    """
    enough = 1 - odd * 2.0**-53  # an odd number goes at a tie too: at more than the float64 below 1
    moves = [part > enough for part in (reach.rr, reach.xx, reach.xr, reach.rx)]
    row = np.zeros(odd.shape, np.uint8)  # of ANSWERS: a binary number of the five
    for answer in (without_gradient, *moves):
        row = 2 * row + answer
    return CAUSE_OF[row]
