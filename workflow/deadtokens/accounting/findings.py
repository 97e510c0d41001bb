"""What single updates did to the dead tokens, and the same gathered over a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deadtokens.accounting.causes import CAUSES, Moments, is_odd, name_causes, reaches
from deadtokens.training.optimizer import hyperparameters, learning_rate
from deadtokens.training.spec import RunSpec
from deadtokens.trajectory.rows import Update
from deadtokens.trajectory.staging import BITS

QUANTILES = (0.05, 0.5, 0.95)
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Finding:
    """What one update did to the dead tokens.

    Attributes
    ----------
    still : ndarray of bool, shape (tokens, components)
        Every bit of W is as before.
    cause : ndarray of int, same shape
        Index into `CAUSES`, meaningful where `still`.
    reach : ndarray of float, shape (2, quantiles)
        |exact change| over half an ulp, with the recorded and with exact moments.
    decreased : float
        Fraction of the recorded second moments that became smaller.
    second_moment_ratio : float
        Median of recorded over exact second moment.
    differing : int
        Replayed moments that are not the recorded ones, where those are float32 too.
    """

    still: np.ndarray
    cause: np.ndarray
    reach: np.ndarray
    decreased: float
    second_moment_ratio: float
    differing: int


def explain_update(update: Update, exact: dict[str, Tensor], spec: RunSpec) -> Finding:
    """Explain one update.

    Parameters
    ----------
    update : Update
        Of at least one token.
    exact : dict of 'exp_avg', 'exp_avg_sq' to float32 Tensor of shape (tokens, components)
        The moments after the update, replayed from the gradients.
    spec : RunSpec
    """
    W, t = update.before["W"], update.number
    recorded, replayed = (
        Moments(*(state[name].double() for name in MOMENTS)) for state in (update.after, exact)
    )
    reach = reaches(W, recorded, replayed, t, learning_rate(spec, t), hyperparameters(spec))
    without_gradient = (update.grad == 0) & (update.before["exp_avg"] == 0)
    return Finding(
        (update.after["W"].view(BITS[W.dtype]) == W.view(BITS[W.dtype])).numpy(),
        name_causes(reach, is_odd(W), without_gradient.numpy()),
        np.stack([quantiles_of(values, QUANTILES) for values in (reach.rr, reach.xx)]),
        float((update.after["exp_avg_sq"] < update.before["exp_avg_sq"]).double().mean()),
        _median_ratio(recorded.second, replayed.second),
        sum(_differing(update.after[name], exact[name]) for name in MOMENTS),
    )


def quantiles_of(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """Return the smallest values that so large a part of all values does not exceed.

    Each is one of the values: nothing is interpolated, between infinities neither. Sorting is
    several times faster here than numpy's search for three quantiles.
    """
    ordered = np.sort(values, axis=None)
    return ordered[[max(0, math.ceil(part * ordered.size) - 1) for part in quantiles]]


def _median_ratio(recorded: Tensor, exact: Tensor) -> float:
    """Return the median of recorded over exact; equal values, zeros too, have the ratio 1."""
    ratio = torch.where(recorded == exact, 1.0, recorded / exact)
    return float(quantiles_of(ratio.numpy(), [0.5])[0])


def _differing(recorded: Tensor, exact: Tensor) -> int:
    """Count the bit patterns that differ, where the record is as exact as the replay."""
    if recorded.dtype != exact.dtype or torch.equal(recorded, exact):
        return 0
    return int((recorded.view(torch.int32) != exact.view(torch.int32)).sum())


class Stillness:
    """What all updates did, gathered one by one.

    Parameters
    ----------
    updates, tokens : int
        How many there are.
    """

    def __init__(self, updates: int, tokens: int):
        self.still = np.zeros(updates, np.int64)
        self.by_cause = np.zeros((updates, len(CAUSES)), np.int64)
        self.by_token = np.zeros((tokens, len(CAUSES)), np.int64)
        self.reach = np.full((updates, 2, len(QUANTILES)), np.nan)
        self.decreased = np.full(updates, np.nan)
        self.second_moment_ratio = np.full(updates, np.nan)
        self.differing = 0

    def add(self, place: int, finding: Finding) -> None:
        """Take in the finding on the update at `place`."""
        kinds = len(CAUSES) + 1  # the last one: moved
        kind = np.where(finding.still, finding.cause, len(CAUSES))
        cells = kind + kinds * np.arange(len(kind))[:, None]
        table = np.bincount(cells.reshape(-1), minlength=kinds * len(kind))
        counts = table.reshape(len(kind), kinds)[:, :-1]
        self.by_token += counts
        self.by_cause[place] = counts.sum(axis=0)
        self.still[place] = counts.sum()
        self.reach[place] = finding.reach
        self.decreased[place] = finding.decreased
        self.second_moment_ratio[place] = finding.second_moment_ratio
        self.differing += finding.differing
