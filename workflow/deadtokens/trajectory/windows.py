"""Tensors of a trajectory as bare bits, a window of updates and some tokens at a time.

The way for analyses that look at every bit: half the bytes of `read_blocks` for a bfloat16 record,
and pieces small enough to stay near the processor. Memory depends neither on the length of the run
nor on that of its segments.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import h5py
import numpy as np

from deadtokens.trajectory import layout
from deadtokens.trajectory.blocks import inflate
from deadtokens.trajectory.segments import Segments, list_segments

UNSIGNED = {"bfloat16": np.uint16, "float32": np.uint32}
CHUNKS_PER_WINDOW = 4  # a window reads one chunk twice, for the state before its first update


@dataclass(frozen=True)
class Piece:
    """The record of some tokens over some updates of one segment.

    Attributes
    ----------
    tokens : range
        Rows of the vocabulary.
    updates : ndarray of int64, shape (updates,)
    bits : dict of str to ndarray of uint16 or uint32, shape (tokens, components, steps)
        bfloat16 as 16 bits, float32 as 32. The steps of ``grad`` are the updates; those of W and
        the moments are one more: the states before, between and after them.
    """

    tokens: range
    updates: np.ndarray
    bits: dict[str, np.ndarray]


def read_pieces(
    segments: Segments,
    names: Sequence[str],
    wanted: np.ndarray | None = None,
    chunks: int = CHUNKS_PER_WINDOW,
) -> Iterator[Piece]:
    """Yield the named tensors: all tokens of the first window of updates, then of the next.

    While the caller works on one piece the next is inflated. Segments without updates, behind a
    divergence, are passed over.

    Parameters
    ----------
    segments : path or sequence of paths
    names : sequence of str
        Of `layout.TENSORS`.
    wanted : ndarray of bool, shape (tokens,), optional
        Pieces without a wanted token are left out.
    chunks : int
        Length of a window, in chunks of W along the steps.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: _Reading | None = None
        for path in list_segments(segments):
            with h5py.File(path, "r") as file:
                for window in _windows(file, chunks):
                    for tokens in _rows(file, wanted):
                        reading = _Reading(file, names, tokens, window, pool)
                        if waiting is not None:
                            yield waiting.piece()
                        waiting = reading
        if waiting is not None:
            yield waiting.piece()


def _windows(file: h5py.File, chunks: int) -> Iterator[range]:
    """Yield the positions of each window's updates; its last state ends a chunk."""
    updates, length = file["update"].shape[0], file["W"].chunks[-1]
    ends = [*range(chunks * length - 1, updates, chunks * length), updates]
    starts = [0, *ends[:-1]]
    return (range(start, end) for start, end in zip(starts, ends, strict=True) if start < end)


def _rows(file: h5py.File, wanted: np.ndarray | None) -> Iterator[range]:
    tokens, length = file["W"].shape[0], file["W"].chunks[0]
    for start in range(0, tokens, length):
        rows = range(start, min(start + length, tokens))
        if wanted is None or wanted[rows.start : rows.stop].any():
            yield rows


class _Reading:
    """A piece whose chunks are being inflated."""

    def __init__(
        self,
        file: h5py.File,
        names: Sequence[str],
        tokens: range,
        window: range,
        pool: ThreadPoolExecutor,
    ):
        self.tokens, self.updates = tokens, file["update"][window.start : window.stop]
        self.bits: dict[str, np.ndarray] = {}
        self.pending: list[Future] = []
        for name in names:
            dataset = file[name]
            steps = range(window.start, window.stop + (name in layout.STATE_TENSORS))
            shape = (len(tokens), dataset.shape[1], len(steps))
            self.bits[name] = np.empty(shape, UNSIGNED[dataset.attrs["recorded_dtype"]])
            self.pending += inflate(dataset, tokens, steps, self.bits[name], pool)

    def piece(self) -> Piece:
        for future in self.pending:
            future.result()
        return Piece(self.tokens, self.updates, self.bits)
