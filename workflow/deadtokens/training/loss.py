"""Unembedding, softmax and cross-entropy in one pass over blocks of positions.

The logits of all positions are the largest matrix of a training by far. Here a block of them exists
at a time, and while it is in the processor's cache everything that needs it is done: loss,
probabilities, error, and what the error gives to the hidden states and to W.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deadtokens.training.products import widened

BLOCK_BYTES = 2**21  # of a block's logits in float32: about what a core's cache holds


class Prediction(NamedTuple):
    """What a model predicts for a batch.

    Attributes
    ----------
    loss : float32 Tensor of shape ()
        Mean cross-entropy, nats.
    probability : float32 Tensor of shape (vocabulary,)
        Of every token, mean over positions.
    arithmetic : torch.dtype
        Format in which the logits were.
    """

    loss: Tensor
    probability: Tensor
    arithmetic: torch.dtype


def predict(hidden: Tensor, W: Tensor, targets: Tensor) -> Prediction:
    """Score every token at every position, and compare with the labels.

    The logits are hidden @ W.T, rounded to the operands' format; softmax and loss are float32. With
    the error e = (p - y) / positions, rounded like the logits, the gradients are e @ W and
    e.T @ hidden: sums in float32, over all positions, rounded once.

    Parameters
    ----------
    hidden : Tensor of shape (positions, width)
    W : Tensor of shape (vocabulary, width), of the same format
    targets : int64 Tensor of shape (positions,)
    """
    return Prediction(*_Predict.apply(hidden, W, targets))


class _Predict(torch.autograd.Function):
    """The computation behind `predict`; gradients are found on the way forward."""

    @staticmethod
    def forward(context, hidden: Tensor, W: Tensor, targets: Tensor) -> Prediction:
        positions, x, rows = len(hidden), widened(hidden), widened(W)
        d_hidden = torch.empty_like(x)
        d_W = x.new_zeros(rows.T.shape)  # the product with it on this side is the faster one
        losses, probabilities = [], torch.zeros(len(W), device=W.device)
        for block in _blocks(positions, W):
            logits = (x[block] @ rows.T).to(W.dtype)
            loss, p = cross_entropy(logits, targets[block])
            losses.append(loss)
            probabilities += p.sum(0)
            error = widened(_error_of(p, targets[block], positions).to(W.dtype))
            torch.mm(error, rows, out=d_hidden[block])
            d_W.addmm_(x[block].T, error)
        context.gradients = d_hidden.to(hidden.dtype), d_W.T.to(W.dtype).contiguous()
        context.mark_non_differentiable(probabilities)
        loss = torch.stack(losses).sum() / positions
        return Prediction(loss, probabilities.div_(positions), logits.dtype)

    @staticmethod
    def backward(context, d_loss: Tensor, *_: object) -> tuple[Tensor, Tensor, None]:
        d_hidden, d_W = context.gradients
        del context.gradients
        return d_hidden * d_loss.to(d_hidden.dtype), d_W * d_loss.to(d_W.dtype), None


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the positions' cross-entropies, nats, and their softmax, in float32.

    Parameters
    ----------
    logits : Tensor of shape (positions, vocabulary)
    targets : int64 Tensor of shape (positions,)

    Returns
    -------
    loss : float32 Tensor of shape ()
    probability : float32 Tensor of shape (positions, vocabulary)
    """
    scores = logits.float()
    probability = torch.softmax(scores, 1)
    # By the distance to the largest: the label's own p may be too small for float32.
    below = scores.amax(1) - scores.gather(1, targets[:, None])[:, 0]
    return (below - probability.amax(1).log()).sum(), probability


def _error_of(probability: Tensor, targets: Tensor, positions: int) -> Tensor:
    """Return (p - y) / positions, in place: a fresh matrix costs more than the arithmetic."""
    rows = torch.arange(len(probability), device=probability.device)
    probability[rows, targets] -= 1
    return probability.div_(positions)


def _blocks(positions: int, W: Tensor) -> list[slice]:
    """Return the positions that are taken together: on a GPU, which needs large products, all."""
    size = max(1, BLOCK_BYTES // (4 * len(W))) if W.device.type == "cpu" else positions
    return [slice(start, min(start + size, positions)) for start in range(0, positions, size)]
