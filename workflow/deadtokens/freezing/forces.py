"""What drives a component in one update, and what holds it: from the recorded tensors.

With the corrected moments m' = m / (1 - beta1 ** t) and v' = v / (1 - beta2 ** t), Adam's update is
lr m' / (sqrt(v') + eps); SGD's is lr m, with the momentum as it stands or the gradient itself. All
is computed in float32 from the moments as recorded, so the roundings of the operations themselves
are not in it.
"""

from collections.abc import Collection, Mapping

import numpy as np

from deadtokens.run.hyperparameters import Hyperparameters
from deadtokens.ulp import half_ulp_walls

WELL_ABOVE = 10.0  # times eps: there eps changes an update by less than a tenth
TREND = 100  # updates from the first to the last of which a gradient's decay is taken

# Quantity: the tensors that it needs, its long name, its unit.
FORCES = {
    "gradient": (("grad",), "|grad| as the update consumed it, after clipping", "nat"),
    "root_second_moment": (
        ("exp_avg_sq",),
        "sqrt(v'), v' the second moment corrected for its start at 0",
        "nat",
    ),
    "gradient_ratio": (
        ("grad", "exp_avg_sq"),
        "|grad| / (sqrt(v') + eps), both after clipping",
        "1",
    ),
    "momentum_ratio": (
        ("exp_avg", "exp_avg_sq"),
        "|m'| / (sqrt(v') + eps), m' the first moment corrected: the update in units of lr",
        "1",
    ),
    "intended": (
        ("exp_avg", "exp_avg_sq"),
        "size of the update before it is rounded into W, Adam's lr |m'| / (sqrt(v') + eps)",
        "weight",
    ),
    "intended_in_walls": (
        ("exp_avg", "exp_avg_sq"),
        "the update before it is rounded into W, over half of bfloat16's ulp of W[t-1]",
        "1",
    ),
    "displacement": ((), "|W[t] - W[t-1]|", "weight"),
    "wall": ((), "half of bfloat16's ulp of W[t-1], away from zero", "weight"),
}


def available(names: Collection[str], hyper: Hyperparameters) -> list[str]:
    """Return the quantities of FORCES that can be had from the named tensors, W among them."""
    of_sgd = (
        {} if hyper.averages else dict.fromkeys(("intended", "intended_in_walls"), _first(hyper))
    )
    needed = {force: of_sgd.get(force, needed) for force, (needed, *_) in FORCES.items()}
    return [force for force, tensors in needed.items() if set(tensors) <= set(names)]


def _first(hyper: Hyperparameters) -> tuple[str]:
    """Return the tensor that SGD follows: without momentum the gradient."""
    return ("exp_avg",) if hyper.beta1 else ("grad",)


def forces_of(
    values: Mapping[str, np.ndarray], updates: np.ndarray, lr: np.ndarray, hyper: Hyperparameters
) -> dict[str, np.ndarray]:
    """Return the available quantities of FORCES, each float32 of shape (updates, values).

    Parameters
    ----------
    values : mapping of str to float32 ndarray
        ``W``, (updates + 1, values), from the state before the first update on; and any of
        ``grad``, ``exp_avg`` and ``exp_avg_sq``, (updates, values), the moments after each update.
    updates : ndarray of int, shape (updates,)
    lr : ndarray of float, shape (updates,)
    hyper : Hyperparameters
    """
    W = values["W"]
    found = {"displacement": np.abs(W[1:] - W[:-1]), "wall": half_ulp_walls(W[:-1])}
    if "grad" in values:
        found["gradient"] = np.abs(values["grad"])
    if "exp_avg_sq" in values:
        root = np.sqrt(values["exp_avg_sq"] / _correction(hyper.beta2, updates))
        found["root_second_moment"] = root
        below = root + np.float32(hyper.eps)
        if "grad" in values:
            found["gradient_ratio"] = found["gradient"] / below
        if "exp_avg" in values:
            first = np.abs(values["exp_avg"]) / _correction(hyper.beta1, updates)
            found["momentum_ratio"] = first / below
            found["intended"] = found["momentum_ratio"] * lr.astype(np.float32)[:, None]
    if "intended" in available(values, hyper) and not hyper.averages:
        (first,) = _first(hyper)
        found["intended"] = np.abs(values[first]) * lr.astype(np.float32)[:, None]
    if "intended" in found:
        found["intended_in_walls"] = found["intended"] / found["wall"]
    return found


def _correction(beta: float, updates: np.ndarray) -> np.ndarray:
    return (1 - np.float64(beta) ** updates).astype(np.float32)[:, None]


def gradient_decay(gradient: np.ndarray) -> np.ndarray:
    """Return the rate at which the gradient's size fell over the last TREND updates, per update.

    The slope of the straight line through the logarithms, with its sign turned: g ~ exp(-rate t).
    NaN before TREND updates are there, and where a size is 0.

    Parameters
    ----------
    gradient : ndarray of float, shape (updates,)
        Not negative.
    """
    rates = np.full(len(gradient), np.nan)
    if len(gradient) >= TREND:
        with np.errstate(divide="ignore"):
            logarithm = np.log(gradient)
        times = np.arange(TREND) - (TREND - 1) / 2
        windows = np.lib.stride_tricks.sliding_window_view(logarithm, TREND)
        rates[TREND - 1 :] = -(windows @ times) / (times @ times)
    return np.where(np.isfinite(rates), rates, np.nan)


def fastest_decay(updates: np.ndarray, beta2: float) -> np.ndarray:
    """Return how fast sqrt(v') can have fallen over the last TREND updates, per update.

    From the first of them to the last, as in `gradient_decay`: TREND - 1 times.

    Without any gradient v falls by beta2 an update, and 1 - beta2 ** t, by which it is divided,
    rises: a gradient that falls faster leaves sqrt(v') behind, and Adam's update falls with it.
    NaN before TREND updates are there.

    Parameters
    ----------
    updates : ndarray of int, shape (updates,)
        From 1.
    beta2 : float
    """
    times, late = TREND - 1, updates >= TREND
    rates = np.full(len(updates), np.nan)
    if beta2 > 0:
        now, then = (1 - beta2 ** np.float64(t) for t in (updates[late], updates[late] - times))
        rates[late] = (np.log(now / then) / times - np.log(beta2)) / 2
    return rates
