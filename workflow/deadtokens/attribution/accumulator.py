"""The sums of the attribution over a whole run, added to tile by tile."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NoReturn

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.attribution.ages import BORDERS, MEMORY
from deadtokens.attribution.bound import bound_factors, roundings
from deadtokens.attribution.sums import VECTORS, Numbers, OfTokens, OverTokens, Record, sum_up
from deadtokens.attribution.terms import ROUNDING, TERMS, coefficients
from deadtokens.attribution.tokens import STATISTICS, closure_of, rest_of, statistics_of
from deadtokens.errors import NotInRecord
from deadtokens.run.hyperparameters import correction, gradient_weight
from deadtokens.run.rule import Rule
from deadtokens.statistics.quantiles import quantiles_of_finite
from deadtokens.trajectory.optional import values_or_nan
from deadtokens.trajectory.populations import members_of
from deadtokens.trajectory.tiles import Tile

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WEIGHTS_TOGETHER = 1 << 12  # what is computed of so many stays in a core's cache


class Accumulator:
    """What is summed up of a run.

    Only the sums over tokens grow with the run, by 16 kB an update at 64 components; the statistics
    of a segment's tokens, 28 bytes a token and update, are reduced to quantiles at its end.

    Parameters
    ----------
    run : Dataset
        Opened.
    rule : Rule
        How it was moved.

    Attributes
    ----------
    tokens : ndarray of int, shape (tokens,)
        Rows of the vocabulary.
    members : ndarray of bool, shape (populations, tokens)
    h_mean : float64 ndarray of shape (updates, components)
        NaN if it was not recorded.
    numbers : Numbers
    over_tokens : OverTokens
    closure : float64 ndarray of shape (updates,)
        The largest over the tokens.
    at_rest, rest_norms : float64 ndarray of shape (updates, populations)
        Number of tokens that did not move; sum of the norms of what rounding took from them.
    quantiles : float64 ndarray of shape (updates, populations, STATISTICS, QUANTILES)
    net_displacement : float64 ndarray of shape (tokens, components)
    """

    def __init__(self, run: xr.Dataset, rule: Rule):
        self.name, self.tokens = run.attrs["run"], run["token"].values
        self.members = members_of(run)
        self.h_mean = values_or_nan(run, "h_mean", ("update", "component"))
        (populations, tokens), (updates, components) = self.members.shape, self.h_mean.shape
        self.numbers = numbers_of(rule, updates)
        self._of_average = (1 - rule.fixed.beta1) / gradient_weight(rule.fixed)
        self.over_tokens = OverTokens(
            vectors=np.zeros((updates, len(VECTORS), populations, components)),
            bound_ratio=np.zeros(updates),
            place=np.zeros(updates, np.int64),
            rounding=np.zeros(updates),
            not_finite=np.zeros(updates, np.int64),
        )
        self.closure = np.zeros(updates)
        self.at_rest, self.rest_norms = np.zeros((2, updates, populations))
        self.quantiles = np.empty((updates, populations, len(STATISTICS), len(QUANTILES)))
        self._statistics = np.empty((len(STATISTICS), 0, tokens), np.float32)
        self._start, self.net_displacement = np.zeros((2, tokens, components))
        self._net = np.zeros((ROUNDING, tokens, components))
        self._averages = np.zeros((len(BORDERS), tokens, components))
        as_recorded = getattr(torch, rule.gradients)
        self._memory = torch.zeros((MEMORY, tokens, components), dtype=as_recorded)

    @property
    def net(self) -> np.ndarray:
        """Each token's terms, summed over the updates, (terms, tokens, components)."""
        return np.concatenate([self._net, [self.net_displacement - self._net.sum(axis=0)]])

    def add(self, tile: Tile) -> None:
        """Take in a tile; they come segment by segment, all tokens of each.

        Raises
        ------
        UserError
            If a rounding term exceeds its bound.
        """
        tokens = self.members.shape[1]
        if tile.tokens.start == 0:
            shape = (len(STATISTICS), len(tile.updates), tokens)
            self._statistics = np.empty(shape, np.float32)
        for rows in blocks(tile):
            self._add_block(tile, rows)
        if tile.tokens.stop == tokens:
            self._add_quantiles(_positions(tile))

    def _add_block(self, tile: Tile, rows: slice) -> None:
        """Add the rows of a tile, of which what is computed fits into a core's cache."""
        updates, tokens = _positions(tile), _slice(tile.tokens[rows])
        if tile.updates.start == 1:
            self._begin(tile.states, rows, tokens)
        record = self._record_of(tile, rows)
        over_tokens = OverTokens(*(sums[updates] for sums in self.over_tokens))
        of_tokens = OfTokens.zeros(len(tile.updates), *self._start[tokens].shape)
        averages = self._averages[:, tokens].reshape(len(BORDERS), -1)
        first = self._start[: tokens.start].size
        sum_up(record, self.numbers.of(updates), averages, over_tokens, of_tokens, first)
        self._refuse_beyond_bound(updates)
        self._averages[:, tokens] = averages.reshape(self._averages[:, tokens].shape)
        self._net[:, tokens] += of_tokens.net.reshape(self._net[:, tokens].shape)
        self._add_tokens(of_tokens, updates, tokens)
        end = tile.states["W"][-1, rows].double().numpy()
        self.net_displacement[tokens] = end - self._start[tokens]

    def _begin(self, states: Mapping[str, Tensor], rows: slice, tokens: slice) -> None:
        """Take note of the first state; what is remembered there counts as the oldest gradients."""
        self._start[tokens] = states["W"][0, rows].double().numpy()
        beta1 = self.numbers.beta1
        if "exp_avg" in states and beta1:
            average = states["exp_avg"][0, rows].double().numpy() * self._of_average
            for place, border in enumerate(BORDERS):
                self._averages[place, tokens] = average / beta1**border

    def _record_of(self, tile: Tile, rows: slice) -> Record:
        updates, tokens = _positions(tile), _slice(tile.tokens[rows])
        grad = torch.cat([self._memory[:, tokens], tile.grad[:, rows]])
        self._memory[:, tokens] = grad[-MEMORY:]
        states = {name: _weights(tensor[:, rows]) for name, tensor in tile.states.items()}
        population = self.members[:, tokens].argmax(axis=0)
        return Record(
            grad=_weights(grad),
            h_mean=self.h_mean[updates],
            population=population,
            **absent(states["W"]) | states,
        )

    def _refuse_beyond_bound(self, updates: slice) -> None:
        beyond = np.flatnonzero(self.over_tokens.bound_ratio[updates] > 1)
        if len(beyond):
            self._refuse(updates.start + int(beyond[0]))

    def _refuse(self, update: int) -> NoReturn:
        token, component = self.place_of(update)
        rounding = self.over_tokens.rounding[update]
        bound = abs(rounding) / self.over_tokens.bound_ratio[update]
        raise NotInRecord(
            f"run {self.name}: update {update + 1}, token {token}, component {component}: rounding "
            f"would have to explain {rounding:.6g}, but the update's operations cannot lose more "
            f"than {bound:.6g}: the record is not what this run's optimizer does "
            "(`deadtokens audit` shows where they part)"
        )

    def place_of(self, update: int) -> tuple[int, int]:
        """Return token and component of the largest ratio of an update, by its place."""
        row, component = divmod(int(self.over_tokens.place[update]), self.h_mean.shape[1])
        return int(self.tokens[row]), component

    def _add_tokens(self, sums: OfTokens, updates: slice, tokens: slice) -> None:
        """Take in what concerns single tokens."""
        factors, members = self.numbers.factors[updates], self.members[:, tokens].T.astype(float)
        closure, rest = closure_of(sums, factors), rest_of(sums)
        np.maximum(self.closure[updates], closure, out=self.closure[updates])
        self.at_rest[updates] += rest.at_rest @ members
        self.rest_norms[updates] += rest.norm @ members
        statistics = statistics_of(sums, factors, self.h_mean[updates])
        self._statistics[:, :, tokens] = statistics

    def _add_quantiles(self, updates: slice) -> None:
        """Reduce the statistics of a segment."""
        for place, members in enumerate(self.members):
            for index, statistic in enumerate(self._statistics):
                chosen = quantiles_of_finite(statistic[:, members], QUANTILES)
                self.quantiles[updates, place, index] = chosen


def absent(W: np.ndarray) -> dict[str, np.ndarray]:
    """Return what stands for the state tensors that a run has not: no momentum, and D = 1.

    Parameters
    ----------
    W : float32 ndarray of shape (states, weights)
    """
    none = np.empty((0, W.shape[1]), np.float32)
    return {"exp_avg": np.zeros_like(W), "exp_avg_sq": np.ones_like(W), "compensation": none}


def numbers_of(rule: Rule, updates: int) -> Numbers:
    """Return the numbers that all weights share, of so many updates.

    Raises
    ------
    UserError
        If beta1 or eps changes.
    """
    units, steps = roundings(rule), [rule.step(update) for update in range(1, updates + 1)]
    factors = [coefficients(*step) for step in steps]
    bounds = [bound_factors(of_update, units) for of_update in factors]
    return Numbers(
        np.reshape(factors, (-1, len(TERMS))),
        np.reshape(bounds, (-1, 4)),
        np.array([correction(step.t, step.hyper) for step in steps]),
        rule.fixed.beta1,
        rule.fixed.eps,
    )


def blocks(tile: Tile) -> Iterator[slice]:
    """Yield the rows of a tile in blocks of similar size."""
    tokens, components = tile.grad.shape[1:]
    count = min(tokens, -(-tokens * components // WEIGHTS_TOGETHER))
    edges = np.linspace(0, tokens, count + 1).round().astype(int).tolist()
    yield from (slice(*edge) for edge in pairwise(edges))


def _positions(tile: Tile) -> slice:
    """Return where a tile's updates, which count from 1, stand among the run's."""
    return slice(tile.updates.start - 1, tile.updates.stop - 1)


def _slice(numbers: range) -> slice:
    return slice(numbers.start, numbers.stop)


def _weights(tensor: Tensor) -> np.ndarray:
    """Return a tensor (steps, tokens, components) as float32 of shape (steps, weights)."""
    return tensor.float().flatten(1).contiguous().numpy()
