"""How large the rounding of an update can be, from the operations that its regime performs.

Nothing here looks at the displacement: what the attribution calls rounding must lie within.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deadtokens.training.precision import Regime

# Largest relative error of one rounding to nearest: half an ulp of 1.
UNIT = {"bfloat16": 2.0**-8, "float32": 2.0**-24}
SINGLE = UNIT["float32"]  # bfloat16 operations compute in float32 inside; scalars are float32
BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
EXPONENT = {torch.bfloat16: 0x7F80, torch.float32: 0x7F800000}
# Smaller numbers count as this one: above whatever the operations lose by underflow.
SMALLEST = 2.0**-64
_SMALLEST_BITS = {torch.bfloat16: 63 << 7, torch.float32: 63 << 23}


@dataclass(frozen=True)
class Roundings:
    """What a regime's update rounds, as largest relative errors.

    Attributes
    ----------
    operation : float
        Of each operation of the update.
    result : float
        Of the step into the weights: half an ulp, or a whole one where it is stochastic.
    """

    operation: float
    result: float


def roundings(regime: Regime) -> Roundings:
    """Return what the update of a regime rounds."""
    into_weights = UNIT[regime.weights]
    if regime.weights == "bfloat16":
        into_weights += 4 * SINGLE  # the sum was a float32 before
    match regime.update:
        case "torch":
            return Roundings(UNIT[regime.weights], into_weights)
        case "rounded":
            return Roundings(SINGLE, into_weights)
        case "stochastic":
            return Roundings(SINGLE, 2 * into_weights)


def binade(values: Tensor) -> Tensor:
    """Return 2 ** E for values 1.x * 2 ** E, in float64; at least SMALLEST.

    Half an ulp of a value is that times the UNIT of its format.

    Parameters
    ----------
    values : bfloat16 or float32 Tensor, of any sign
    """
    exponent = values.view(BITS[values.dtype]).bitwise_and(EXPONENT[values.dtype])
    return exponent.clamp_(min=_SMALLEST_BITS[values.dtype]).view(values.dtype).double()


def rounding_bound(
    W: tuple[Tensor, Tensor],
    vectors: Tensor | Sequence[Tensor],
    factors: np.ndarray,
    units: Roundings,
) -> Tensor:
    """Return the largest size that the rounding of each element's update can have.

    The operations in their order, with u for `units.operation`, and s = 2 ** -24 for what float32
    loses inside each operation and in each scalar:

    - W (1 - lr weight_decay): half an ulp of W[t - 1], if there is decay
    - lerp: 4 s (|g| + |m[t - 1]|), and the result by a factor within 1 +- u
    - sqrt, division and addition of eps: D by such a factor each
    - addcdiv and the step into the weights: `units.result` of W[t]'s binade

    Parameters
    ----------
    W : (Tensor, Tensor) of one shape
        Before and after the update, in the recorded format.
    vectors : float64 Tensor of shape (5, *shape), or five Tensors
        As `terms.split_displacement` gives them; only present and momentum are looked at.
    factors : ndarray of shape (4,)
    units : Roundings

    Returns
    -------
    float64 Tensor of that shape
    """
    inside = 4 * SINGLE
    of_step = (1 - units.operation - inside) ** -4 - 1
    step = -(factors[1] + factors[2])
    of_present, of_momentum = (-of_step * factors[1:3] + inside * step).tolist()
    bound = binade(W[1]).mul_(units.result)
    if factors[0]:
        growth = max(1.0, 2 * abs(1 + factors[0]))
        bound.add_(binade(W[0]), alpha=growth * (units.operation + inside))
    bound.add_(vectors[1].abs(), alpha=of_present)
    return bound.add_(vectors[2].abs(), alpha=of_momentum)
