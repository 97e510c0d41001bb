"""How large the rounding of an update can be, from the operations that its regime performs.

Nothing here looks at the displacement: what the attribution calls rounding must lie within.
"""

from dataclasses import dataclass

import numpy as np

from deadtokens.attribution.terms import DECAY, MOMENTUM, PRESENT
from deadtokens.loops import regrouped
from deadtokens.run.formats import EXPONENT, UNIT_ROUNDOFF
from deadtokens.run.rule import Rule

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
    operations : int
        That a gradient goes through on its way to the step: four of Adam's, two of SGD's.
    second_moment : float
        Of the recorded v against the one in D, where that is rounded only afterwards.
    compensated : bool
        Whether the step goes into a compensation first.
    """

    operation: float
    result: float
    operations: int = 4
    second_moment: float = 0.0
    compensated: bool = False


def roundings(rule: Rule) -> Roundings:
    """Return what an update by a rule rounds."""
    operations = 4 if "exp_avg_sq" in rule.states else 2
    into_weights = UNIT_ROUNDOFF[rule.states["W"]]
    if rule.states["W"] == "bfloat16":
        into_weights += 4 * SINGLE  # the sum was a float32 before
    match rule.arithmetic:
        case "torch":
            operation, compensated = UNIT_ROUNDOFF[rule.states["W"]], "compensation" in rule.states
            return Roundings(operation, into_weights, operations, compensated=compensated)
        case "rounded":
            narrow = rule.states.get("exp_avg_sq") == "bfloat16"
            afterwards = UNIT_ROUNDOFF["bfloat16"] if narrow else 0.0
            return Roundings(SINGLE, into_weights, operations, afterwards)
        case "stochastic":
            return Roundings(SINGLE, 2 * into_weights, operations)


def bound_factors(factors: np.ndarray, units: Roundings) -> np.ndarray:
    """Return by what `rounding_bound` multiplies each of its parts, float64 of shape (4,).

    The parts, and the operations that they are of, in their order, with u for `units.operation`,
    and s = 2 ** -24 for what float32 loses inside each operation and in each scalar:

    - W[t - 1]: half an ulp of it, of W (1 - lr weight_decay), if there is decay
    - present and momentum: lerp, 4 s (|g| + |m[t - 1]|), and the result by a factor within 1 +- u;
      sqrt, division and addition of eps, D by such a factor each; D by the root of one within
      1 +- `units.second_moment` besides. Of SGD: beta1 m and its sum with g, by such a factor each
    - W[t]: `units.result` of its binade, by addcdiv and the step into the weights

    With a compensation c it is what the rounding is beyond c[t - 1] - c[t] that lies within. The
    step into W is not lost then: c takes it, of which three roundings are left, of c with the step,
    of the way that W went, and of their sum. All three are of no more than |c[t - 1]| + |c[t]| and
    the step, twice, which stands in place of the binade of W[t].

    Parameters
    ----------
    factors : ndarray of shape (4,)
        As `terms.coefficients` gives them.
    units : Roundings
    """
    inside = 4 * SINGLE
    of_root = (1 - units.second_moment) ** -0.5
    of_step = of_root * (1 - units.operation - inside) ** -units.operations - 1
    of_result = units.result
    if units.compensated:
        of_result = 2 * units.result * (1 - units.result) ** -4
        of_step += of_result * (1 + of_step)
    step = -(factors[PRESENT] + factors[MOMENTUM])
    growth = max(1.0, 2 * abs(1 + factors[DECAY])) if factors[DECAY] else 0.0
    return np.array(
        [
            growth * (units.operation + inside),
            -of_step * factors[PRESENT] + inside * step,
            -of_step * factors[MOMENTUM] + inside * step,
            of_result,
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
def measure_result(after, compensation, result):
    """Fill `result`, float64, with the sizes by which the last roundings of an update are bounded.

    Parameters
    ----------
    after : float32 ndarray of shape (weights,)
        W after the update.
    compensation : float32 ndarray of shape (2, weights), or (0, weights)
        Before and after it, if there is one.
    result : float64 ndarray of shape (weights,)
    """
    for i in range(len(result)):
        result[i] = binade(after[i])
    if len(compensation):
        for i in range(len(result)):
            sizes = abs(np.float64(compensation[0, i])) + abs(np.float64(compensation[1, i]))
            result[i] = max(sizes, np.float64(SMALLEST))


@regrouped
def bound_rounding(before, result, vectors, factors, bound):
    """Fill `bound` with the largest size that the rounding of each weight's update can have.

    Parameters
    ----------
    before : float32 ndarray of shape (weights,)
        W before an update.
    result : float64 ndarray of that shape
        As `measure_result` fills it.
    vectors : float64 ndarray of shape (5 or more, weights)
        As `terms.split_displacement` fills them; only present and momentum are looked at.
    factors : float64 ndarray of shape (4,)
        As `bound_factors` gives them.
    bound : float64 ndarray of shape (weights,)
    """
    present, momentum = vectors[PRESENT], vectors[MOMENTUM]
    of_before, of_present, of_momentum, of_result = factors
    for i in range(len(bound)):
        bound[i] = of_before * binade(before[i]) + of_result * result[i]
    for i in range(len(bound)):
        bound[i] += of_present * abs(present[i]) + of_momentum * abs(momentum[i])
