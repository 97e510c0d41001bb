"""Whether tokens that had come to rest before the record's end stayed where they were.

Who froze for good is known in hindsight only, and at the end of a record there is none: that a
token has settled is a rule of thumb. So the record is cut short. At each of FRACTIONS of its
updates the tokens are judged by what was known then, by the rules that hold at its end, and the
rest of the record says who moved again and how much later.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from deadtokens.freezing.lasting import FRACTIONS, MOVING, SETTLED, UNSETTLED
from deadtokens.freezing.lives import Lives
from deadtokens.statistics.quantiles import quantiles_of_finite


@dataclass(frozen=True)
class Judgement:
    """What was known of the tokens after some of the updates; arrays are (grids, tokens).

    Attributes
    ----------
    last_motion : ndarray of int64
    moving, unsettled : ndarray of bool
        As `Lives` says it.
    """

    last_motion: np.ndarray
    moving: np.ndarray
    unsettled: np.ndarray

    @classmethod
    def of(cls, lives: Lives) -> "Judgement":
        """Judge by the updates followed so far."""
        return cls(lives.last_motion.copy(), lives.moving, lives.unsettled)

    def members(self) -> dict[str, np.ndarray]:
        """Return who is what, each bool of shape (grids, tokens); everyone is one of them."""
        return {
            SETTLED: ~self.unsettled,
            UNSETTLED: self.unsettled & ~self.moving,
            MOVING: self.moving,
        }


def cuts(updates: int) -> list[int]:
    """Return after which of so many updates the tokens are judged."""
    return [math.ceil(fraction * updates) for fraction in FRACTIONS]


def follow(
    lives: Lives,
    phase: np.ndarray,
    hop: np.ndarray,
    at: Sequence[int],
    updates: np.ndarray | None = None,
) -> dict[int, Judgement]:
    """Follow the tokens through the next updates, and judge them after some of them.

    Parameters
    ----------
    lives : Lives
    phase, hop, updates
        As `Lives.follow` takes them.
    at : sequence of int
        Updates after which to judge.

    Returns
    -------
    dict of int to Judgement
        By update; of those among `at` that were followed now.
    """
    if updates is None:
        updates = np.arange(lives.updates + 1, lives.updates + 1 + phase.shape[-1])
    reached = sorted(set(at) & set(updates.tolist()))
    ends = np.searchsorted(updates, reached, side="right")
    found = {}
    for part in zip(*(np.split(one, ends, axis=-1) for one in (phase, hop, updates)), strict=True):
        lives.follow(*part)
        if lives.updates in reached:
            found[lives.updates] = Judgement.of(lives)
    return found


def describe_forecasts(
    judged: Mapping[int, Judgement],
    lives: Lives,
    dead: np.ndarray,
    quantiles: Sequence[float],
    at: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """Return how many dead tokens were judged to be what, and what became of them.

    All over (cuts, judgements, grids), the last one over quantiles too.

    Parameters
    ----------
    judged : mapping of int to Judgement
        By update.
    lives : Lives
        At the end of the record.
    dead : ndarray of bool, shape (tokens,)
    quantiles : sequence of float
        Over the tokens that moved again, of by how much their last motion is later.
    at : sequence of int, optional
        The updates of `judged` that are wanted; by default those of `cuts`.
    """
    at = cuts(lives.updates) if at is None else at
    chosen = np.stack([list(judged[update].members().values()) for update in at]) & dead
    shift = np.stack([lives.last_motion - judged[update].last_motion for update in at])[:, None]
    moved = chosen & (shift > 0)
    return {
        "forecast_update": np.array(at),
        "forecast_tokens": np.count_nonzero(chosen, axis=-1),
        "forecast_moved": np.count_nonzero(moved, axis=-1),
        "forecast_shift_quantile": quantiles_of_finite(np.where(moved, shift, np.nan), quantiles),
    }
