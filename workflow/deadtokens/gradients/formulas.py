"""What the gradient of W must be, from probabilities and hidden states alone, in float64.

With L the mean cross-entropy over N positions, p their probabilities, y the one-hot labels and h
the final hidden states: dL/dlogits = (p - y) / N, and by the chain rule the output side of dL/dW is
the mean over positions of (p - y) h^T. A dead token is never a label, so its row is mean(p_i h).
Where `logit_spread` is constant, a position's logits are c W h with a factor c that is taken as
given, and all this holds with c h in place of h: the hidden state as it scores.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deadtokens.run.bits import format_of
from deadtokens.run.formats import UNIT_ROUNDOFF

SLICE = 256  # positions that are in memory at a time
SMALLEST_NORMAL = 2.0**-126  # of both formats


@dataclass(frozen=True)
class Prediction:
    """What the probabilities of one batch say.

    Attributes
    ----------
    error_rows : float64 Tensor of shape (vocabulary, width)
        mean((p - y) h^T): the output side of dL/dW.
    probability_rows : float64 Tensor of shape (vocabulary, width)
        mean(p h^T): the same for tokens that are never a label.
    terms : float64 Tensor of shape (vocabulary, width)
        mean((p + y) |h|^T): the size of what is summed, for rounding bounds.
    probability : float64 Tensor of shape (vocabulary,)
        Mean over positions.
    entropy : float
        Of the prediction, mean over positions, nats.
    top_probability : float
        Of the most probable token, mean over positions.
    """

    error_rows: Tensor
    probability_rows: Tensor
    terms: Tensor
    probability: Tensor
    entropy: float
    top_probability: float


def predict(logits: Tensor, hidden: Tensor, targets: Tensor) -> Prediction:
    """Compute a `Prediction`, some positions at a time.

    Parameters
    ----------
    logits : Tensor of shape (positions, vocabulary)
    hidden : Tensor of shape (positions, width)
    targets : int64 Tensor of shape (positions,)
    """
    positions, vocabulary = logits.shape
    labels = torch.zeros((vocabulary, 2 * hidden.shape[1]), dtype=torch.float64)
    sums = torch.zeros_like(labels)
    probability = torch.zeros(vocabulary, dtype=torch.float64)
    entropy = top = 0.0
    for start in range(0, positions, SLICE):
        part = slice(start, start + SLICE)
        log_p = torch.log_softmax(logits[part].double(), dim=1)
        p, h = log_p.exp(), hidden[part].double()
        both = torch.cat([h, h.abs()], dim=1)
        sums += p.T @ both
        labels.index_add_(0, targets[part], both)
        probability += p.sum(0)
        entropy -= float((p * log_p).sum())
        top += float(p.amax(1).sum())
    rows, sizes = sums.chunk(2, dim=1)
    label_rows, label_sizes = labels.chunk(2, dim=1)
    return Prediction(
        error_rows=(rows - label_rows) / positions,
        probability_rows=rows / positions,
        terms=(sizes + label_sizes) / positions,
        probability=probability / positions,
        entropy=entropy / positions,
        top_probability=top / positions,
    )


def rounding_bound(exact: Tensor, terms: Tensor, logits: Tensor, arithmetic: torch.dtype) -> Tensor:
    """Return how far the training's own gradient may be from the exact one, (vocabulary, width).

    The training computes p in float32 (a sum of V terms, exponentials of numbers as large as the
    logits' range, which were scaled in float32 if their spread is constant), rounds (p - y) / N to
    the arithmetic's format, sums N products in float32 and rounds the sum. Each of these is bounded
    as in Higham, Accuracy and Stability of Numerical Algorithms, chapters 2 and 3: n operations of
    unit roundoff u err by n u of the terms' sizes.

    Parameters
    ----------
    exact, terms : float64 Tensor of shape (vocabulary, width)
        See `Prediction`.
    logits : Tensor of shape (positions, vocabulary)
    arithmetic : torch.dtype
    """
    positions, vocabulary = logits.shape
    reach = float(logits.max()) - float(logits.min())
    unit, float32 = UNIT_ROUNDOFF[format_of(arithmetic)], UNIT_ROUNDOFF["float32"]
    operations = positions + vocabulary + 8 * reach + 10
    before_rounding = (unit + operations * float32) * terms
    return before_rounding + unit * (exact.abs() + before_rounding) + SMALLEST_NORMAL


def sum_over_vocabulary(grad: Tensor) -> float:
    """Return ``|sum_i g_i| / sum_i |g_i|`` of the rows of a gradient; NaN if all are zero.

    The output side sums to zero because every position's errors do: sum_i (p_i - y_i) = 1 - 1.
    """
    rows = grad.double()
    return float(rows.sum(0).norm() / rows.norm(dim=1).sum())
