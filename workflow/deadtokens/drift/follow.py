"""One pass over W that follows the populations' clouds, and keeps a few states as they are."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field

import numpy as np

from deadtokens.drift.cloud import (
    CloudSums,
    Motion,
    Positions,
    covariance_sum,
    isotropy,
    spectra,
)
from deadtokens.trajectory.blocks import Block
from deadtokens.trajectory.populations import POPULATIONS

TILE = 64  # tokens: with 64 components and 64 steps a megabyte


@dataclass(frozen=True)
class Watch:
    """What to keep besides the clouds' quantities.

    Attributes
    ----------
    populations : ndarray of bool, shape (populations, tokens)
        Who belongs to each of POPULATIONS.
    whole : set of int
        States of which all of W is kept.
    marked : set of int
        States of which the clouds' covariances and isotropies are kept.
    frames : set of int
        States of which the members' rows are kept.
    members : ndarray of int, shape (members,)
        Tokens.
    weights : float32 ndarray, shape (draws, dead tokens)
        Of resamples of the dead tokens; their rows sum to 1.
    """

    populations: np.ndarray
    whole: set[int]
    marked: set[int]
    frames: set[int]
    members: np.ndarray
    weights: np.ndarray

    def members_of(self, population: str) -> np.ndarray:
        """Return which tokens belong to a population, bool of shape (tokens,)."""
        return self.populations[POPULATIONS.index(population)]

    def tiles(self, population: str) -> Iterator[np.ndarray]:
        """Yield the population's tokens, a few at a time, in their order."""
        tokens = np.flatnonzero(self.members_of(population))
        for start in range(0, len(tokens), TILE):
            yield tokens[start : start + TILE]


@dataclass
class Followed:
    """What the pass found; every list has one entry a block, to be joined along its first axis.

    Attributes
    ----------
    positions : dict of population to list of Positions
    motion : dict of population to list of Motion
        With an empty motion of the first state.
    eigenvalues : list of ndarray, shape (states, components)
        Of the dead cloud's covariance.
    covariance : dict of (population, state) to float64 ndarray, shape (components, components)
    isotropy : dict of (population, state) to float
    W : dict of state to float32 ndarray, shape (tokens, components)
    frame : dict of state to float32 ndarray, shape (members, components)
    frozen : dict of state to ndarray of bool, shape (members,)
        Whether an update led to the state and left every bit as it was.
    resampled : float64 ndarray, shape (draws, components, components)
        Sum over updates of the outer product of the resampled dead centroid's step with itself.
    """

    resampled: np.ndarray
    positions: dict[str, list[Positions]] = field(default_factory=lambda: _lists())
    motion: dict[str, list[Motion]] = field(default_factory=lambda: _lists())
    eigenvalues: list[np.ndarray] = field(default_factory=list)
    covariance: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    isotropy: dict[tuple[str, int], float] = field(default_factory=dict)
    W: dict[int, np.ndarray] = field(default_factory=dict)
    frame: dict[int, np.ndarray] = field(default_factory=dict)
    frozen: dict[int, np.ndarray] = field(default_factory=dict)


def _lists() -> dict[str, list]:
    return {name: [] for name in POPULATIONS}


def follow(blocks: Iterable[Block], watch: Watch) -> Followed:
    """Follow the clouds from the first state on.

    Parameters
    ----------
    blocks : iterable of Block
        Of W, as `deadtokens.trajectory.blocks.read_blocks` yields them.
    watch : Watch
    """
    found, last = None, None
    for block in blocks:
        W = block.values["W"]
        if found is None:
            draws, width = len(watch.weights), W.shape[1]
            found, last = Followed(np.zeros((draws, width, width))), W[:, :, 0]
        _follow_clouds(found, watch, block.steps, last, W)
        _keep(found, watch, block.steps, last, W)
        last = W[:, :, -1].copy()
        del block, W  # before the one after the next is read
    return found


def _follow_clouds(
    found: Followed, watch: Watch, states: np.ndarray, last: np.ndarray, W: np.ndarray
) -> None:
    """Add a block to what is known of the clouds; `last` is W before its first state."""
    _, components, steps = W.shape
    resampled = np.zeros((len(watch.weights), components, steps), np.float32)
    for name in POPULATIONS:
        sums = CloudSums(components, steps)
        for tile in watch.tiles(name):
            after = W[tile]
            displacement = displacements_of(last[tile], after)
            sums.add(after, displacement)
            if name == "dead":
                shares = watch.weights[:, sums.tokens - len(tile) : sums.tokens]
                add_resampled(displacement, shares, resampled)
        found.positions[name].append(sums.positions())
        found.motion[name].append(sums.motion())
    found.resampled += outer_products(resampled)
    _find_shapes(found, watch, states, W)


def displacements_of(last: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return by how much each state differs from the one before it.

    Parameters
    ----------
    last : float32 ndarray, shape (tokens, components)
        W before the first of the states.
    W : float32 ndarray, shape (tokens, components, states)
    """
    displacement = np.empty(W.shape, W.dtype)
    with np.errstate(all="ignore"):
        # As one long row: several times faster than many short ones. Then the first column.
        np.subtract(W.reshape(-1)[1:], W.reshape(-1)[:-1], out=displacement.reshape(-1)[1:])
        np.subtract(W[:, :, 0], last, out=displacement[:, :, 0])
    return displacement


def add_resampled(displacement: np.ndarray, weights: np.ndarray, steps: np.ndarray) -> None:
    """Add to the steps of resampled centroids what some of their tokens contribute.

    Parameters
    ----------
    displacement : float32 ndarray, shape (tokens, components, steps)
    weights : float32 ndarray, shape (draws, tokens)
    steps : float32 ndarray, shape (draws, components, steps)
        Which is added to.
    """
    with np.errstate(all="ignore"):
        steps += (weights @ displacement.reshape(len(displacement), -1)).reshape(steps.shape)


def outer_products(steps: np.ndarray) -> np.ndarray:
    """Return the sum over steps of the outer product of each with itself, one matrix a draw.

    Parameters
    ----------
    steps : float32 ndarray, shape (draws, components, steps)

    Returns
    -------
    float64 ndarray, shape (draws, components, components)
    """
    steps = steps.astype(np.float64)
    with np.errstate(all="ignore"):
        return steps @ steps.transpose(0, 2, 1)


def _find_shapes(found: Followed, watch: Watch, states: np.ndarray, W: np.ndarray) -> None:
    """Find the dead cloud's covariance at every state, the others' at the marked states."""
    marked = np.isin(states, list(watch.marked))
    for name in POPULATIONS:
        chosen = np.ones_like(marked) if name == "dead" else marked
        centroid = found.positions[name][-1].centroid[chosen]
        covariance = np.zeros((len(centroid), *[W.shape[1]] * 2))
        for tile in watch.tiles(name) if len(centroid) else []:
            covariance += covariance_sum(W[tile][:, :, chosen], centroid)
        with np.errstate(all="ignore"):
            covariance /= np.count_nonzero(watch.members_of(name))
        if name == "dead":
            found.eigenvalues.append(spectra(covariance))
        for state, matrix in zip(states[chosen].tolist(), covariance, strict=True):
            if state in watch.marked:
                found.covariance[name, state] = matrix.copy()


def _keep(
    found: Followed, watch: Watch, states: np.ndarray, last: np.ndarray, W: np.ndarray
) -> None:
    for index, state in enumerate(states.tolist()):
        if state in watch.whole:
            found.W[state] = W[:, :, index].copy()
        if state in watch.marked:
            for name in POPULATIONS:
                rows = W[watch.members_of(name), :, index]
                found.isotropy[name, state] = isotropy(rows)
        if state in watch.frames:
            now = W[watch.members, :, index]
            before = (W[:, :, index - 1] if index else last)[watch.members]
            found.frame[state] = now
            as_before = (now.view(np.uint32) == before.view(np.uint32)).all(axis=1)
            found.frozen[state] = as_before & (state > 0)  # no update led to the first


def joined_positions(pieces: list[Positions]) -> Positions:
    """Return the positions of consecutive blocks as one."""
    return Positions(*map(np.concatenate, zip(*map(astuple, pieces), strict=True)))


def joined_motion(pieces: list[Motion]) -> Motion:
    """Return the motion of consecutive blocks as one, without the first state's empty one."""
    columns = map(np.concatenate, zip(*map(astuple, pieces), strict=True))
    return Motion(*(column[1:] for column in columns))
