"""When the dead tokens' freezing began, in the ways in which its onset has been defined.

Each definition is a condition that holds at an update or does not. It is reported with its first
update, how long it then held, and whether the record ended before the condition did: a duration
that was still going on is a lower bound. What is *for good* has held for at least LASTING updates,
to the end of the record.

A *last motion* is dated as everywhere else: by the update that made it.
"""

from dataclasses import dataclass

import numpy as np

from deadtokens.freezing.lasting import LASTING

MOSTLY = 0.9
SLOW = 0.01
LEVELS = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Onset:
    """The stretches over which a condition held.

    Attributes
    ----------
    first : float
        The first update at which it held; NaN if none is recorded.
    duration : int
        For how many updates it then held.
    ongoing : bool
        The record ended before that stretch did.
    stretches : int
        How many there were.
    longest : int
        The longest one, in updates.
    lasting : float
        The update from which it held for good; NaN if it did not.
    """

    first: float
    duration: int
    ongoing: bool
    stretches: int
    longest: int
    lasting: float


def stretches(condition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first positions and the lengths of the runs of True, each of shape (runs,)."""
    edges = np.diff(np.concatenate([[False], condition, [False]]).astype(np.int8))
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def onset_of(condition: np.ndarray, updates: np.ndarray) -> Onset:
    """Return when a condition first held and for how long.

    Parameters
    ----------
    condition : ndarray of bool, shape (updates,)
    updates : ndarray of int, shape (updates,)
        The recorded ones, ascending, from state 0 on; each stands for those since the one before.
    """
    starts, lengths = stretches(condition)
    if not len(starts):
        return Onset(np.nan, 0, False, 0, 0, np.nan)
    holds = bool(condition[-1])
    lengths = updates[starts + lengths - 1] - _before(updates)[starts]
    return Onset(
        first=float(updates[starts[0]]),
        duration=int(lengths[0]),
        ongoing=holds and len(starts) == 1,
        stretches=len(starts),
        longest=int(lengths.max()),
        lasting=float(updates[starts[-1]]) if holds and lengths[-1] >= LASTING else np.nan,
    )


def conditions(
    updates: np.ndarray,
    frozen_fraction: np.ndarray,
    radius_velocity: np.ndarray,
    last_motion: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return each definition's condition at every update, bool of shape (updates,).

    Parameters
    ----------
    updates : ndarray of int, shape (updates,)
    frozen_fraction : ndarray of float, shape (updates,)
        Of the dead tokens, by each update.
    radius_velocity : ndarray of float, shape (updates,)
        Change of the dead cloud's radius by each update.
    last_motion : ndarray of int, shape (dead tokens,)
        Those that the record's end follows too soon were not for good, and count for nothing.
    """
    found = {
        f"more than {MOSTLY:.0%} frozen": frozen_fraction > MOSTLY,
        f"radius velocity below {SLOW:.0%} of its peak for good": _slow(radius_velocity, updates),
        "global stillness": frozen_fraction == 1,
    }
    for_good = np.sort(last_motion[updates.max(initial=0) - last_motion >= LASTING])
    stopped = np.searchsorted(for_good, updates, side="right")
    for level in LEVELS:
        enough = max(1, int(np.ceil(level * len(last_motion) - 1e-9)))
        found[f"last motion of {level:.0%}"] = stopped >= enough
    return found


def _before(updates: np.ndarray) -> np.ndarray:
    """Return the recorded state before each update."""
    return np.concatenate([[0], updates])[:-1]


def _slow(velocity: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """Return where the speed is below SLOW of its peak for good; nowhere without motion.

    A velocity that changes its sign is below for a moment each time.
    """
    speed = np.abs(velocity)
    peak = np.nanmax(speed, initial=0)
    fast = np.flatnonzero(~(speed < SLOW * peak))
    begin = fast[-1] + 1 if len(fast) else 0
    last = np.arange(len(speed)) >= begin
    lasted = last.any() and updates[-1] - _before(updates)[begin] >= LASTING
    return last & lasted & (peak > 0)
