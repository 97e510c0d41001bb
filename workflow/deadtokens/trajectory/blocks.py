"""Tensors of a trajectory as arrays, recorded or replayed, in parallel.

This is the way for analyses: several times faster than a general NetCDF reader, which inflates one
chunk after the other under HDF5's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import h5py
import numpy as np

from deadtokens.run import layout
from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.segments import (
    Header,
    Segments,
    list_segments,
    open_each,
    read_header,
)
from deadtokens.trajectory.source import Reading, Source, tensor_shape

TOGETHER = 2**24  # bytes of rows of which single steps are read


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
    paths = list_segments(segments)
    with open_each(paths) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from ahead(
            _begin(source, axis, names, part, pool)
            for source, part in _chunks(map(Source, files), axis, names[0])
        )


def _chunks(sources: Iterable[Source], axis: str, name: str) -> Iterator[tuple[Source, range]]:
    """Yield where each chunk's steps lie, without those that came before."""
    previous = -1
    for source in sources:
        steps = source.file[axis][...]
        length = source.steps_per_chunk(name)
        for start in range(0, len(steps), length):
            part = range(start + int(steps[start] == previous), min(start + length, len(steps)))
            if part:
                previous = steps[part[-1]]
                yield source, part


def _begin(
    source: Source, axis: str, names: Sequence[str], part: range, pool: ThreadPoolExecutor
) -> Callable[[], Block]:
    """Begin to read a block; return what finishes it."""
    tokens = range(source.shape(names[0])[0])
    reading = source.read(tokens, dict.fromkeys(names, part), pool, widened=True)
    steps = source.file[axis][part.start : part.stop]
    return lambda: Block(steps, reading.finish())


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
    paths = list_segments(segments)
    with h5py.File(paths[0], "r") as file:
        vocabulary, components, _ = tensor_shape(file, name)
    rows = range(*tokens.indices(vocabulary))
    parts = _parts([read_header(path) for path in paths], name, steps)
    values = np.empty((len(rows), components, sum(map(len, parts.values()))), np.float32)
    outs = np.split(values, np.cumsum([len(part) for part in parts.values()]), axis=2)[:-1]
    wanted = [paths[place] for place in parts]
    with open_each(wanted) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = (
            Reading({}, source.begin({name: out}, rows, {name: part}, pool)).finish
            for source, part, out in zip(map(Source, files), parts.values(), outs, strict=True)
        )
        deque(ahead(begun), maxlen=0)
    return values


def load_steps(segments: Segments, name: str, steps: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield single steps of a tensor, each float32 of shape (tokens, components).

    Those of about one chunk are read at once, some rows at a time.

    Parameters
    ----------
    segments : path or sequence of paths
    name : str
        Of `layout.TENSORS` or `layout.PATHWAYS`.
    steps : sequence of int, ascending
        Positions along the run's states or updates, each counted once.
    """
    for _, group in groupby(steps, key=lambda step: step // layout.STEPS_PER_CHUNK):
        yield from _load_near(segments, name, list(group))


def _load_near(segments: Segments, name: str, steps: Sequence[int]) -> np.ndarray:
    """Return steps that lie near each other, float32 of shape (steps, tokens, components)."""
    with h5py.File(list_segments(segments)[0], "r") as file:
        tokens, components, _ = tensor_shape(file, name)
    wanted, span = np.array(steps) - steps[0], slice(steps[0], steps[-1] + 1)
    found = np.empty((len(steps), tokens, components), np.float32)
    length = max(1, TOGETHER // (4 * components * (span.stop - span.start)))
    for start in range(0, tokens, length):
        rows = slice(start, start + length)
        values = load_tensor(segments, name, rows, span)
        found[:, rows] = values[:, :, wanted].transpose(2, 0, 1)
    return found


def _parts(headers: Sequence[Header], name: str, steps: slice) -> dict[int, range]:
    """Return where in which segments, by their place, the wanted steps of a run lie."""
    of_states = name in layout.STATE_TENSORS
    parts, begin = {}, 0
    lengths = [header.states if of_states else header.updates for header in headers]
    # A segment begins with the state before it.
    own = [range(int(of_states and place > 0), length) for place, length in enumerate(lengths)]
    wanted = range(*steps.indices(sum(map(len, own))))
    for place, part in enumerate(own):
        first, last = max(wanted.start - begin, 0), min(wanted.stop - begin, len(part))
        if first < last:
            parts[place] = part[first:last]
        begin += len(part)
    return parts
