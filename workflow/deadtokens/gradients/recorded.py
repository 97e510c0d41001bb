"""The gradients of a whole run: against mean hidden states, probabilities and token frequencies."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import xarray as xr

from deadtokens.gradients.sides import SIDES
from deadtokens.gradients.summaries import (
    DECADE,
    REGIMES,
    alignment,
    row_norms,
    second_moments,
    sign_shares,
    straight_line,
    sum_ratio,
)
from deadtokens.labels import label
from deadtokens.run.clipping import clip_scale
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import moments
from deadtokens.statistics.entropy import entropy
from deadtokens.statistics.quantiles import quantiles_of_finite
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.populations import DEAD, POPULATIONS
from deadtokens.trajectory.segments import Segments

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Name: axes, long name, unit.
PER_UPDATE = {
    "cosine": (
        ("update", "quantile"),
        "cosine of a dead token's gradient to the mean hidden state",
        "1",
    ),
    "norm_ratio": (
        ("update", "quantile"),
        "|g_i| / (p_i |h_mean|) of the dead tokens, before clipping",
        "1",
    ),
    "positive_share": (
        ("update",),
        "share of the dead gradients' components that are positive",
        "1",
    ),
    "hidden_sign_share": (
        ("update",),
        "share of them that have the mean hidden state's sign",
        "1",
    ),
    "sum_ratio": (
        ("update",),
        "|sum of the gradient over the vocabulary| / sum of the rows' norms",
        "1",
    ),
    "gradient_norm": (
        ("update", "population"),
        "norm of a row's gradient before clipping: of the recorded one over clip_factor; root mean "
        "square over tokens",
        "nat",
    ),
    "clip_factor": (
        ("update",),
        "by what clipping multiplied the update's gradient; 1: nothing",
        "1",
    ),
    "probability": (
        ("update", "population"),
        "predicted probability, mean over batch and tokens",
        "1",
    ),
    "mean_entropy": (("update",), "entropy of the batch's mean prediction", "nat"),
    "regime_share": (
        ("update", "population", "regime"),
        f"share of components with sqrt(v_hat) at least {DECADE:g} eps: sign; below eps / "
        f"{DECADE:g}: linear; between: transition",
        "1",
    ),
    "frequency_slope": (
        ("update",),
        "slope of v_hat's mean over components on unigram frequency",
        "nat**2",
    ),
    "frequency_r2": (("update",), "R^2 of that straight line over all tokens", "1"),
}
VARIABLES = PER_UPDATE | {
    "second_moment": (
        ("token",),
        "second moment v_hat after the last update, mean over components",
        "nat**2",
    ),
}
EXTENTS = {
    "quantile": len(QUANTILES),
    "population": len(POPULATIONS),
    "regime": len(REGIMES),
    "side": len(SIDES),
}


def measure_gradients(
    segments: Segments, run: xr.Dataset, spec: RunSpec, members: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the gradients' part of `PER_UPDATE`, block by block, steps first.

    Parameters
    ----------
    segments : path or sequence of paths
    run : Dataset
        The same, opened.
    spec : RunSpec
    members : bool ndarray of shape (populations, tokens)
    """
    for block in read_blocks(segments, ["grad"]):
        part = run[["h_mean", "probability", "grad_norm"]].sel(update=block.steps).load()
        h_mean, probability = part["h_mean"].values.T, part["probability"].values.T
        scale = clip_scale(torch.from_numpy(part["grad_norm"].values), spec.clip)
        yield {"update": block.steps} | _of_gradients(
            block.values["grad"], h_mean, probability, scale.numpy(), members
        )
        del block  # before the next ones are read


def _of_gradients(
    grad: np.ndarray,
    h_mean: np.ndarray,
    probability: np.ndarray,
    scale: np.ndarray,
    members: np.ndarray,
) -> dict[str, np.ndarray]:
    dead, as_clipped = members[DEAD], row_norms(grad)
    norms, of_dead = as_clipped / scale, grad[dead]
    cosine, ratio = alignment(of_dead, as_clipped[dead], h_mean, probability[dead])
    positive, as_hidden = sign_shares(of_dead, h_mean)
    return {
        "cosine": quantiles_of_finite(cosine.T, QUANTILES),
        "norm_ratio": quantiles_of_finite((ratio / scale).T, QUANTILES),
        "positive_share": positive,
        "hidden_sign_share": as_hidden,
        "sum_ratio": sum_ratio(grad, as_clipped),
        "gradient_norm": np.stack([_rms(norms[chosen]) for chosen in members], axis=1),
        "clip_factor": scale,
        "probability": np.stack([_mean(probability[chosen]) for chosen in members], axis=1),
        "mean_entropy": entropy(probability, axis=0),
    }


def measure_second_moments(
    segments: Segments, spec: RunSpec, members: np.ndarray, frequency: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the second moments' part of `PER_UPDATE`, and ``second_moment`` of every token.

    Nothing of a run whose optimizer has none.

    Parameters
    ----------
    segments : path or sequence of paths
    spec : RunSpec
    members : bool ndarray of shape (populations, tokens)
    frequency : ndarray of shape (tokens,)
        Unigram frequency of every token in the training text.
    """
    for block in read_blocks(segments, ["exp_avg_sq"]) if "exp_avg_sq" in moments(spec) else ():
        later = slice(int(block.steps[0] == 0), None)
        v = block.values["exp_avg_sq"][:, :, later]
        yield _of_second_moments(v, block.steps[later], spec, members, frequency)
        del block, v  # before the next ones are read


def _of_second_moments(
    v: np.ndarray, steps: np.ndarray, spec: RunSpec, members: np.ndarray, frequency: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what a block of second moments says."""
    correction = (1 - spec.beta2 ** steps.astype(np.float64)).astype(np.float32)
    means, shares = second_moments(v, correction, members, spec.eps)
    lines = np.array([straight_line(frequency, mean) for mean in means.T]).reshape(-1, 3)
    return {
        "regime_share": shares,
        "frequency_slope": lines[:, 0],
        "frequency_r2": lines[:, 2],
        "second_moment": means.T,
    }


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over tokens, NaN where a population is empty."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    return values.mean(axis=0, dtype=np.float64)


def _rms(norms: np.ndarray) -> np.ndarray:
    return np.sqrt(_mean(norms**2))


def label_run(
    gradients: Iterator[dict[str, np.ndarray]],
    moments: Iterator[dict[str, np.ndarray]],
    tokens: int,
) -> xr.Dataset:
    """Return what the two measurements yield as one dataset along ``update``.

    ``second_moment`` is kept of the last update only; NaN if there is none. So is what is not
    measured at all.
    """
    parts, last = [], np.full(tokens, np.nan)
    for part in gradients:
        parts.append(part)
    for part in moments:
        if len(part["second_moment"]):
            last = part["second_moment"][-1]
        parts.append(part)
    nothing = np.zeros(0, np.int64)
    updates = np.concatenate([nothing, *(part["update"] for part in parts if "update" in part)])
    values = {
        name: over_updates(parts, name, axes, len(updates))
        for name, (axes, *_) in PER_UPDATE.items()
    }
    return label({"update": updates, **values, "second_moment": last}, VARIABLES)


def over_updates(
    parts: Sequence[dict[str, np.ndarray]], name: str, axes: Sequence[str], updates: int
) -> np.ndarray:
    """Return what the parts of a run say of `name` along its axes, NaN if they do not say it."""
    found = [part[name] for part in parts if name in part]
    unknown = np.full((updates, *(EXTENTS[axis] for axis in axes[1:])), np.nan)
    return np.concatenate(found) if found else unknown
