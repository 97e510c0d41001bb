"""How large the rounding of an update can be, from the operations that its regime performs.

Nothing here looks at the displacement: what the attribution calls rounding must lie within.
"""

from dataclasses import dataclass

import numpy as np

from deadtokens.attribution.terms import DECAY, MOMENTUM, PRESENT
from deadtokens.loops import regrouped
from deadtokens.run.formats import EXPONENT, UNIT_ROUNDOFF
from deadtokens.run.precision import Regime

# bfloat16 operations compute in float32 inside; scalars are float32
SINGLE = UNIT_ROUNDOFF["float32"]
# Smaller numbers count as this one: above whatever the operations lose by underflow.
SMALLEST = np.float32(2.0**-64)


@dataclass(frozen=True)
class Roundings:
    """What a regime's update rounds, as largest relative errors.

    Attributes
    ----------
    operation : float
        Of each operation of the update.
    result : float
        Of the step into the weights: half an ulp, or a whole one where it is stochastic.
    second_moment : float
        Of the recorded v against the one in D, where that is rounded only afterwards.
    """

    operation: float
    result: float
    second_moment: float = 0.0


def roundings(regime: Regime) -> Roundings:
    """Return what the update of a regime rounds."""
    into_weights = UNIT_ROUNDOFF[regime.weights]
    if regime.weights == "bfloat16":
        into_weights += 4 * SINGLE  # the sum was a float32 before
    match regime.update:
        case "torch":
            return Roundings(UNIT_ROUNDOFF[regime.weights], into_weights)
        case "rounded":
            afterwards = UNIT_ROUNDOFF[regime.moments] if regime.moments == "bfloat16" else 0.0
            return Roundings(SINGLE, into_weights, afterwards)
        case "stochastic":
            return Roundings(SINGLE, 2 * into_weights)


def bound_factors(factors: np.ndarray, units: Roundings) -> np.ndarray:
    """Return by what `rounding_bound` multiplies each of its parts, float64 of shape (4,).

    The parts, and the operations that they are of, in their order, with u for `units.operation`,
    and s = 2 ** -24 for what float32 loses inside each operation and in each scalar:

    - W[t - 1]: half an ulp of it, of W (1 - lr weight_decay), if there is decay
    - present and momentum: lerp, 4 s (|g| + |m[t - 1]|), and the result by a factor within 1 +- u;
      sqrt, division and addition of eps, D by such a factor each; D by the root of one within
      1 +- `units.second_moment` besides
    - W[t]: `units.result` of its binade, by addcdiv and the step into the weights

    Parameters
    ----------
    factors : ndarray of shape (4,)
        As `terms.coefficients` gives them.
    units : Roundings
    """
    inside = 4 * SINGLE
    of_root = (1 - units.second_moment) ** -0.5
    of_step = of_root * (1 - units.operation - inside) ** -4 - 1
    step = -(factors[PRESENT] + factors[MOMENTUM])
    growth = max(1.0, 2 * abs(1 + factors[DECAY])) if factors[DECAY] else 0.0
    return np.array(
        [
            growth * (units.operation + inside),
            -of_step * factors[PRESENT] + inside * step,
            -of_step * factors[MOMENTUM] + inside * step,
            units.result,
        ]
    )


@regrouped
def binade(value):
    """Return 2 ** E for a float32 of 1.x * 2 ** E, of any sign; at least SMALLEST.

    Half an ulp of a value is that times the unit roundoff of its format.
    """
    exponent = np.uint32(np.float32(value).view(np.uint32) & EXPONENT)
    return max(exponent.view(np.float32), SMALLEST)


@regrouped
def bound_rounding(before, after, vectors, factors, bound):
    """Fill `bound` with the largest size that the rounding of each weight's update can have.

    Parameters
    ----------
    before, after : float32 ndarray of shape (weights,)
        W before and after an update.
    vectors : float64 ndarray of shape (5 or more, weights)
        As `terms.split_displacement` fills them; only present and momentum are looked at.
    factors : float64 ndarray of shape (4,)
        As `bound_factors` gives them.
    bound : float64 ndarray of shape (weights,)
    """
    present, momentum = vectors[PRESENT], vectors[MOMENTUM]
    of_before, of_present, of_momentum, of_after = factors
    for i in range(len(bound)):
        bound[i] = of_before * binade(before[i]) + of_after * binade(after[i])
    for i in range(len(bound)):
        bound[i] += of_present * abs(present[i]) + of_momentum * abs(momentum[i])
