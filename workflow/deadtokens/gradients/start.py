"""What the softmax gives a dead token before training, from the sizes of the initial weights.

A tied model carries the input token's own row E_a through its residual stream to the unembedding,
where that same row scores it. With rows of independent normal components of standard deviation
sigma (`embedding_std`), width D, V tokens:

- The stream before the last LayerNorm is x = E_a + r. The rest r (position, MLPs) is independent
  of E_a, of standard deviation tau a component, see `other_std`; attention at the start averages
  what it adds nearly away and is left out.
- LayerNorm takes the mean over components out of x and gives |h| = sqrt(D), so the own score is
  the norm of E_a without its mean times sqrt(D) cos, with cos = sigma / sqrt(sigma^2 + tau^2);
  that norm over sigma is chi-distributed with D - 1 degrees of freedom, the score about sigma D.
- Any other token scores E_b . h, normal with standard deviation sigma sqrt(D).
- So p_b = e^(score of b) / (e^(own score) + sum of the V - 1 others). Untied, the own score is one
  of the others; so it is without a residual path around the MLPs, which let nothing of E_a itself
  through.
- Where `logit_spread` is constant, all scores of a position are divided by the root of
  1 + own^2 / (V sigma^2 D): without the own score their spread is the one that is held.

Means over exponentials of normals live on their rarest draws, more of which the formula knows than
a batch can show: n draws are therefore taken as the n quantiles at (k + 1/2) / n. Above
sigma sqrt(D) = sqrt(2 ln V) the sum then is about its largest term, as in Derrida's random energy
model (Phys. Rev. B 24, 2613, 1981). What is typical, can so be predicted: p behind the median
input token. The mean over positions cannot: there a few input tokens with short rows carry it, and
other draws of the weights give other decades; see `draws`.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import chi, norm

from deadtokens.run.spec import RunSpec, embedding_std, initial_spread
from deadtokens.training.model import EXPANSION

# E[act(a z)^2] / a^2 of a small normal a z: GELU is x / 2 there, ReLU cuts half of the numbers off.
PASSED_ON = {"gelu": 1 / 4, "relu": 1 / 2}


@dataclass(frozen=True)
class Start:
    """Predictions for the first batch.

    Attributes
    ----------
    typical_dead_probability : float
        Of a dead token, mean over dead tokens, behind the median input token; NaN without any.
    loss : float
        Mean over positions, nats, of labels that are not the input token.
    own_score : float
        Of the input token, mean over positions.
    """

    typical_dead_probability: float
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


def scores_itself(spec: RunSpec) -> bool:
    """Return whether the row that is read arrives at the logits, where the same row scores it."""
    return spec.tied and spec.mlp_residual


def predict_start(spec: RunSpec, vocabulary_size: int, dead_tokens: int) -> Start:
    """Predict the softmax at the initial weights; see the module for assumptions.

    Parameters
    ----------
    spec : RunSpec
    vocabulary_size, dead_tokens : int
    """
    std, scale, has_own = embedding_std(spec), initial_spread(spec), scores_itself(spec)
    own, median_own = np.full(1, -np.inf), -np.inf
    if has_own:
        along = scale * std / math.hypot(std, other_std(spec))
        if spec.logit_spread == "constant":
            own_spread = along * math.sqrt((spec.width - 1) / vocabulary_size)  # root mean square
            factor = scale / math.hypot(scale, own_spread)
            scale, along = factor * scale, factor * along
        places = _quantiles(spec.batch * spec.context)
        own, median_own = (along * chi.ppf(place, spec.width - 1) for place in (places, 0.5))
    log_dead = _log_sum(scale, dead_tokens)
    log_others = np.logaddexp(log_dead, _log_sum(scale, vocabulary_size - dead_tokens - has_own))
    log_each = log_dead - math.log(dead_tokens) if dead_tokens else math.nan
    return Start(
        typical_dead_probability=math.exp(log_each - np.logaddexp(median_own, log_others)),
        loss=float(np.logaddexp(own, log_others).mean()),
        own_score=float(own.mean()) if has_own else 0.0,
    )


def _log_sum(scale: float, draws: int) -> float:
    """Return ln of the sum of e^(scale g) over so many standard normals g."""
    if not draws:
        return -math.inf
    return float(logsumexp(scale * norm.ppf(_quantiles(draws))))


def _quantiles(draws: int) -> np.ndarray:
    return (np.arange(draws) + 0.5) / draws
