"""Where the mean hidden states of a run, alone, would have taken a cloud's centroid.

A hindcast: it takes every update's own p and h from the record, and asks how much of the motion
they account for. The gradient of a dead row is the mean over positions of p h, clipped with all
other gradients; here it is replaced by (mean p) x (mean h), clipped by the recorded factor. With
that, the run's own optimizer is played forward in the run's number formats, each
dead token from its own start with its own p; once more in float64, for one token that starts at the
centroid and has the mean p; and last there is the sum of -lr x (mean h), clipped, with one free
length, which knows nothing of the optimizer. What all rows share under Coupled Adam is recorded
too, and taken as it is. A recording of another training has no hindcast: it does not hold by what
clipping multiplied a gradient.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from deadtokens.run.clipping import clip_scale
from deadtokens.run.compiled_update import update_W
from deadtokens.run.hyperparameters import hyperparameters
from deadtokens.run.rounding import ON_CPU
from deadtokens.run.rule import rule_of
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import moments
from deadtokens.run.update import Numbers, update_

IN_FORMAT = "optimizer on p h, every token with its own p, in the run's formats"
EXACT = "optimizer on p h, one token at the centroid with the mean p, in float64"
SUMMED = "sum of -lr h, best length"
HINDCASTS = (IN_FORMAT, EXACT, SUMMED)


def replay_centroid(
    start: np.ndarray,
    gradient: np.ndarray,
    lr: np.ndarray,
    spec: RunSpec,
    shared: Sequence[np.ndarray | None],
) -> np.ndarray:
    """Return the path of one token under a run's optimizer in float64, without any rounding.

    Parameters
    ----------
    start : ndarray, shape (components,)
    gradient : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    spec : RunSpec
    shared : sequence of float32 ndarray, shape (components,), or of None
        Mean over the vocabulary of the squares of the gradients, where rows share it.

    Returns
    -------
    float64 ndarray, shape (updates + 1, components)
    """
    W = torch.tensor(start, dtype=torch.float64)
    gradients = torch.tensor(gradient, dtype=torch.float64)
    state = {"W": W} | {name: torch.zeros_like(W) for name in moments(spec)}
    hyper = hyperparameters(spec)
    path = np.empty((len(lr) + 1, len(W)))
    path[0] = W
    for index, (rate, squares) in enumerate(zip(lr, shared, strict=True)):
        mean = None if squares is None else torch.from_numpy(squares)
        update_(state, gradients[index], Numbers(index + 1, float(rate), hyper), mean)
        path[index + 1] = W
    return path


def replay_tokens(
    W: torch.Tensor,
    probability: Iterable[np.ndarray],
    h_mean: np.ndarray,
    scale: torch.Tensor,
    spec: RunSpec,
    shared: Sequence[np.ndarray | None],
) -> np.ndarray:
    """Return the centroid's path of tokens under a run's own optimizer, in its number formats.

    Parameters
    ----------
    W : Tensor, shape (tokens, components)
        At state 0, in the recorded format.
    probability : iterable of ndarray, shape (tokens,)
        One an update.
    h_mean : ndarray, shape (updates, components)
    scale : float32 Tensor, shape (updates,)
        By what clipping multiplied the gradients.
    spec : RunSpec
    shared : sequence of float32 ndarray, shape (components,), or of None
        As in `replay_centroid`.

    Returns
    -------
    float64 ndarray, shape (updates + 1, components)
    """
    rule = rule_of(spec)
    state = {"W": W.clone()} | {
        name: torch.zeros_like(W, dtype=getattr(torch, format))
        for name, format in rule.carried.items()
    }
    # In place: memory that comes and goes at every update costs more than the arithmetic.
    product = torch.empty(W.shape, dtype=torch.float64)
    path = np.empty((len(h_mean) + 1, W.shape[1]))
    path[0] = _centroid(W)
    gradient = torch.empty_like(W, dtype=getattr(torch, rule.gradients))
    for index, p in enumerate(probability):
        np.multiply(p[:, None], h_mean[index], out=product.numpy())
        gradient.copy_(product).mul_(scale[index].to(gradient.dtype))
        update_W(rule, state, gradient, index + 1, 0, ON_CPU, shared[index])
        path[index + 1] = _centroid(state["W"])
    return path


def _centroid(W: torch.Tensor) -> torch.Tensor:
    return W.sum(dim=0, dtype=torch.float64) / len(W)


def fraction_explained(centroid: np.ndarray, hindcast: np.ndarray) -> float:
    """Return 1 - |end - hindcast end|^2 / |end - start|^2.

    1 if the hindcast ends where the centroid does, 0 if it is no better than staying at the start,
    negative if it is worse; NaN if the centroid did not move.

    Parameters
    ----------
    centroid, hindcast : ndarray, shape (states, components)
    """
    return _explained(centroid[-1:] - centroid[0], centroid[-1:] - hindcast[-1:])


def path_explained(centroid: np.ndarray, hindcast: np.ndarray) -> float:
    """Return the same with sums over all states: how well the whole way is explained."""
    return _explained(centroid - centroid[0], centroid - hindcast)


def _explained(displacement: np.ndarray, error: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        squares = float(np.square(displacement).sum())
        return 1 - float(np.square(error).sum()) / squares if squares else np.nan


def hindcast_paths(
    centroid: np.ndarray,
    W: torch.Tensor,
    probability: Iterable[np.ndarray],
    h_mean: np.ndarray,
    lr: np.ndarray,
    grad_norm: np.ndarray,
    spec: RunSpec,
    shared: Sequence[np.ndarray | None],
) -> dict[str, np.ndarray]:
    """Return the hindcasts of a centroid's path by name, each (updates + 1, components).

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
        Its start, and for SUMMED its end, are used.
    W : Tensor, shape (tokens, components)
        At state 0, in the recorded format.
    probability : iterable of ndarray, shape (tokens,)
        One an update.
    h_mean : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    grad_norm : float32 ndarray, shape (updates,)
        Norm of the whole gradient before clipping.
    spec : RunSpec
    shared : sequence of float32 ndarray, shape (components,), or of None
        As in `replay_centroid`.
    """
    scale = clip_scale(torch.from_numpy(grad_norm), spec.clip)
    clipped = scale.double().numpy()[:, None] * h_mean
    means: list[float] = []

    def noting_means() -> Iterable[np.ndarray]:
        for p in probability:
            means.append(p.sum(dtype=np.float64) / max(len(p), 1))
            yield p

    in_format = replay_tokens(W, noting_means(), h_mean, scale, spec, shared)
    gradient = np.array(means)[:, None] * clipped
    exact = replay_centroid(centroid[0], gradient, lr, spec, shared)
    return {IN_FORMAT: in_format, EXACT: exact, SUMMED: summed_path(centroid, clipped, lr)}


def describe_hindcasts(
    centroid: np.ndarray, paths: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return how much of the centroid's net displacement, and of its path, each hindcast explains.

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
    paths : mapping of name to ndarray, shape (updates + 1, components)
    """
    end = [fraction_explained(centroid, path) for path in paths.values()]
    whole = [path_explained(centroid, path) for path in paths.values()]
    return {"hindcast_end_explained": np.array(end), "hindcast_path_explained": np.array(whole)}


def summed_path(centroid: np.ndarray, h_mean: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Return the sums of -lr x (mean hidden state) from the start, one length for all states.

    The length is the one whose end is nearest to the centroid's end.

    Parameters
    ----------
    centroid : ndarray, shape (updates + 1, components)
    h_mean : ndarray, shape (updates, components)
    lr : ndarray, shape (updates,)
    """
    sums = np.zeros(centroid.shape)
    np.cumsum(-lr[:, None] * h_mean, axis=0, out=sums[1:])
    with np.errstate(all="ignore"):
        factor = (centroid[-1] - centroid[0]) @ sums[-1] / (sums[-1] @ sums[-1])
        return centroid[0] + np.maximum(factor, 0) * sums
