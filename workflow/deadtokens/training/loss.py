"""Softmax and cross-entropy in one pass that keeps the probabilities for the record."""

import torch
from torch import Tensor


class SoftmaxCrossEntropy(torch.autograd.Function):
    """The computation behind `softmax_cross_entropy`; its backward pass may run once."""

    @staticmethod
    def forward(context, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        log_probability = torch.log_softmax(logits.float(), dim=1)
        loss = -log_probability.gather(1, targets[:, None]).mean()
        # In place, here and below: at these sizes a fresh matrix costs more than the arithmetic.
        probability = log_probability.exp_()
        mean_probability = probability.mean(0)
        context.probability, context.targets, context.format = probability, targets, logits.dtype
        context.mark_non_differentiable(mean_probability)
        return loss, mean_probability

    @staticmethod
    def backward(context, d_loss: Tensor, _: Tensor) -> tuple[Tensor, None]:
        error = context.probability
        del context.probability
        positions = torch.arange(len(error), device=error.device)
        error[positions, context.targets] -= 1
        return error.mul_(d_loss / len(error)).to(context.format), None


def softmax_cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy and the mean probability of every token.

    The gradient is dL/dlogits = (p - y) / positions, computed in float32 and rounded once to the
    logits' format.

    Parameters
    ----------
    logits : Tensor of shape (positions, vocabulary)
    targets : Tensor of shape (positions,)
        Token ids.

    Returns
    -------
    loss : float32 Tensor of shape ()
        In nats.
    mean_probability : float32 Tensor of shape (vocabulary,)
    """
    return SoftmaxCrossEntropy.apply(logits, targets)
