"""What the attribution sums up of some tokens over one segment, with every value checked.

One update of some ten thousand weights at a time: what is computed of them stays in the cache.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deadtokens.accounting.ages import BORDERS, GradientHistory, RecentAverages
from deadtokens.accounting.bound import rounding_bound, roundings
from deadtokens.accounting.terms import (
    TERMS,
    coefficients,
    inverse_denominator,
    split_displacement,
)
from deadtokens.errors import UserError
from deadtokens.training.optimizer import hyperparameters, learning_rate
from deadtokens.training.precision import REGIMES
from deadtokens.training.spec import RunSpec
from deadtokens.trajectory.updates import Tile

# The vectors of an update, in this order; a term is its vector times a coefficient.
VECTORS = (*TERMS, "displacement", "grad", "exp_avg", "E 1 ago", "E 10 ago", "E 100 ago")
CLOSURE = 1e-12  # of the sum of the terms' sizes: float64 loses less
ROUNDING, DISPLACEMENT, GRAD, EXP_AVG, OLDER = 3, 4, 5, 6, 7
AGAINST = ("grad", "exp_avg", "h_mean")
# Of each token: a share of each term, and a cosine against each of AGAINST.
STATISTICS = (*TERMS, *AGAINST)


@dataclass(frozen=True)
class Run:
    """What the account needs of a run besides its record.

    Attributes
    ----------
    name : str
    spec : RunSpec
    populations : float64 ndarray of shape (populations, tokens)
        1 for the members of each of `analysis.populations`, else 0.
    h_mean : float64 ndarray of shape (updates, components)
    """

    name: str
    spec: RunSpec
    populations: np.ndarray
    h_mean: np.ndarray


@dataclass
class Worst:
    """The largest value of something over a run, and where; 0 and None as long as none is seen."""

    value: float = 0.0
    update: int | None = None
    token: int | None = None
    component: int | None = None

    def meet(self, other: "Worst") -> None:
        """Take over the other if it is larger."""
        if other.value > self.value:
            self.__dict__.update(vars(other))


@dataclass
class Account:
    """The sums over one segment and some tokens.

    Attributes
    ----------
    sums : float64 ndarray of shape (updates, vectors, populations, components)
        Of VECTORS over each population's tokens.
    factors : float64 ndarray of shape (updates, terms)
        Coefficients of the terms.
    statistics : float32 ndarray of shape (statistics, updates, tokens)
        STATISTICS of each token, NaN where it rests.
    at_rest : float64 ndarray of shape (updates, populations)
        Number of tokens that did not move.
    rest_norms : float64 ndarray of shape (updates, populations)
        Sum over those of the norm of what rounding took from them.
    net : float64 ndarray of shape (terms, tokens, components)
        The terms, summed over the updates.
    ends : float64 ndarray of shape (2, tokens, components)
        W at the first and the last state.
    closure, bound_ratio : float64 ndarray of shape (updates,)
        Worst over the values.
    worst : Worst
        Of the rounding over its bound.
    not_finite : int
        Number of values that could not be checked.
    """

    sums: np.ndarray
    factors: np.ndarray
    statistics: np.ndarray
    at_rest: np.ndarray
    rest_norms: np.ndarray
    net: np.ndarray
    ends: np.ndarray
    closure: np.ndarray
    bound_ratio: np.ndarray
    worst: Worst
    not_finite: int


def account_for(tile: Tile, rows: slice, run: Run, history: GradientHistory) -> Account:
    """Split every displacement of some tokens over one segment, check it, and sum up.

    Parameters
    ----------
    tile : Tile
    rows : slice
        Within the tile.
    run : Run
    history : GradientHistory
        Of the updates before; it is brought to the end of the segment.

    Raises
    ------
    UserError
        If a rounding term exceeds its bound.
    """
    tokens = slice(tile.tokens.start + rows.start, tile.tokens.start + rows.stop)
    averages = history.recall(tokens)
    book = _Book(tile, rows, tokens, run)
    for index in range(len(tile.updates)):
        book.enter(index, averages)
    history.keep(tokens, averages, tile.grad[:, rows])
    return book.close()


class _Book:
    """The account while it is written."""

    def __init__(self, tile: Tile, rows: slice, tokens: slice, run: Run):
        self.updates, self.first = tile.updates, tokens.start
        self.run, self.hyper = run, hyperparameters(run.spec)
        self.units = roundings(REGIMES[run.spec.precision])
        self.populations = run.populations[:, tokens]
        self.h = run.h_mean[tile.updates.start - 1 : tile.updates.stop - 1]
        # Views are made once: making one takes as long as a third of an operation on it.
        self.states = {name: tensor[:, rows].unbind() for name, tensor in tile.states.items()}
        self.grads = tile.grad[:, rows].unbind()
        self._open_pages(len(tile.updates), *self.grads[0].shape)

    def _open_pages(self, updates: int, tokens: int, components: int) -> None:
        vectors = torch.empty((len(VECTORS), tokens, components), dtype=torch.float64)
        self.vector, self.vectors = vectors.unbind(), vectors.numpy()
        self.vector[EXP_AVG].copy_(self.states["exp_avg"][0])
        self.split = self.vector[: DISPLACEMENT + 1]
        self.skipped = 0 if self.run.spec.weight_decay else 1  # without decay its term is nowhere
        self.net = torch.zeros((len(TERMS), tokens, components), dtype=torch.float64)
        self.net_of = self.net.unbind()
        self.sums = np.zeros((updates, len(VECTORS), len(self.populations), components))
        self.factors = np.empty((updates, len(TERMS)))
        self.products, self.squares = np.zeros((2, OLDER, updates, tokens))
        self.with_h = np.empty((updates, tokens))
        self.bound_ratio = np.zeros(updates)
        self.worst, self.not_finite = Worst(), 0

    def enter(self, index: int, averages: RecentAverages) -> None:
        """Split one update, check it, and sum up."""
        t, factors = self.updates[index], self.factors[index]
        factors[:] = coefficients(t, learning_rate(self.run.spec, t), self.hyper)
        W = self.states["W"][index], self.states["W"][index + 1]
        m = self.vector[EXP_AVG]  # still that before the update
        inverse = inverse_denominator(self.states["exp_avg_sq"][index + 1], t, self.hyper)
        grad = self.vector[GRAD].copy_(self.grads[index])
        split_displacement(W, grad, m, inverse, factors, self.split)
        m.copy_(self.states["exp_avg"][index + 1])
        self._check(index, rounding_bound(W, self.split, factors, self.units))
        for place, age in enumerate(BORDERS):
            torch.mul(averages.ago(age), inverse, out=self.vector[OLDER + place])
        averages.push(grad)
        self._sum_up(index)

    def _check(self, index: int, bound: Tensor) -> None:
        ratio = self.vector[ROUNDING].abs().div_(bound)
        worst = float(ratio.amax())
        if not worst <= 1:
            self.not_finite += int((~ratio.isfinite()).sum())
            worst = float(ratio.nan_to_num_(0.0, 0.0).amax())
        self.bound_ratio[index] = worst
        if worst > self.worst.value:
            row, component = divmod(int(ratio.argmax()), ratio.shape[1])
            self.worst = Worst(worst, self.updates[index], self.first + row, component)
            if worst > 1:
                self._refuse(self.vector[ROUNDING][row, component], bound[row, component])

    def _refuse(self, rounding: Tensor, bound: Tensor) -> None:
        place = self.worst
        raise UserError(
            f"run {self.run.name}: update {place.update}, token {place.token}, component "
            f"{place.component}: rounding would have to explain {rounding:.6g}, but the update's "
            f"operations cannot lose more than {bound:.6g}: the record is not what this run's "
            "optimizer does (`deadtokens audit` shows where they part)"
        )

    def _sum_up(self, index: int) -> None:
        """Reduce the vectors, by numpy: its calls cost less than torch's."""
        used, factors = slice(self.skipped, None), self.factors[index].tolist()
        np.matmul(self.populations, self.vectors[used], out=self.sums[index, used])
        for place in range(self.skipped, ROUNDING):
            self.net_of[place].add_(self.vector[place], alpha=factors[place])
        displacement, own = self.vectors[DISPLACEMENT], self.vectors[self.skipped : OLDER]
        np.matmul(displacement, self.h[index], out=self.with_h[index])
        np.vecdot(own, displacement, out=self.products[used, index])
        np.vecdot(own, own, out=self.squares[used, index])

    def close(self) -> Account:
        """Return the account."""
        W = self.states["W"]
        ends = torch.stack([W[0], W[-1]]).double()
        torch.sub(ends[1] - ends[0], self.net[:ROUNDING].sum(0), out=self.net[ROUNDING])
        populations, rests = self.populations.T, self.squares[DISPLACEMENT] == 0
        return Account(
            self.sums,
            self.factors,
            self._statistics(),
            rests @ populations,
            (rests * np.sqrt(self.squares[ROUNDING])) @ populations,
            self.net.numpy(),
            ends.numpy(),
            self._closure(),
            self.bound_ratio,
            self.worst,
            self.not_finite,
        )

    def _closure(self) -> np.ndarray:
        """Return each update's worst gap between a token's displacement and its terms.

        Along the displacement, relative to the sizes of the terms.
        """
        factors = self.factors.T[:, :, None]
        terms, displacement = slice(len(TERMS)), self.squares[DISPLACEMENT]
        gaps = np.abs((factors * self.products[terms]).sum(axis=0) - displacement)
        sizes = (np.abs(factors) * np.sqrt(self.squares[terms])).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            worst = np.nan_to_num(gaps / (sizes * np.sqrt(displacement))).max(axis=1)
        if (worst > CLOSURE).any():
            raise AssertionError(f"the terms do not sum to the displacement: {worst.max():.3g}")
        return worst

    def _statistics(self) -> np.ndarray:
        """Return STATISTICS; a division by a norm of zero gives NaN or an infinity."""
        norms = np.sqrt(self.squares)
        h_norms = np.linalg.norm(self.h, axis=1)[:, None]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            shares = self.factors.T[:, :, None] * self.products[: len(TERMS)]
            shares /= self.squares[DISPLACEMENT]
            slopes = [
                self.products[GRAD] / norms[GRAD],
                self.products[EXP_AVG] / norms[EXP_AVG],
                self.with_h / h_norms,
            ]
            cosines = -np.stack(slopes) / norms[DISPLACEMENT]
            return np.concatenate([shares, cosines]).astype(np.float32)
