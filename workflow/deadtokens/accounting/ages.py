"""How old the gradients are that move a token: the first moment, unrolled exactly.

Without rounding the moment would be E[t] = beta1 E[t - 1] + (1 - beta1) g[t], from E[0] = 0, and
what gradients of age k and more contribute to E[t] is beta1 ** k E[t - k].
"""

import numpy as np
import torch
from torch import Tensor

BORDERS = (1, 10, 100)
AGES = ("0", "1-9", "10-99", ">=100", "rounding of the moment")
REACH = BORDERS[-1]


class RecentAverages:
    """E after each of the last REACH updates, in float64.

    Parameters
    ----------
    start : float64 Tensor of shape (tokens, components)
        E, REACH updates ago.
    grads : Tensor of shape (REACH - 1, tokens, components)
        Of the updates since, in order.
    beta1 : float
    """

    def __init__(self, start: Tensor, grads: Tensor, beta1: float):
        self.weight = 1 - beta1
        self.ring = torch.empty((REACH, *start.shape), dtype=torch.float64).unbind()
        self.ring[0].copy_(start)
        self.next = 1
        for grad in grads:
            self.push(grad.double())

    def ago(self, updates: int) -> Tensor:
        """Return E so many updates, 1 to REACH, before the one that is pushed next."""
        return self.ring[(self.next - updates) % REACH]

    def push(self, grad: Tensor) -> None:
        """Take in the float64 gradient of the next update."""
        torch.lerp(self.ago(1), grad, self.weight, out=self.ring[self.next % REACH])
        self.next += 1


class GradientHistory:
    """What `RecentAverages` needs at the start of a segment, for all tokens.

    Gradients are kept as they were recorded: a quarter of the memory that their averages need.

    Parameters
    ----------
    tokens, components : int
    beta1 : float
    dtype : torch.dtype
        Of the recorded gradients.
    """

    def __init__(self, tokens: int, components: int, beta1: float, dtype: torch.dtype):
        self.beta1 = beta1
        self.start = torch.zeros((tokens, components), dtype=torch.float64)
        self.grads = torch.zeros((REACH - 1, tokens, components), dtype=dtype)

    def recall(self, rows: slice) -> RecentAverages:
        """Return the averages of some tokens before the update that comes next."""
        return RecentAverages(self.start[rows], self.grads[:, rows], self.beta1)

    def keep(self, rows: slice, averages: RecentAverages, grads: Tensor) -> None:
        """Remember some tokens after the updates that consumed `grads`, (updates, tokens, ...)."""
        self.start[rows] = averages.ago(REACH)
        kept = self.grads[len(grads) :, rows].clone()
        self.grads[: len(kept), rows] = kept
        self.grads[len(kept) :, rows] = grads[-(REACH - 1) :]


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
