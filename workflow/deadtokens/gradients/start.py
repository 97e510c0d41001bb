"""What the softmax gives a dead token before training, from the sizes of the initial weights.

A tied model carries the input token's own row E_a through its residual stream to the unembedding,
where that same row scores it. With rows of independent normal components of standard deviation
sigma (`embedding_std`), width D, V tokens:

- The stream before the last LayerNorm is x = E_a + r. The rest r (position, MLPs) is independent
  of E_a, of standard deviation tau a component, see `other_std`; attention at the start averages
  what it adds nearly away and is left out.
- LayerNorm gives |h| = sqrt(D), so the own score is |E_a| sqrt(D) cos, about sigma D cos, with
  cos = sigma / sqrt(sigma^2 + tau^2); |E_a| / sigma is chi-distributed with D degrees of freedom.
- Any other token scores E_b . h, normal with standard deviation sigma sqrt(D).
- So p_b = e^(score of b) / (e^(own score) + sum of the V - 1 others). Untied, the own score is one
  of the others, and every token has 1 / V on average.

Means over exponentials of normals live on their rarest draws, more of which the formula knows than
a batch can show: n draws are therefore taken as the n quantiles at (k + 1/2) / n. Above
sigma sqrt(D) = sqrt(2 ln V) the sum then is about its largest term, as in Derrida's random energy
model (Phys. Rev. B 24, 2613, 1981); a mean that few draws carry differs between seeds accordingly.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import chi, norm

from deadtokens.training.model import EXPANSION
from deadtokens.training.spec import RunSpec

# E[act(a z)^2] / a^2 of a small normal a z: GELU is x / 2 there, ReLU cuts half of the numbers off.
PASSED_ON = {"gelu": 1 / 4, "relu": 1 / 2}


@dataclass(frozen=True)
class Start:
    """Predicted means over positions.

    Attributes
    ----------
    dead_probability : float
        Of a dead token.
    loss : float
        Nats, of labels that are not the input token.
    own_score : float
        Of the input token.
    """

    dead_probability: float
    loss: float
    own_score: float


def other_std(spec: RunSpec) -> float:
    """Return tau: what positions and MLPs add to each component of the residual stream.

    A normalised stream gives the MLP's hidden layer components of variance init_std^2 D, of which
    the activation passes a share on; EXPANSION * D of them, times init_std^2, make one output.
    """
    hidden = spec.init_std**2 * spec.width * PASSED_ON[spec.activation]
    each_layer = EXPANSION * spec.width * spec.init_std**2 * hidden
    return math.sqrt(spec.init_std**2 + spec.layers * each_layer)


def predict_start(spec: RunSpec, vocabulary_size: int) -> Start:
    """Predict the softmax at the initial weights; see the module for assumptions.

    Parameters
    ----------
    spec : RunSpec
    vocabulary_size : int
    """
    std = spec.init_std if spec.embedding_std is None else spec.embedding_std
    positions, width = spec.batch * spec.context, spec.width
    others = std * math.sqrt(width) * norm.ppf(_quantiles(vocabulary_size - 1))
    log_others = logsumexp(others)
    log_mean_other = log_others - math.log(vocabulary_size - 1)
    if not spec.tied:
        log_sum = log_mean_other + math.log(vocabulary_size)
        return Start(1 / vocabulary_size, log_sum, 0.0)
    cosine = std / math.hypot(std, other_std(spec))
    own = std * chi.ppf(_quantiles(positions), width) * math.sqrt(width) * cosine
    log_sums = np.logaddexp(own, log_others)
    log_probability = log_mean_other + logsumexp(-log_sums) - math.log(positions)
    return Start(math.exp(log_probability), float(log_sums.mean()), float(own.mean()))


def _quantiles(draws: int) -> np.ndarray:
    return (np.arange(draws) + 0.5) / draws
