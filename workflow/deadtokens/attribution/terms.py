"""Every displacement as a sum of four terms, in float64.

A term is a vector times a number that all weights share: with D for the denominator of update t,
a = lr / (1 - beta1 ** t) and m for the first moment::

    decay     -lr weight_decay     W[t - 1]
    present   -a (1 - beta1)       g[t] / D
    momentum  -a beta1             m[t - 1] / D
    rounding  1                    what is left of W[t] - W[t - 1]

SGD has D = 1, a = lr, and takes g whole: present -lr g[t], momentum -lr beta1 m[t - 1]. With a
compensation c the rounding is, but for what is lost in c itself, c[t - 1] - c[t]: what this update
took from what earlier ones could not move, less what it leaves to later ones.
"""

import numpy as np

from deadtokens.loops import inlined, regrouped
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    denominator_of,
    gradient_weight,
    step_size,
)

TERMS = ("decay", "present", "momentum", "rounding")
DECAY, PRESENT, MOMENTUM, ROUNDING = range(len(TERMS))
DISPLACEMENT = len(TERMS)
inlined(denominator_of)  # which loops below call


def coefficients(t: int, lr: float, hyper: Hyperparameters) -> np.ndarray:
    """Return the numbers by which update t multiplies the vectors of TERMS, shape (4,)."""
    step, weight = step_size(t, lr, hyper), gradient_weight(hyper)
    return np.array([-lr * hyper.weight_decay, -step * weight, -step * hyper.beta1, 1.0])


@regrouped
def invert_denominator(exp_avg_sq, correction, eps, inverse):
    """Fill `inverse`, float64, with 1 / D, from second moments after an update, float32."""
    for i in range(len(inverse)):
        inverse[i] = 1 / denominator_of(np.sqrt(np.float64(exp_avg_sq[i])), correction, eps)


@regrouped
def split_displacement(before, after, grad, exp_avg, inverse, factors, vectors):
    """Fill the first five of `vectors`: those of TERMS, and the displacement to which they sum.

    Parameters
    ----------
    before, after : float32 ndarray of shape (weights,)
        W before and after an update.
    grad, exp_avg : float32 ndarray of that shape
        The gradient of the update; the first moment before it.
    inverse : float64 ndarray of that shape
        As `invert_denominator` fills it.
    factors : float64 ndarray of shape (4,)
        As `coefficients` gives them.
    vectors : float64 ndarray of shape (5 or more, weights)
    """
    decay, present, momentum = vectors[DECAY], vectors[PRESENT], vectors[MOMENTUM]
    rounding, displacement = vectors[ROUNDING], vectors[DISPLACEMENT]
    for i in range(len(before)):
        decay[i] = before[i]
        displacement[i] = np.float64(after[i]) - before[i]
    for i in range(len(before)):
        present[i] = grad[i] * inverse[i]
        momentum[i] = exp_avg[i] * inverse[i]
    of_decay, of_present, of_momentum, _ = factors
    for i in range(len(before)):
        intended = of_decay * decay[i] + of_present * present[i] + of_momentum * momentum[i]
        rounding[i] = displacement[i] - intended
