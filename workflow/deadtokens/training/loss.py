"""Unembedding, softmax and cross-entropy in one pass over blocks of positions.

The logits of all positions are the largest matrix of a training by far. Here a block of them exists
at a time, and while it is in the processor's cache everything that needs it is done: loss,
probabilities, error, and what the error gives to the hidden states and to W.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from deadtokens.training.products import widened

BLOCK_BYTES = 2**21  # of a block's logits in float32: about what a core's cache holds
ALIKE = 2.0**-16  # of their mean: a smaller spread is that of float32's sums, not of the scores


class Prediction(NamedTuple):
    """What a model predicts for a batch.

    Attributes
    ----------
    loss : float32 Tensor of shape ()
        Mean cross-entropy, nats.
    probability : float32 Tensor of shape (vocabulary,)
        Of every token, mean over positions.
    entropy : float32 Tensor of shape ()
        Of the positions' predictions, mean over them, nats.
    factor : float32 Tensor of shape (positions,)
        By which the logits were scaled: 1, unless their spread is held constant.
    arithmetic : torch.dtype
        Format in which the logits were.
    """

    loss: Tensor
    probability: Tensor
    entropy: Tensor
    factor: Tensor
    arithmetic: torch.dtype


def predict(hidden: Tensor, W: Tensor, targets: Tensor, spread: float | None = None) -> Prediction:
    """Score every token at every position, and compare with the labels.

    The logits are hidden @ W.T, rounded to the operands' format; softmax and loss are float32. With
    the error e = (p - y) / positions, rounded like the logits, the gradients are e @ W and
    e.T @ hidden: sums in float32, over all positions, rounded once.

    With a `spread` s, the rounded logits of each position are multiplied by the factor
    c = s / (their standard deviation over the vocabulary), in float32 and not rounded again. The
    factor is taken as given: no gradient goes through it, and e = c (p - y) / positions.

    Parameters
    ----------
    hidden : Tensor of shape (positions, width)
    W : Tensor of shape (vocabulary, width), of the same format
    targets : int64 Tensor of shape (positions,)
    spread : float or None
        Standard deviation that the logits of each position are given; None leaves them theirs.
    """
    return Prediction(*_Predict.apply(hidden, W, targets, spread))


class _Predict(torch.autograd.Function):
    """The computation behind `predict`; gradients are found on the way forward."""

    @staticmethod
    def forward(
        context, hidden: Tensor, W: Tensor, targets: Tensor, spread: float | None
    ) -> Prediction:
        positions, x, rows = len(hidden), widened(hidden), widened(W)
        d_hidden = torch.empty_like(x)
        d_W = x.new_zeros(rows.T.shape)  # the product with it on this side is the faster one
        losses, entropies, probabilities = [], [], torch.zeros(len(W), device=W.device)
        factor = torch.ones(positions, device=W.device)
        for block in _blocks(positions, W):
            logits = (x[block] @ rows.T).to(W.dtype)
            scores = logits.float()
            if spread is not None:
                factor[block] = scale_(scores, spread)
            loss, entropy, p = cross_entropy(scores, targets[block])
            losses.append(loss)
            entropies.append(entropy)
            probabilities += p.sum(0)
            error = _error_of(p, targets[block], positions)
            if spread is not None:
                error *= factor[block, None]
            error = widened(error.to(W.dtype))
            torch.mm(error, rows, out=d_hidden[block])
            d_W.addmm_(x[block].T, error)
        context.gradients = d_hidden.to(hidden.dtype), d_W.T.to(W.dtype).contiguous()
        loss, entropy = (torch.stack(sums).sum() / positions for sums in (losses, entropies))
        probabilities.div_(positions)
        context.mark_non_differentiable(probabilities, entropy, factor)
        return Prediction(loss, probabilities, entropy, factor, logits.dtype)

    @staticmethod
    def backward(context, d_loss: Tensor, *_: object) -> tuple[Tensor | None, ...]:
        d_hidden, d_W = context.gradients
        del context.gradients
        return d_hidden * d_loss.to(d_hidden.dtype), d_W * d_loss.to(d_W.dtype), None, None


def scale_(scores: Tensor, spread: float) -> Tensor:
    """Scale the scores of each position to a standard deviation, in place; return the factors.

    Their mean is taken out, which a softmax does not see. Scores that are alike but for rounding
    stay so, with a factor of 1; of scores too large for a standard deviation the factor is NaN, as
    the loss then is.

    Parameters
    ----------
    scores : Tensor of shape (positions, vocabulary)
    spread : float

    Returns
    -------
    Tensor of shape (positions,)
    """
    mean = scores.mean(1)
    scores -= mean[:, None]
    found = torch.linalg.vector_norm(scores, dim=1) / math.sqrt(scores.shape[1])
    factor = torch.where(found <= ALIKE * mean.abs(), 1.0, spread / found)
    factor.masked_fill_(found.isinf(), torch.nan)
    scores *= factor[:, None]
    return factor


def cross_entropy(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sums over positions of cross-entropy and entropy, nats, and their softmax.

    With the largest score z and its probability p, ln p_i = z_i - z + ln p: no logarithm of each is
    needed, and the label's own p may be too small for float32.

    Parameters
    ----------
    scores : float32 Tensor of shape (positions, vocabulary)
    targets : int64 Tensor of shape (positions,)

    Returns
    -------
    loss, entropy : float32 Tensor of shape ()
    probability : float32 Tensor of shape (positions, vocabulary)
    """
    probability = torch.softmax(scores, 1)
    highest, log_highest = scores.amax(1), probability.amax(1).log()
    below = highest - scores.gather(1, targets[:, None])[:, 0]
    mean_below = highest - torch.linalg.vecdot(probability, scores)
    return (below - log_highest).sum(), (mean_below - log_highest).sum(), probability


def _error_of(probability: Tensor, targets: Tensor, positions: int) -> Tensor:
    """Return (p - y) / positions, in place: a fresh matrix costs more than the arithmetic."""
    rows = torch.arange(len(probability), device=probability.device)
    probability[rows, targets] -= 1
    return probability.div_(positions)


def _blocks(positions: int, W: Tensor) -> list[slice]:
    """Return the positions that are taken together: on a GPU, which needs large products, all."""
    size = max(1, BLOCK_BYTES // (4 * len(W))) if W.device.type == "cpu" else positions
    return [slice(start, min(start + size, positions)) for start in range(0, positions, size)]
