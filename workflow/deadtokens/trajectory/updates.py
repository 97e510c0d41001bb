"""Everything recorded of chosen tokens, update by update, in its own number format.

For analyses of a few tokens over a whole run: chunks without a chosen token are not touched, and of
the others only the chosen rows are kept. Each chunk is inflated once, while the caller works on the
one before it: memory does not grow with the run.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import h5py
import numpy as np
from torch import Tensor

from deadtokens.run import layout
from deadtokens.run.bits import as_tensors
from deadtokens.run.rounding import Rounding, rounding_of
from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.contents import mean_squares
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.source import Source


@dataclass(frozen=True)
class Update:
    """What is recorded of the chosen tokens around one update.

    Attributes
    ----------
    number : int
        The update t.
    grad : Tensor of shape (tokens, components)
        What it consumed.
    before, after : dict of str to Tensor of shape (tokens, components)
        W and what is carried beside it at the states t - 1 and t.
    rounding : Rounding
        Of the device that took the update.
    grad_sq_mean : float32 ndarray of shape (components,) or None
        What all rows of W shared, if they did.
    """

    number: int
    grad: Tensor
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    rounding: Rounding
    grad_sq_mean: np.ndarray | None = None


def read_updates(segments: Segments, tokens: np.ndarray) -> Iterator[Update]:
    """Yield the updates of a run whose record gives all tensors, from the first.

    Parameters
    ----------
    segments : path or sequence of paths
    tokens : ndarray of int, shape (tokens,)
        Rows of the vocabulary, ascending.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in list_segments(segments):
            with h5py.File(path, "r") as file:
                yield from _updates_of(Source(file), tokens, pool)


def _updates_of(source: Source, tokens: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[Update]:
    """Yield a segment's updates; one behind a divergence has none."""
    states = _steps(source, _states(source), tokens, pool)
    gradients = _steps(source, ["grad"], tokens, pool)
    before: dict[str, Tensor] = {}
    rounding, shared = rounding_of(source.file.attrs), mean_squares(source.file)
    for place, number in enumerate(source.file["update"][...]):
        before = before or next(states)
        after, grad = next(states), next(gradients)["grad"]
        yield Update(int(number), grad, before, after, rounding, shared[place])
        before = after


def _states(source: Source) -> list[str]:
    """Return the state tensors that a segment gives."""
    return [name for name in layout.readable(source.file) if name in layout.STATE_TENSORS]


def _steps(
    source: Source, names: Sequence[str], tokens: np.ndarray, pool: ThreadPoolExecutor
) -> Iterator[dict[str, Tensor]]:
    """Yield the chosen rows of tensors that share their step axis, step by step."""
    steps, length = source.shape(names[0])[2], source.steps_per_chunk(names[0])
    chunks = (range(start, min(start + length, steps)) for start in range(0, steps, length))
    begun = (
        source.read(tokens, dict.fromkeys(names, chunk), pool, steps_first=True).finish
        for chunk in chunks
    )
    formats = source.formats(names)
    for values in chain.from_iterable(map(_each_step, ahead(begun))):
        yield as_tensors(values, formats)


def _each_step(values: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for matrices in zip(*values.values(), strict=True):
        yield dict(zip(values, matrices, strict=True))
