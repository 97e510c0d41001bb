"""The update rules: AdamW, SGD and Coupled Adam, one formula in one place."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from deadtokens.run.hyperparameters import (
    Hyperparameters,
    correction,
    denominator_of,
    step_size,
)

State = Mapping[str, Tensor]  # W and what is carried beside it, by the names of `layout`
Bits = Callable[[Tensor], Tensor]  # random ones for the elements of a tensor, see `noise.Noise`


class Numbers:
    """The numbers of an update, and the operations that take those that change between updates.

    Parameters
    ----------
    t : int
        The update, from 1.
    lr : float
    hyper : Hyperparameters
    """

    def __init__(self, t: int, lr: float, hyper: Hyperparameters):
        self.t, self.lr, self.hyper = t, lr, hyper

    def decay_(self, W: Tensor) -> None:
        """Take W (1 - lr weight_decay), in place."""
        W.mul_(1 - self.lr * self.hyper.weight_decay)

    def denominator(self, exp_avg_sq: Tensor) -> Tensor:
        """Return sqrt(v) / sqrt(1 - beta2 ** t) + eps, every operation in the moment's format."""
        root = exp_avg_sq.sqrt()
        return denominator_of(root, correction(self.t, self.hyper), self.hyper.eps)

    def step_(self, target: Tensor, m: Tensor, denominator: Tensor | None) -> None:
        """Add -(lr / bc1) m / denominator to `target`; of SGD, which has none, -lr m."""
        step = -step_size(self.t, self.lr, self.hyper)
        if denominator is None:
            target.add_(m.to(torch.promote_types(m.dtype, torch.float32)), alpha=step)
        else:
            target.addcdiv_(m, denominator, value=step)


@torch.no_grad()
def update_(
    state: State, grad: Tensor, numbers: Numbers, grad_sq_mean: Tensor | None = None
) -> None:
    """Take state t - 1 to state t in place, rounding every operation to its tensor's format.

    With m, v for the moments and bc = 1 - beta ** t, AdamW is::

        W <- W (1 - lr weight_decay)
        m <- m + (1 - beta1) (g - m)
        v <- beta2 v + (1 - beta2) g g
        W <- W - (lr / bc1) m / (sqrt(v) / sqrt(bc2) + eps)

    The operations are those of `torch.optim.AdamW`'s single-tensor path, in its order, so that the
    bits agree (Loshchilov & Hutter 2019; note that the decay is lr * weight_decay * W). Coupled
    Adam (Stollenwerk & Stollenwerk 2025) has one v for all rows of an embedding matrix, of the mean
    of their g g in place of g g.

    SGD's m is g in the first update, and in all updates without momentum; then::

        m <- beta1 m + g
        W <- W - lr m

    as in `torch.optim.SGD`'s single-tensor path, bit for bit in float32. In bfloat16 W - lr m is
    taken in float32 and rounded once, as on a GPU; torch's kernels for CPUs round lr to bfloat16,
    and of the last few weights of a tensor lr m too. The decay is AdamW's, decoupled, so that runs
    which differ in their optimizer decay alike; torch's SGD adds weight_decay * W to g instead.

    With a compensation c the step is added to it and not to W (Kahan 1965; as in torchdistx'
    AnyPrecisionAdamW and in optimi, but with torch's AdamW for the rest: AnyPrecisionAdamW rounds
    beta1 m and its sum with (1 - beta1) g each). What W can take of c it takes, the rest stays::

        c <- c + step
        W' <- W + c
        c <- c + (W - W')

    Parameters
    ----------
    state : mapping of str to Tensor of one shape and one format
    grad : Tensor of that shape and format
    numbers : Numbers
    grad_sq_mean : float32 Tensor of shape (components,), optional
        Of all rows of an embedding matrix under Coupled Adam, as `mean_square` gives it.
    """
    W, compensation = state["W"], state.get("compensation")
    numbers.decay_(W)
    take_moments_(state, grad, numbers, grad_sq_mean)
    take_step_(W if compensation is None else compensation, state, grad, numbers)
    if compensation is not None:
        before = W.clone()
        W.add_(compensation)
        compensation.add_(before.sub_(W))


def take_moments_(
    state: State, grad: Tensor, numbers: Numbers, grad_sq_mean: Tensor | None
) -> None:
    """Take the moments of `state` through an update, see `update_`."""
    hyper = numbers.hyper
    if "exp_avg_sq" in state:
        state["exp_avg"].lerp_(grad, 1 - hyper.beta1)
        v = state["exp_avg_sq"].mul_(hyper.beta2)
        if grad_sq_mean is None:
            v.addcmul_(grad, grad, value=1 - hyper.beta2)
        else:
            v.add_(grad_sq_mean, alpha=1 - hyper.beta2)
    elif "exp_avg" in state:
        if numbers.t == 1:
            state["exp_avg"].copy_(grad)
        else:
            state["exp_avg"].mul_(hyper.beta1).add_(grad)


def take_step_(target: Tensor, state: State, grad: Tensor, numbers: Numbers) -> None:
    """Add the step of an update to `target`, see `update_`; the moments have been taken."""
    v = state.get("exp_avg_sq")
    denominator = None if v is None else numbers.denominator(v)
    numbers.step_(target, state.get("exp_avg", grad), denominator)


@torch.no_grad()
def mean_square(grad: Tensor) -> Tensor:
    """Return the mean of squares over the first axis, with the same bits on every device.

    Squares are exact in float64. The second half of the rows is added to the first until one row is
    left: an order that no device chooses for itself.

    Parameters
    ----------
    grad : Tensor of shape (tokens, components)

    Returns
    -------
    float32 Tensor of shape (components,)
    """
    squares = grad.double().square()
    while len(squares) > 1:
        half = (len(squares) + 1) // 2
        squares[: len(squares) - half] += squares[half:]
        squares = squares[:half]
    return (squares[0] / len(grad)).float()


@torch.no_grad()
def rounded_update_(
    state: State,
    grad: Tensor,
    numbers: Numbers,
    grad_sq_mean: Tensor | None = None,
    noise: Bits | None = None,
) -> None:
    """Take state t - 1 to state t in float32; round once into W and what is carried beside it.

    To nearest-even, or, with `noise`, W stochastically to bfloat16. The parameters are those of
    `update_`; what of `state` is float32 is not rounded.
    """
    exact = {name: tensor.float() for name, tensor in state.items()}
    update_(exact, grad.float(), numbers, grad_sq_mean)
    round_into_(state, exact, noise)


def round_into_(state: State, exact: State, noise: Bits | None) -> None:
    """Round the float32 results of an update into a state; `noise` rounds W stochastically.

    Tensors that are their own results stay as they are.
    """
    for name, tensor in state.items():
        result = exact[name]
        if name == "W" and noise is not None:
            result = round_stochastically(result, noise(result))
        tensor.copy_(result)


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
