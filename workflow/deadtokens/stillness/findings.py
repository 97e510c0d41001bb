"""What single updates did to the dead tokens, and the same gathered over a run."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deadtokens.loops import compiled
from deadtokens.run.bits import bits_of
from deadtokens.run.rule import Rule
from deadtokens.statistics.quantiles import observed_quantiles
from deadtokens.stillness.causes import (
    CAUSES,
    COMBINATIONS,
    Moments,
    Reach,
    find_reaches,
    is_odd,
    name_causes,
    name_holders,
    numbers_of,
)
from deadtokens.trajectory.updates import Update

QUANTILES = (0.05, 0.5, 0.95)
MOVED = len(CAUSES)  # instead of a cause


@dataclass(frozen=True)
class Finding:
    """What one update did to the dead tokens.

    Attributes
    ----------
    kind : ndarray of int8, shape (tokens, components)
        Index into `CAUSES` where every bit of W is as before, else MOVED.
    holders : ndarray of int8, shape (tokens, components)
        Index into `COMBINATIONS`, of components that moved too.
    reach : ndarray of float, shape (2, quantiles)
        |exact change| over half an ulp, with the recorded and with exact moments.
    decreased : float
        Fraction of the recorded second moments that became smaller, NaN without any.
    second_moment_ratio : float
        Median of recorded over exact second moment, NaN without any.
    differing : int
        Replayed moments that are not the recorded ones, where those are float32 too.
    """

    kind: np.ndarray
    holders: np.ndarray
    reach: np.ndarray
    decreased: float
    second_moment_ratio: float
    differing: int


class State(NamedTuple):
    """What is recorded at a state: float32 ndarrays of one shape; zeros for no compensation."""

    W: np.ndarray
    moments: Moments
    compensation: np.ndarray


class Measured(NamedTuple):
    """What is found of every component, ndarrays of shape (tokens, components).

    Attributes
    ----------
    kind, holders : int8
        As in `Finding`.
    recorded, exact : float64
        The reach with the recorded moments, and with exact ones.
    ratio : float64
        Recorded over exact second moment; 1 where they are equal, zeros too.
    """

    kind: np.ndarray
    holders: np.ndarray
    recorded: np.ndarray
    exact: np.ndarray
    ratio: np.ndarray


def explain_update(update: Update, exact: dict[str, Tensor], rule: Rule) -> Finding:
    """Explain one update.

    Parameters
    ----------
    update : Update
        Of at least one token.
    exact : dict of str to float32 Tensor of shape (tokens, components)
        The moments after the update, those that the run has, replayed from the gradients.
    rule : Rule
    """
    numbers = numbers_of(*rule.step(update.number), rule.states["W"])
    grad = update.grad.float().numpy()
    before, after = _state(update.before, np.zeros_like(grad)), _state(update.after, grad)
    kinds = (np.empty(grad.shape, np.int8) for _ in range(2))
    found = Measured(*kinds, *(np.empty(grad.shape) for _ in range(3)))
    measure(before, after, _moments(exact, grad), grad, numbers, found)
    decreased = np.count_nonzero(after.moments.second < before.moments.second) / grad.size
    ratio = float(observed_quantiles(found.ratio, [0.5])[0])
    has_second = "exp_avg_sq" in exact
    return Finding(
        found.kind,
        found.holders,
        np.stack(
            [observed_quantiles(values, QUANTILES) for values in (found.recorded, found.exact)]
        ),
        decreased if has_second else np.nan,
        ratio if has_second else np.nan,
        sum(_differing(update.after[name], moment) for name, moment in exact.items()),
    )


def _state(tensors: dict[str, Tensor], grad: np.ndarray) -> State:
    held = _values(tensors, "compensation", np.zeros_like(grad))
    return State(tensors["W"].float().numpy(), _moments(tensors, grad), held)


def _moments(tensors: dict[str, Tensor], grad: np.ndarray) -> Moments:
    """Return the moments; without momentum the first is the gradient, without Adam v is 1."""
    second = _values(tensors, "exp_avg_sq", np.ones_like(grad))
    return Moments(_values(tensors, "exp_avg", grad), second)


def _values(tensors: dict[str, Tensor], name: str, instead: np.ndarray) -> np.ndarray:
    return tensors[name].float().numpy() if name in tensors else instead


@compiled
def measure(before, after, exact, grad, numbers, found):
    """Fill in what an update did to every component, a token at a time.

    Parameters
    ----------
    before, after : State
    exact : Moments
        After the update.
    grad : float32 ndarray of shape (tokens, components)
    numbers : Numbers
    found : Measured
    """
    components = grad.shape[1]
    odd, kept, without_gradient = np.empty((3, components), np.bool_)
    mixed = np.empty((2, components))
    for token in range(len(grad)):
        W, first = before.W[token], before.moments.first[token]
        held, left = before.compensation[token], after.compensation[token]
        recorded = Moments(after.moments.first[token], after.moments.second[token])
        replayed = Moments(exact.first[token], exact.second[token])
        reach = Reach(found.recorded[token], found.exact[token], mixed[0], mixed[1])
        find_reaches(W, held, recorded, replayed, numbers, reach)
        for c in range(components):
            odd[c] = is_odd(W.view(np.uint32)[c], numbers.lowest_bit)
            kept[c] = left[c] != held[c]
            without_gradient[c] = (grad[token, c] == 0) & (first[c] == 0)
        name_causes(reach, odd, kept, without_gradient, found.kind[token])
        name_holders(reach, odd, found.holders[token])
        mark_moved(W.view(np.uint32), after.W[token].view(np.uint32), found.kind[token])
        divide(recorded.second, replayed.second, found.ratio[token])


@compiled
def mark_moved(before, after, kind):
    """Write MOVED where the bits of W are not as before."""
    for c in range(len(kind)):
        if before[c] != after[c]:
            kind[c] = MOVED


@compiled
def divide(recorded, exact, ratio):
    """Fill in the ratio of float32 numbers, none below zero; 1 where they are equal."""
    for c in range(len(ratio)):
        same = recorded[c] == exact[c]
        ratio[c] = 1.0 if same else np.float64(recorded[c]) / np.float64(exact[c])


def _differing(recorded: Tensor, exact: Tensor) -> int:
    """Count the bit patterns that differ, where the record is as exact as the replay."""
    if recorded.dtype != exact.dtype or torch.equal(recorded, exact):
        return 0
    return int((bits_of(recorded) != bits_of(exact)).sum())


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
        self.by_combination = np.zeros((updates, len(COMBINATIONS)), np.int64)
        self.reach = np.full((updates, 2, len(QUANTILES)), np.nan)
        self.decreased = np.full(updates, np.nan)
        self.second_moment_ratio = np.full(updates, np.nan)
        self.differing = 0

    def add(self, place: int, finding: Finding) -> None:
        """Take in the finding on the update at `place`."""
        by_token = np.zeros((len(finding.kind), len(CAUSES) + 1), np.int64)
        count_kinds(finding.kind, by_token)
        self.by_token += by_token[:, :MOVED]
        self.by_cause[place] = by_token[:, :MOVED].sum(axis=0)
        self.still[place] = self.by_cause[place].sum()
        count_still(finding.kind, finding.holders, self.by_combination[place])
        self.reach[place] = finding.reach
        self.decreased[place] = finding.decreased
        self.second_moment_ratio[place] = finding.second_moment_ratio
        self.differing += finding.differing


@compiled
def count_kinds(kind, by_token):
    """Count each token's components of every kind."""
    for token in range(kind.shape[0]):
        for component in range(kind.shape[1]):
            by_token[token, kind[token, component]] += 1


@compiled
def count_still(kind, holders, by_combination):
    """Count the components that stood still by what would have kept them so."""
    for token in range(kind.shape[0]):
        for component in range(kind.shape[1]):
            if kind[token, component] != MOVED:
                by_combination[holders[token, component]] += 1
