"""Tensors of a trajectory as arrays, their chunks inflated in parallel.

This is the way for analyses: several times faster than a general NetCDF reader, which inflates one
chunk after the other under HDF5's lock.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import h5py
import numpy as np

from deadtokens.trajectory import layout
from deadtokens.trajectory.chunks import decode_chunk, place
from deadtokens.trajectory.segments import Segments, list_segments


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
    axis = layout.TENSORS[names[0]].dims[-1]
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        waiting, previous = None, -1
        for path in list_segments(segments):
            file = stack.enter_context(h5py.File(path, "r"))
            steps = file[axis][...]
            length = file[names[0]].chunks[-1]
            for start in range(0, len(steps), length):
                part = range(start + int(steps[start] == previous), min(start + length, len(steps)))
                if part:
                    reading = _Reading(file, names, part, pool)
                    if waiting is not None:
                        yield waiting.finish(axis)
                    waiting, previous = reading, steps[part[-1]]
        if waiting is not None:
            yield waiting.finish(axis)


class _Reading:
    """A block whose chunks are being inflated."""

    def __init__(
        self, file: h5py.File, names: Sequence[str], steps: range, pool: ThreadPoolExecutor
    ):
        self.file, self.steps = file, steps
        self.values, self.pending = {}, []
        for name in names:
            tokens, components = file[name].shape[:2]
            self.values[name] = np.empty((tokens, components, len(steps)), np.float32)
            self.pending += inflate(file[name], range(tokens), steps, self.values[name], pool)

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
        Of `layout.TENSORS`.
    tokens, steps : slice, step 1
        Rows of the vocabulary; positions along the run's states or updates, each counted once.
    """
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        files = [stack.enter_context(h5py.File(path, "r")) for path in list_segments(segments)]
        rows = range(*tokens.indices(files[0][name].shape[0]))
        parts = _parts(files, name, steps)
        total = sum(len(part) for _, part in parts)
        values = np.empty((len(rows), files[0][name].shape[1], total), np.float32)
        pending, done = [], 0
        for file, part in parts:
            out = values[:, :, done : done + len(part)]
            pending += inflate(file[name], rows, part, out, pool)
            done += len(part)
        for future in pending:
            future.result()
    return values


def _parts(files: Sequence[h5py.File], name: str, steps: slice) -> list[tuple[h5py.File, range]]:
    """Return where in which files the wanted steps of a run lie."""
    repeated = int(name in layout.STATE_TENSORS)  # a segment begins with the state before it
    own = [(file, range(repeated * (i > 0), file[name].shape[2])) for i, file in enumerate(files)]
    total = sum(len(part) for _, part in own)
    wanted = range(*steps.indices(total))
    parts, begin = [], 0
    for file, part in own:
        first, last = max(wanted.start - begin, 0), min(wanted.stop - begin, len(part))
        if first < last:
            parts.append((file, part[first:last]))
        begin += len(part)
    return parts


def inflate(
    dataset: h5py.Dataset, tokens: range, steps: range, out: np.ndarray, pool: ThreadPoolExecutor
) -> list[Future]:
    """Begin to read part of a tensor into `out`; it is there when the returned futures are done.

    Parameters
    ----------
    dataset : h5py.Dataset of shape (tokens, components, steps)
    tokens, steps : range, step 1
    out : ndarray of shape (tokens, components, steps)
        float32, or unsigned integers of the recorded format's width for the bare bits.
    pool : ThreadPoolExecutor
    """
    rows, _, length = shape = dataset.chunks
    format = dataset.attrs["recorded_dtype"]  # once: looking it up costs as much as a chunk
    return [
        pool.submit(
            _place,
            dataset.id.read_direct_chunk((row, 0, step))[1],
            format,
            shape,
            _overlap(tokens, row, rows),
            _overlap(steps, step, length),
            out,
        )
        for step in range(steps.start - steps.start % length, steps.stop, length)
        for row in range(tokens.start - tokens.start % rows, tokens.stop, rows)
    ]


def _overlap(wanted: range, start: int, length: int) -> tuple[slice, slice]:
    """Return what a chunk from `start` on shares with a range: in the chunk, and in the range."""
    first, last = max(wanted.start, start), min(wanted.stop, start + length)
    return (
        slice(first - start, last - start),
        slice(first - wanted.start, last - wanted.start),
    )


def _place(
    filtered: bytes,
    format: str,
    shape: tuple[int, ...],
    tokens: tuple[slice, slice],
    steps: tuple[slice, slice],
    out: np.ndarray,
) -> None:
    bits = decode_chunk(filtered, format, shape)
    place(bits[tokens[0], :, steps[0]], out[tokens[1], :, steps[1]])


def displacements(segments: Segments) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield W before and after consecutive updates, block by block.

    Yields
    ------
    updates : ndarray of int64, shape (steps,)
    before, after : float32 ndarray, shape (tokens, components, steps)
        ``W[t - 1]`` and ``W[t]`` of the updates t.
    """
    last = None
    for block in read_blocks(segments, ["W"]):
        W = block.values["W"]
        if last is not None:
            W = np.concatenate([last, W], axis=2)
        updates = block.steps[len(block.steps) + 1 - W.shape[2] :]
        if len(updates):
            yield updates, W[:, :, :-1], W[:, :, 1:]
        last = W[:, :, -1:]
