"""The update rule: AdamW, one formula in one place."""

from collections.abc import Sequence

import torch
from torch import Tensor

from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    denominator_of,
    step_size,
)
from deadtokens.run.noise import Noise


@torch.no_grad()
def adamw_(
    W: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    t: int,
    lr: float,
    hyper: Hyperparameters,
) -> None:
    """Take state t - 1 to state t in place, rounding every operation to its tensor's format.

    With m, v for the moments and bc = 1 - beta ** t::

        W <- W (1 - lr weight_decay)
        m <- m + (1 - beta1) (g - m)
        v <- beta2 v + (1 - beta2) g g
        W <- W - (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps)

    The operations are those of `torch.optim.AdamW`'s single-tensor path, in its order, so that the
    bits agree (Loshchilov & Hutter 2019; note that the decay is lr * weight_decay * W).

    Parameters
    ----------
    W, grad, exp_avg, exp_avg_sq : Tensor of one shape and one dtype
    t : int
        The update, from 1.
    lr : float
    hyper : Hyperparameters
    """
    W.mul_(1 - lr * hyper.weight_decay)
    exp_avg.lerp_(grad, 1 - hyper.beta1)
    exp_avg_sq.mul_(hyper.beta2).addcmul_(grad, grad, value=1 - hyper.beta2)
    W.addcdiv_(exp_avg, denominator(exp_avg_sq, t, hyper), value=-step_size(t, lr, hyper))


def denominator(exp_avg_sq: Tensor, t: int, hyper: Hyperparameters) -> Tensor:
    """Return sqrt(v) / sqrt(1 - beta2 ** t) + eps, every operation in the moment's format."""
    return denominator_of(exp_avg_sq.sqrt(), correction(t, hyper), hyper.eps)


@torch.no_grad()
def rounded_adamw_(
    W: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    t: int,
    lr: float,
    hyper: Hyperparameters,
    noise: Noise | None = None,
) -> None:
    """Take state t - 1 to state t in float32; round once into W and the moments.

    To nearest-even, or, with `noise`, W stochastically to bfloat16.

    Parameters
    ----------
    W, grad, exp_avg, exp_avg_sq : Tensor of one shape
        Of any formats; what is float32 is not rounded.
    t : int
        The update, from 1.
    lr : float
    hyper : Hyperparameters
    noise : Noise, optional
    """
    exact = [tensor.float() for tensor in (W, exp_avg, exp_avg_sq)]
    adamw_(exact[0], grad.float(), *exact[1:], t, lr, hyper)
    round_into_((W, exp_avg, exp_avg_sq), exact, t, noise)


def round_into_(
    tensors: Sequence[Tensor], exact: Sequence[Tensor], t: int, noise: Noise | None
) -> None:
    """Round the float32 results of update t into W, the first, and its moments.

    `noise` rounds W stochastically; tensors that are their own results stay as they are.
    """
    W, result = tensors[0], exact[0]
    W.copy_(result if noise is None else round_stochastically(result, noise.bits(t, result)))
    for moment, value in zip(tensors[1:], exact[1:], strict=True):
        moment.copy_(value)


def round_stochastically(values: Tensor, noise: Tensor) -> Tensor:
    """Round float32 to bfloat16, up or down with probabilities that keep the mean.

    Adding 16 uniform bits below the kept half of the pattern carries with a probability equal to
    the dropped part. Infinities and NaN stay what they are.

    Parameters
    ----------
    values : float32 Tensor
    noise : int32 Tensor of the same shape, 0..65535

    Returns
    -------
    bfloat16 Tensor of the same shape
    """
    carried = ((values.view(torch.int32) + noise) & -65536).view(torch.float32)
    return torch.where(torch.isfinite(values), carried, values).to(torch.bfloat16)
