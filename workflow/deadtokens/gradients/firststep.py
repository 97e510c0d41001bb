"""Adam's first update: -lr g / (|g| + eps), from the sign of g to a multiple of g.

At t = 1 the bias corrections undo the moments' (1 - beta): m_hat = g and v_hat = g^2, so the update
is -lr g / (|g| + eps). That is -lr sign(g) for |g| far above eps and -(lr / eps) g far below. SGD's
is -lr g; Coupled Adam's depends on the gradients of all tokens, and has no such curve.
"""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from deadtokens.labels import label
from deadtokens.run.hyperparameters import (
    Hyperparameters,
    hyperparameters,
    learning_rate,
)
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import is_coupled, moments
from deadtokens.run.update import Numbers, take_step_, update_
from deadtokens.statistics.cosines import unit
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.populations import POPULATIONS
from deadtokens.trajectory.segments import Segments

EXAMPLES = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 7.65e-3, 1.79e-10)
BINS_PER_DECADE = 4
SPREAD = (0.05, 0.5, 0.95)
# Name: axes, long name, unit.
BINNED = {
    "first_gradient": (
        ("population", "bin"),
        "|g| of the components in the bin, as clipped, geometric mean",
        "nat",
    ),
    "first_intended": (
        ("population", "bin", "spread"),
        "|intended first update| / lr, from the recorded moments; of SGD without any, |g|",
        "1",
    ),
    "first_realised": (("population", "bin", "spread"), "|W[1] - W[0]| / lr", "1"),
    "first_count": (("population", "bin"), "components in the bin", "1"),
}
ROWS = {
    "row_displacement": (
        ("population",),
        "|W[1] - W[0]| / (lr sqrt(D)) of a row, mean over tokens",
        "1",
    ),
    "row_intended": (("population",), "the same of the intended update", "1"),
    "curve_error": (
        ("population",),
        "largest deviation of |intended| / lr from |g| / (|g| + eps), AdamW's",
        "1",
    ),
    "rounding": (
        ("population",),
        "root mean square of realised minus intended, over that of the intended",
        "1",
    ),
    "lost_share": (
        ("population",),
        "share of components that stood still although an update was intended",
        "1",
    ),
    "gradient_cosine": (
        ("population",),
        "cosine of a row's first displacement to its gradient, mean over tokens that moved; of "
        "-sign(g) to a normal g -sqrt(2/pi) = -0.80",
        "1",
    ),
}
EXAMPLE = {
    "example_multiplier": (
        ("example",),
        "|first update| / lr of the gradient `example` by the update rule; NaN if rows share one",
        "1",
    ),
}
COORDINATES = {
    "bin": ("lower edge of a bin of |g|", "nat"),
    "spread": ("quantile over the bin's components, linear between two neighbours", "1"),
    "example": ("gradient", "nat"),
}


def multiplier(gradient: np.ndarray, eps: float) -> np.ndarray:
    """Return |update| / lr at t = 1: |g| / (|g| + eps)."""
    size = np.abs(np.asarray(gradient, np.float64))
    return size / (size + eps)


def intended_over_lr(
    moments: Mapping[str, np.ndarray], grad: np.ndarray, t: int, hyper: Hyperparameters
) -> np.ndarray:
    """Return an update over lr, sign included, without decay and rounding.

    Parameters
    ----------
    moments : mapping of str to ndarray of one shape
        After update t, as recorded: those that the optimizer has.
    grad : ndarray of that shape
        Its gradient.
    t : int
    hyper : Hyperparameters

    Returns
    -------
    float64 ndarray of the same shape
    """
    g = torch.from_numpy(np.asarray(grad, np.float64))
    state = {name: torch.from_numpy(np.asarray(it, np.float64)) for name, it in moments.items()}
    step = torch.zeros_like(g)
    take_step_(step, state, g, Numbers(t, 1.0, hyper))
    return step.numpy()


def example_table(spec: RunSpec) -> np.ndarray:
    """Return |first update| / lr of the gradients EXAMPLES by the run's update rule, in float64."""
    if is_coupled(spec):
        return np.full(len(EXAMPLES), np.nan)
    g, lr = torch.tensor(EXAMPLES, dtype=torch.float64), learning_rate(spec, 1)
    state = {name: torch.zeros_like(g) for name in ("W", *moments(spec))}
    update_(state, g, Numbers(1, lr, hyperparameters(spec)))
    return state["W"].abs().numpy() / lr


def bin_by_gradient(
    gradient: np.ndarray, intended: np.ndarray, realised: np.ndarray, edges: np.ndarray
) -> dict[str, np.ndarray]:
    """Summarise components by the size of their gradient.

    Parameters
    ----------
    gradient, intended, realised : ndarray of shape (components,)
        Magnitudes; the last two over lr.
    edges : ndarray of shape (bins + 1,)
        Of |g|, ascending.

    Returns
    -------
    dict
        ``first_count`` and ``first_gradient`` (bins,), ``first_intended`` and ``first_realised``
        (bins, SPREAD); NaN for an empty bin.
    """
    bins = len(edges) - 1
    place = np.digitize(gradient, edges) - 1
    found = {
        "first_count": np.bincount(place[(place >= 0) & (place < bins)], minlength=bins),
        "first_gradient": np.full(bins, np.nan),
        "first_intended": np.full((bins, len(SPREAD)), np.nan),
        "first_realised": np.full((bins, len(SPREAD)), np.nan),
    }
    # In an eighth of the time of xarray's groupby_bins, and without components at all too.
    for one in np.flatnonzero(found["first_count"]):
        inside = place == one
        found["first_gradient"][one] = np.exp(np.log(gradient[inside]).mean())
        found["first_intended"][one] = np.quantile(intended[inside], SPREAD)
        found["first_realised"][one] = np.quantile(realised[inside], SPREAD)
    return found


def measure_first_step(segments: Segments, spec: RunSpec, members: np.ndarray) -> xr.Dataset:
    """Return `summarise_first_step` of a run with at least one update.

    Parameters
    ----------
    segments : path or sequence of paths
    spec : RunSpec
    members : bool ndarray of shape (populations, tokens)
    """
    grad = load_tensor(segments, "grad", steps=slice(0, 1))[:, :, 0].astype(np.float64)
    states = {
        name: load_tensor(segments, name, steps=slice(0, 2)).astype(np.float64)
        for name in ("W", *moments(spec))
    }
    after = {name: states[name][:, :, 1] for name in moments(spec)}
    intended = intended_over_lr(after, grad, 1, hyperparameters(spec))
    realised = (states["W"][:, :, 1] - states["W"][:, :, 0]) / learning_rate(spec, 1)
    return summarise_first_step(grad, intended, realised, members, spec)


def summarise_first_step(
    grad: np.ndarray,
    intended: np.ndarray,
    realised: np.ndarray,
    members: np.ndarray,
    spec: RunSpec,
) -> xr.Dataset:
    """Return the first update, component by component in bins of |g|, and row by row.

    Parameters
    ----------
    grad, intended, realised : float64 ndarray of shape (tokens, components)
        The last two over lr. Without tokens (a run that took no update) all is NaN.
    members : bool ndarray of shape (populations, tokens)
    spec : RunSpec
    """
    edges = _edges(np.abs(grad))
    parts = (grad, intended, realised)
    binned = [
        bin_by_gradient(*(np.abs(part[chosen]).ravel() for part in parts), edges)
        for chosen in members
    ]
    eps = spec.eps if spec.optimizer == "adamw" else None
    rows = [row_summary(*(part[chosen] for part in parts), eps) for chosen in members]
    return _label(binned, rows, example_table(spec), edges)


def row_summary(
    gradient: np.ndarray, intended: np.ndarray, realised: np.ndarray, eps: float | None
) -> dict[str, float]:
    """Return how whole rows moved, and what rounding did to them.

    Parameters
    ----------
    gradient, intended, realised : ndarray of shape (tokens, components)
        The last two over lr.
    eps : float or None
        AdamW's; None of another optimizer, whose first update is not on its curve.
    """
    if not gradient.size:
        return dict.fromkeys(ROWS, np.nan)
    per_component = np.sqrt(gradient.shape[1])
    off = np.nan if eps is None else np.abs(np.abs(intended) - multiplier(gradient, eps)).max()
    size = np.sqrt(np.square(intended).mean())
    rounding = np.sqrt(np.square(realised - intended).mean())
    values = (
        np.linalg.norm(realised, axis=1).mean() / per_component,
        np.linalg.norm(intended, axis=1).mean() / per_component,
        off,
        rounding / size if size else np.nan,
        np.mean((realised == 0) & (intended != 0)),
        _mean_cosine(realised, gradient),
    )
    return dict(zip(ROWS, map(float, values), strict=True))


def _mean_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean cosine of rows, zero rows left out; NaN if all are."""
    products = (unit(first) * unit(second)).sum(axis=1)
    known = products[np.isfinite(products)]
    return float(known.mean()) if known.size else np.nan


def _edges(sizes: np.ndarray) -> np.ndarray:
    """Return the edges of the bins that hold all positive sizes."""
    positive = sizes[sizes > 0]
    if not positive.size:
        return np.array([1e-1, 1.0])
    low, high = np.log10(positive.min()), np.log10(positive.max())
    first, last = np.floor(low * BINS_PER_DECADE), np.floor(high * BINS_PER_DECADE) + 1
    return 10.0 ** (np.arange(first, last + 1) / BINS_PER_DECADE)


def _label(
    binned: list[dict[str, np.ndarray]],
    rows: list[dict[str, float]],
    examples: np.ndarray,
    edges: np.ndarray,
) -> xr.Dataset:
    values = {
        **{name: np.array([one[name] for one in binned]) for name in BINNED},
        **{name: np.array([one[name] for one in rows]) for name in ROWS},
        "example_multiplier": examples,
        "bin": edges[:-1],
        "spread": list(SPREAD),
        "example": list(EXAMPLES),
        "population": list(POPULATIONS),
    }
    return label(values, BINNED | ROWS | EXAMPLE, COORDINATES)
