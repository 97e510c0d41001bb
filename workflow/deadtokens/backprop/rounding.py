"""How large the terms are of which each gradient is the sum: the yardstick of its rounding.

Where terms cancel, what rounding leaves is small beside the terms, not beside their sum. The key
bias has a gradient of exactly zero, the sum over queries q and keys k of
A_qk (g_A_qk - sum_i A_qi g_A_qi) Q_q / sqrt(d), and two right ways to it differ by 1e-16 of the
A g_A Q in it, which is infinitely far off relative to the result. p - y cancels in the same way as
the loss goes to zero, and so does all that LayerNorm takes out of a gradient; everything farther
down inherits what was lost.

The size of the terms is measured. To first order, rounding every operation k of a computation by a
relative e_k moves its result g by sum_k e_k t_k, with the terms t_k = (dg / dr_k) r_k, where r_k is
what the operation returns. So one pass whose results are moved by normal deviates of a standard
deviation `COARSE` moves g by `COARSE` times the root of the sum of the squares of all terms, in the
mean square. (This is Monte Carlo arithmetic; Parker, Pierce and Eggert, Computing in Science and
Engineering 2, 2000.) The terms of a gradient of ordinary size are a few times as large as it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deadtokens.backprop.symbols import Tensors

# Far above the 2^-53 of float64, so that its own rounding is lost in it; squares are lost in that.
COARSE = 2.0**-40
SLICE = 2**16  # elements that are moved at a time, in the cache
EXACT = {Tensor.amax}  # like the views, not rounded: these return numbers that they were given


class _Coarsely(TorchFunctionMode):
    """Moves every element of every rounded result by a normal deviate, `COARSE` of its size."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in EXACT or not _is_new_float(result):
            return result
        moved = torch.empty(result.shape, dtype=result.dtype)
        parts = (tensor.flatten().split(SLICE) for tensor in (result, moved))
        for exact, part in zip(*parts, strict=True):
            # Drawn in float32: coarse enough for what is only a size, and four times as fast.
            deviates = torch.empty(part.shape).normal_(std=COARSE, generator=self.generator)
            torch.mul(exact, deviates, out=part).add_(exact)
        return moved


def _is_new_float(result: object) -> bool:
    return isinstance(result, Tensor) and result.is_floating_point() and not result._is_view()


def term_sizes(
    backward: Callable[[], Tensors], gradients: Tensors
) -> dict[tuple[int, str], Tensor]:
    """Return the size of the terms of each gradient, over all its components.

    Parameters
    ----------
    backward : callable
        Computes the gradients, in float64.
    gradients : Tensors
        What it returns.

    Returns
    -------
    dict of (block, symbol) to Tensor of shape ()
        From one draw of the deviates: the order of magnitude.
    """
    with _Coarsely():
        moved = backward()
    return {
        place: torch.linalg.vector_norm(moved[place] - gradient) / COARSE
        for place, gradient in gradients.items()
    }
