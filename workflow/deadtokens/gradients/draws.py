"""The mean probability of a dead token before training, over draws of the weights.

At a wide embedding a few positions carry the mean over positions: those whose input tokens happen
to have short rows, or a dead token's row along them. It then differs by decades between seeds, and
no formula for one number can be right. So here are many: rows, batches and the rest of the stream
are drawn as `start` assumes them, the softmax is computed outright, and the numbers are spread as
those of other seeds are. Nothing of the run's own weights goes in.
"""

import math

import numpy as np
import torch
from torch import Tensor

from deadtokens.gradients.start import other_std, scores_itself
from deadtokens.run.spec import RunSpec, embedding_std, initial_spread
from deadtokens.training.loss import scale_

DRAWS = 39  # their range holds one more draw with probability (39 - 1) / (39 + 1) = 0.95


def draw_probabilities(
    spec: RunSpec, frequency: np.ndarray, dead: np.ndarray, draws: int = DRAWS
) -> np.ndarray:
    """Return a dead token's probability, mean over dead tokens and positions, of each draw.

    Parameters
    ----------
    spec : RunSpec
    frequency : ndarray of shape (vocabulary,)
        Unigram frequencies: what the inputs of a batch are drawn from.
    dead : bool ndarray of shape (vocabulary,)
    draws : int

    Returns
    -------
    float64 ndarray of shape (draws,)
        NaN without dead tokens. The same draws for every `embedding_std`.
    """
    if not dead.any():
        return np.full(draws, np.nan)
    generator = torch.Generator().manual_seed(0)
    weights, members = torch.from_numpy(frequency.astype(np.float64)), torch.from_numpy(dead)
    return np.array([_draw(spec, weights, members, generator) for _ in range(draws)])


def _draw(spec: RunSpec, frequency: Tensor, dead: Tensor, generator: torch.Generator) -> float:
    positions = spec.batch * spec.context
    inputs = torch.multinomial(frequency, positions, replacement=True, generator=generator)
    tokens, counts = inputs.unique(return_counts=True)

    def normal(rows: int, std: float) -> Tensor:
        return std * torch.randn((rows, spec.width), generator=generator)

    read = normal(len(dead), embedding_std(spec))
    stream = read[tokens] * spec.mlp_residual + normal(len(tokens), other_std(spec))
    stream -= stream.mean(dim=1, keepdim=True)
    hidden = math.sqrt(spec.width) * torch.nn.functional.normalize(stream, dim=1)
    scoring = read if scores_itself(spec) else normal(len(dead), embedding_std(spec))
    scores = hidden @ scoring.T
    if spec.logit_spread == "constant":
        scale_(scores, initial_spread(spec))
    log_p = torch.logsumexp(scores[:, dead], 1) - torch.logsumexp(scores, 1)
    return float((log_p.double().exp() * counts).sum() / positions / dead.sum())
