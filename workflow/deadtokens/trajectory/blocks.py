"""Tensors of a trajectory as arrays, recorded or replayed, in parallel.

This is the way for analyses: several times faster than a general NetCDF reader, which inflates one
chunk after the other under HDF5's lock.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import h5py
import numpy as np

from deadtokens.trajectory import layout
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.source import Source


@dataclass(frozen=True)
class Block:
    """Consecutive steps of some tensors, in the order of the disk.

    Attributes
    ----------
    steps : ndarray of int64, shape (steps,)
        The states or updates.
    values : dict of str to float32 ndarray, shape (tokens, components, steps)
    """

    steps: np.ndarray
    values: dict[str, np.ndarray]


def read_blocks(segments: Segments, names: Sequence[str]) -> Iterator[Block]:
    """Yield the named tensors, which share their step axis, block by block from the first step.

    A block is one chunk long, and the next one is inflated while the caller works on this one:
    memory does not grow with the run. No step comes twice: of the states that two segments share,
    the first counts.
    """
    axis = layout.VARIABLES[names[0]].dims[-1]
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        waiting, previous = None, -1
        for path in list_segments(segments):
            file = stack.enter_context(h5py.File(path, "r"))
            steps = file[axis][...]
            source = Source(file)
            length = source.steps_per_chunk(names[0])
            for start in range(0, len(steps), length):
                part = range(start + int(steps[start] == previous), min(start + length, len(steps)))
                if part:
                    reading = _Reading(source, names, part, pool)
                    if waiting is not None:
                        yield waiting.finish(axis)
                    waiting, previous = reading, steps[part[-1]]
        if waiting is not None:
            yield waiting.finish(axis)


class _Reading:
    """A block whose tensors are being read."""

    def __init__(
        self, source: Source, names: Sequence[str], steps: range, pool: ThreadPoolExecutor
    ):
        self.file, self.steps = source.file, steps
        tokens, components, _ = source.shape(names[0])
        shape = (tokens, components, len(steps))
        self.values = {name: np.empty(shape, np.float32) for name in names}
        self.pending = source.begin(self.values, range(tokens), steps, pool)

    def finish(self, axis: str) -> Block:
        for future in self.pending:
            future.result()
        return Block(self.file[axis][self.steps.start : self.steps.stop], self.values)


def load_tensor(
    segments: Segments,
    name: str,
    tokens: slice = slice(None),
    steps: slice = slice(None),
) -> np.ndarray:
    """Return part of a tensor over the whole run, float32 of shape (tokens, components, steps).

    Parameters
    ----------
    segments : path or sequence of paths
    name : str
        Of `layout.TENSORS` or `layout.PATHWAYS`.
    tokens, steps : slice, step 1
        Rows of the vocabulary; positions along the run's states or updates, each counted once.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        files = [stack.enter_context(h5py.File(path, "r")) for path in list_segments(segments)]
        sources = [Source(file) for file in files]
        vocabulary, components, _ = sources[0].shape(name)
        rows = range(*tokens.indices(vocabulary))
        parts = _parts(sources, name, steps)
        total = sum(len(part) for _, part in parts)
        values = np.empty((len(rows), components, total), np.float32)
        pending, done = [], 0
        for source, part in parts:
            out = values[:, :, done : done + len(part)]
            pending += source.begin({name: out}, rows, part, pool)
            done += len(part)
        for future in pending:
            future.result()
    return values


def _parts(sources: Sequence[Source], name: str, steps: slice) -> list[tuple[Source, range]]:
    """Return where in which segments the wanted steps of a run lie."""
    repeated = int(name in layout.STATE_TENSORS)  # a segment begins with the state before it
    own = [(one, range(repeated * (i > 0), one.shape(name)[2])) for i, one in enumerate(sources)]
    total = sum(len(part) for _, part in own)
    wanted = range(*steps.indices(total))
    parts, begin = [], 0
    for source, part in own:
        first, last = max(wanted.start - begin, 0), min(wanted.stop - begin, len(part))
        if first < last:
            parts.append((source, part[first:last]))
        begin += len(part)
    return parts
