"""Variables of a whole run as lazy arrays: a block is read, or replayed, when it is computed."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import dask.array as da
import h5py
import numpy as np
from dask.base import tokenize

from deadtokens.trajectory.inflate import inflate_now
from deadtokens.trajectory.source import Source

SINGLE = np.dtype(np.float32)
PART_BYTES = 48 << 20  # of a replayed part, float32: some are in memory at a time


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps of one segment.

    Attributes
    ----------
    path : str
        Absolute: the array may be computed in another working folder.
    changed : int
        When the file was written last, ns: what was computed from another content is not reused.
    steps : range
        Positions along the step axis.
    """

    path: str
    changed: int
    steps: range


@dataclass(frozen=True)
class Blocks:
    """Where the blocks of some variables of one shape lie.

    Attributes
    ----------
    names : tuple of str
    cuts : tuple of tuples of range
        Along each axis but the last.
    stretches : tuple of Stretch
        Along the last axis, the steps.
    """

    names: tuple[str, ...]
    cuts: tuple[tuple[range, ...], ...]
    stretches: tuple[Stretch, ...]

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The blocks' lengths along each axis."""
        lengths = [tuple(map(len, parts)) for parts in self.cuts]
        return *lengths, tuple(len(stretch.steps) for stretch in self.stretches) or (0,)

    def at(self, place: Sequence[int]) -> tuple[list[range], Stretch]:
        """Return a block's positions along the axes but the last, and its steps."""
        parts = [parts[index] for parts, index in zip(self.cuts, place[:-1], strict=True)]
        return parts, self.stretches[place[-1]]


def recorded_array(
    name: str,
    shape: Sequence[int],
    chunk: Sequence[int],
    kind: np.dtype,
    stretches: Sequence[Stretch],
) -> da.Array:
    """Return a recorded variable over a whole run, its blocks those of the disk.

    Parameters
    ----------
    name : str
    shape, chunk : sequence of int
        Of the variable and of its chunks in the first segment; the steps are the last axis.
    kind : dtype
        Of its numbers there.
    stretches : sequence of Stretch
        Of each segment that has steps.
    """
    cuts = tuple(_cut(range(n), length) for n, length in zip(shape[:-1], chunk[:-1], strict=True))
    blocks = Blocks((name,), cuts, _cut_stretches(stretches, chunk[-1]))
    return _array(_read, blocks, blocks.chunks, kind)


def replayed_arrays(
    names: Sequence[str], shape: Sequence[int], rows: int, stretches: Sequence[Stretch]
) -> dict[str, da.Array]:
    """Return tensors that are not recorded over a whole run: one replay gives a block of all.

    Parameters
    ----------
    names : sequence of str
    shape : sequence of int
        Of each: tokens, components, states of a segment.
    rows : int
        A block has a multiple of so many.
    stretches : sequence of Stretch
        Of each segment that has states.
    """
    tokens, components, states = shape
    together = PART_BYTES // (4 * len(names) * components * max(1, states) * rows)
    cuts = _cut(range(tokens), rows * max(1, together)), (range(components),)
    blocks = Blocks(tuple(names), cuts, tuple(stretches))
    stacked = _array(_replay, blocks, ((len(names),), *blocks.chunks))
    return {name: stacked[index] for index, name in enumerate(names)}


def _array(
    read: Callable[..., np.ndarray],
    blocks: Blocks,
    chunks: tuple[tuple[int, ...], ...],
    kind: np.dtype = SINGLE,
) -> da.Array:
    if not blocks.stretches:
        return da.zeros([sum(lengths) for lengths in chunks], dtype=kind)
    return da.map_blocks(
        read,
        blocks,
        name=f"{'-'.join(blocks.names)}-{tokenize(blocks)}",
        chunks=chunks,
        dtype=kind,
        meta=np.empty((0,) * len(chunks), kind),
    )


def _cut(whole: range, length: int) -> tuple[range, ...]:
    """Return the parts of a range that lie in each chunk."""
    starts = range(whole.start - whole.start % length, whole.stop, length)
    return tuple(
        range(max(start, whole.start), min(start + length, whole.stop)) for start in starts
    )


def _cut_stretches(stretches: Sequence[Stretch], length: int) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(stretch.path, stretch.changed, part)
        for stretch in stretches
        for part in _cut(stretch.steps, length)
    )


def _read(blocks: Blocks, block_id: tuple[int, ...]) -> np.ndarray:
    parts, stretch = blocks.at(block_id)
    with h5py.File(stretch.path, "r") as file:
        dataset = file[blocks.names[0]]
        if "recorded_dtype" not in dataset.attrs:
            return dataset[tuple(slice(part.start, part.stop) for part in (*parts, stretch.steps))]
        tokens, components = parts
        out = np.empty((len(tokens), len(components), len(stretch.steps)), np.float32)
        inflate_now(dataset, tokens, stretch.steps, out)
        return out


def _replay(blocks: Blocks, block_id: tuple[int, ...]) -> np.ndarray:
    (tokens, components), stretch = blocks.at(block_id[1:])
    shape = (len(blocks.names), len(tokens), len(components), len(stretch.steps))
    values = np.empty(shape, np.float32)
    outs: Mapping[str, np.ndarray] = dict(zip(blocks.names, values, strict=True))
    with h5py.File(stretch.path, "r") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in Source(file).begin(outs, tokens, dict.fromkeys(outs, stretch.steps), pool):
            future.result()
    return values
