"""How old the gradients are that move a token: the first moment, unrolled exactly.

Without rounding the moment would be E[t] = beta1 E[t - 1] + (1 - beta1) g[t], from E[0] = 0, and
what gradients of age k and more contribute to E[t] is beta1 ** k E[t - k], which is an average too:
of the gradients as they were k updates ago. A record that begins in the midst of a training has an
E[0] that is not 0: its gradients count as the oldest, whatever their age.
"""

import numpy as np

from deadtokens.loops import regrouped

BORDERS = (1, 10, 100)
AGES = ("0", "1-9", "10-99", ">=100", "rounding of the moment")
MEMORY = BORDERS[-1]  # gradients that are remembered from update to update


@regrouped
def advance(average, grad, beta1, inverse, older):
    """Take E an update on, in place, and fill `older` with E / D.

    Parameters
    ----------
    average : float64 ndarray of shape (weights,)
        E.
    grad : float32 ndarray of that shape
        The next gradient of E.
    beta1 : float
    inverse, older : float64 ndarray of that shape
        1 / D of the update that is explained; E / D.
    """
    for i in range(len(average)):
        average[i] = beta1 * average[i] + (1 - beta1) * grad[i]
        older[i] = average[i] * inverse[i]


def split_by_age(
    present: np.ndarray, momentum: np.ndarray, older: np.ndarray, beta1: float
) -> np.ndarray:
    """Split the motion by present gradient and momentum by the age of the gradients.

    What the recorded moment has beyond the exact average of gradients is a part of its own.

    Parameters
    ----------
    present, momentum : ndarray of shape (..., components)
        The terms.
    older : ndarray of shape (..., 3, components)
        What momentum would be with E of 1, 10 and 100 updates before for the moment, without beta1.
    beta1 : float

    Returns
    -------
    ndarray of shape (..., 5, components), in the order of AGES
    """
    at_least = older * beta1 ** np.array(BORDERS)[:, None]
    windows = at_least[..., :-1, :] - at_least[..., 1:, :]
    rounding = momentum - at_least[..., 0, :]
    ends = [array[..., None, :] for array in (present, at_least[..., -1, :], rounding)]
    return np.concatenate([ends[0], windows, *ends[1:]], axis=-2)
