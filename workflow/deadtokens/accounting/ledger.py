"""The accounts of a run's tokens and segments, put together."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from deadtokens.accounting.accounts import STATISTICS, VECTORS, Account, Run, Worst
from deadtokens.accounting.quantiles import quantiles_of_finite
from deadtokens.accounting.terms import TERMS
from deadtokens.trajectory.updates import Tile

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Few enough for a core's cache, enough to be worth a call.
WEIGHTS_PER_PART = 1 << 15


def parts(tile: Tile) -> Iterator[slice]:
    """Yield the rows of a tile in parts of similar size."""
    tokens, components = tile.grad.shape[1:]
    count = min(tokens, -(-tokens * components // WEIGHTS_PER_PART))
    edges = np.linspace(0, tokens, count + 1).round().astype(int).tolist()
    yield from (slice(*edge) for edge in pairwise(edges))


class Segment:
    """The accounts of one segment.

    Attributes are as in `Account`, of all tokens.
    """

    def __init__(self, updates: range, run: Run):
        (populations, tokens), components = run.populations.shape, run.h_mean.shape[1]
        self.updates, self.members = updates, run.populations.astype(bool)
        count = len(updates)
        self.sums = np.zeros((count, len(VECTORS), populations, components))
        self.factors = np.empty((count, len(TERMS)))
        self.statistics = np.empty((len(STATISTICS), count, tokens), np.float32)
        self.at_rest, self.rest_norms = np.zeros((2, count, populations))
        self.closure, self.bound_ratio = np.zeros((2, count))
        self.quantiles = np.empty((count, populations, len(STATISTICS), len(QUANTILES)))

    def enter(self, tokens: slice, account: Account) -> None:
        """Take in the account of some tokens."""
        self.sums += account.sums
        self.factors[...] = account.factors
        self.statistics[:, :, tokens] = account.statistics
        self.at_rest += account.at_rest
        self.rest_norms += account.rest_norms
        np.maximum(self.closure, account.closure, out=self.closure)
        np.maximum(self.bound_ratio, account.bound_ratio, out=self.bound_ratio)

    def close(self) -> None:
        """Reduce the tokens' statistics to quantiles; they are the memory of a segment."""
        for place, members in enumerate(self.members):
            for index, statistic in enumerate(self.statistics):
                chosen = quantiles_of_finite(statistic[:, members], QUANTILES)
                self.quantiles[:, place, index] = chosen
        del self.statistics


class Ledger:
    """The accounts of a run.

    Attributes
    ----------
    segments : list of Segment
    net : float64 ndarray of shape (terms, tokens, components)
        Each token's terms, summed over the run.
    net_displacement : float64 ndarray of shape (tokens, components)
    worst : Worst
        Of the rounding over its bound.
    not_finite : int
        Number of values that could not be checked.
    """

    def __init__(self, run: Run):
        self.run = run
        self.segments: list[Segment] = []
        size = (run.populations.shape[1], run.h_mean.shape[1])
        self.net = np.zeros((len(TERMS), *size))
        self.start, self.net_displacement = np.zeros((2, *size))
        self.worst, self.not_finite = Worst(), 0

    def enter(self, tile: Tile, rows: slice, account: Account) -> None:
        """Take in the account of a part of a tile; tiles come segment by segment."""
        if not self.segments or self.segments[-1].updates != tile.updates:
            self.close()
            self.segments.append(Segment(tile.updates, self.run))
        tokens = slice(tile.tokens.start + rows.start, tile.tokens.start + rows.stop)
        self.segments[-1].enter(tokens, account)
        self.net[:, tokens] += account.net
        if len(self.segments) == 1:
            self.start[tokens] = account.ends[0]
        self.net_displacement[tokens] = account.ends[1] - self.start[tokens]
        self.worst.meet(account.worst)
        self.not_finite += account.not_finite

    def close(self) -> None:
        """Finish the last segment."""
        if self.segments:
            self.segments[-1].close()

    def over_updates(self, name: str, *shape: int) -> np.ndarray:
        """Return an attribute of the segments over all updates; `shape` is that of one update."""
        return np.concatenate([np.zeros((0, *shape)), *(getattr(s, name) for s in self.segments)])
