"""Every displacement as a sum of four terms, in float64.

A term is a vector times a number that all weights share: with D for the denominator of update t,
a = lr / (1 - beta1 ** t) and m for the first moment::

    decay     -lr weight_decay     W[t - 1]
    present   -a (1 - beta1)       g[t] / D
    momentum  -a beta1             m[t - 1] / D
    rounding  1                    what is left of W[t] - W[t - 1]
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deadtokens.training.update import Hyperparameters, denominator, step_size

TERMS = ("decay", "present", "momentum", "rounding")


def coefficients(t: int, lr: float, hyper: Hyperparameters) -> np.ndarray:
    """Return the numbers by which update t multiplies the vectors of TERMS, shape (4,)."""
    step = step_size(t, lr, hyper)
    return np.array([-lr * hyper.weight_decay, -step * (1 - hyper.beta1), -step * hyper.beta1, 1.0])


def inverse_denominator(exp_avg_sq: Tensor, t: int, hyper: Hyperparameters) -> Tensor:
    """Return 1 / D in float64, from the second moment after update t."""
    return denominator(exp_avg_sq.double(), t, hyper).reciprocal_()


def split_displacement(
    W: tuple[Tensor, Tensor],
    grad: Tensor,
    exp_avg: Tensor,
    inverse: Tensor,
    factors: np.ndarray,
    out: Sequence[Tensor] | None = None,
) -> Tensor | Sequence[Tensor]:
    """Return the vectors of the terms, and the displacement, to which they sum with `factors`.

    Parameters
    ----------
    W : (Tensor, Tensor) of one shape
        Before and after the update, in any format.
    grad, exp_avg : float64 Tensor of that shape
        The gradient of the update; the first moment before it.
    inverse : float64 Tensor of that shape
        As `inverse_denominator` gives it.
    factors : ndarray of shape (4,)
        As `coefficients` gives them.
    out : five float64 Tensors of that shape, optional

    Returns
    -------
    float64 Tensor of shape (5, *shape), or `out`
        In the order of TERMS, then the displacement.
    """
    vectors = torch.empty((5, *grad.shape), dtype=torch.float64) if out is None else out
    decay, present, momentum, rounding, displacement = vectors
    decay.copy_(W[0])
    displacement.copy_(W[1]).sub_(decay)
    torch.mul(grad, inverse, out=present)
    torch.mul(exp_avg, inverse, out=momentum)
    of_decay, of_present, of_momentum = factors[:3].tolist()
    torch.add(displacement, present, alpha=-of_present, out=rounding)
    rounding.sub_(momentum, alpha=of_momentum)
    if of_decay:
        rounding.sub_(decay, alpha=of_decay)
    return vectors
