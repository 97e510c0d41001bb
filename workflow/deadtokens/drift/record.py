"""The small part of a run that the drift needs, and what to keep of the large part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from deadtokens.drift.components import resampling_weights
from deadtokens.drift.follow import Watch
from deadtokens.trajectory.optional import values_or_nan
from deadtokens.trajectory.populations import DEAD, POPULATIONS, members_of
from deadtokens.trajectory.spans import recorded_from, spans_of

MARKED = 7
FRAMES = 60
DRAWN = {"dead": 1500, "live": 500}
UPDATES_AT_ONCE = 64  # a chunk of the record


@dataclass(frozen=True)
class Record:
    """What of a run is small enough to be in memory as a whole.

    Attributes
    ----------
    run : Dataset
        As opened, for the census and the attributes.
    members : ndarray of bool, shape (populations, tokens)
    update : ndarray of int64, shape (updates,)
    h_mean : float64 ndarray, shape (updates, components)
        NaN if it was not recorded.
    lr, grad_norm : float64 and float32 ndarray, shape (updates,)
        The norm NaN if it was not recorded.
    shared : sequence of float32 ndarray, shape (components,), or of None
        Mean over the vocabulary of the squares of each update's gradients, where rows share it.
    """

    run: xr.Dataset
    members: np.ndarray
    update: np.ndarray
    h_mean: np.ndarray
    lr: np.ndarray
    grad_norm: np.ndarray
    shared: Sequence[np.ndarray | None]

    @property
    def state(self) -> np.ndarray:
        """The recorded states, int64 of shape (states,)."""
        return self.run["state"].values

    @property
    def last(self) -> int:
        """The last one."""
        return int(self.state[-1])

    @property
    def spans(self) -> np.ndarray:
        """How many updates each recorded one stands for, int64 of shape (updates,)."""
        return spans_of(self.run)

    @property
    def dead(self) -> np.ndarray:
        """Who is dead, bool of shape (tokens,)."""
        return self.members[DEAD]


def read_record(run: xr.Dataset) -> Record:
    """Read the small part of a run."""
    return Record(
        run,
        members_of(run),
        run["update"].values,
        values_or_nan(run, "h_mean", ("update", "component")),
        run["lr"].values.astype(np.float64),
        values_or_nan(run, "grad_norm", ["update"]).astype(np.float32),
        run["grad_sq_mean"].values if "grad_sq_mean" in run else [None] * run.sizes["update"],
    )


def dead_probabilities(record: Record) -> Iterator[np.ndarray]:
    """Yield the dead tokens' mean predicted probabilities, float32 (dead tokens,), by update."""
    chosen = record.run["probability"].isel(token=np.flatnonzero(record.dead))
    for start in range(0, len(record.update), UPDATES_AT_ONCE):
        yield from chosen.isel(update=slice(start, start + UPDATES_AT_ONCE)).values


def plan(record: Record, generator: np.random.Generator) -> Watch:
    """Return what to keep on the way."""
    marked = recorded_from(early_states(record.last, MARKED), record.state).tolist()
    return Watch(
        populations=record.members,
        whole={0, marked[len(marked) // 2], record.last},
        marked=set(marked),
        frames=set(recorded_from(early_states(record.last, FRAMES), record.state).tolist()),
        members=choose_members(record.members, DRAWN, generator),
        weights=resampling_weights(int(record.dead.sum()), generator),
    )


def early_states(last: int, count: int) -> list[int]:
    """Return up to `count` states from 0 to `last`, denser at the beginning.

    The k-th is last x (k / (count - 1))^2, as the cloud is fastest at first.

    Parameters
    ----------
    last : int
    count : int
        At least 2.
    """
    return sorted({round(last * (place / (count - 1)) ** 2) for place in range(count)})


def choose_members(
    members: np.ndarray, most: Mapping[str, int], generator: np.random.Generator
) -> np.ndarray:
    """Return tokens to draw, at most so many of each population named, at random.

    Parameters
    ----------
    members : ndarray of bool, shape (populations, tokens)
    most : mapping of population to int
        In the order in which they come.
    generator : numpy Generator
    """
    chosen = []
    for name, number in most.items():
        tokens = np.flatnonzero(members[POPULATIONS.index(name)])
        if len(tokens) > number:
            tokens = np.sort(generator.choice(tokens, number, replace=False))
        chosen.append(tokens)
    return np.concatenate(chosen)
