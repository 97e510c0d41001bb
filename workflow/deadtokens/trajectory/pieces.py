"""Tensors of a trajectory as bare bits, a window of updates and some tokens at a time.

The way for analyses that look at every bit: half the bytes of `read_blocks` for a bfloat16 record,
and pieces small enough to stay near the processor. Memory depends neither on the length of the run
nor on that of its segments.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from deadtokens.run import layout
from deadtokens.run.formats import UNSIGNED
from deadtokens.trajectory.segments import Segments, list_segments, open_each
from deadtokens.trajectory.source import Source, tensor_format

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
        bfloat16 as 16 bits, float32 as 32. The steps of gradients are the updates; those of W and
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
        Of `layout.TENSORS` and `layout.PATHWAYS`.
    wanted : ndarray of bool, shape (tokens,), optional
        Pieces without a wanted token are left out.
    chunks : int
        Length of a window, in chunks of W along the steps.
    """
    paths = list_segments(segments)
    with open_each(paths) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: _Reading | None = None
        for source in map(Source, files):
            for window in _windows(source, chunks):
                for tokens in _rows(source, wanted):
                    reading = _Reading(source, names, tokens, window, pool)
                    if waiting is not None:
                        yield from waiting.pieces(wanted)
                    waiting = reading
        if waiting is not None:
            yield from waiting.pieces(wanted)


def _windows(source: Source, chunks: int) -> Iterator[range]:
    """Yield the positions of each window's updates; its last state ends a chunk."""
    updates = source.file["update"].shape[0]
    length = source.steps_per_chunk("W") if updates else 1
    ends = [*range(chunks * length - 1, updates, chunks * length), updates]
    starts = [0, *ends[:-1]]
    return (range(start, end) for start, end in zip(starts, ends, strict=True) if start < end)


def _rows(source: Source, wanted: np.ndarray | None) -> list[range]:
    return [rows for rows in source.rows() if _has(wanted, rows)]


def _has(wanted: np.ndarray | None, rows: range) -> bool:
    return wanted is None or bool(wanted[rows.start : rows.stop].any())


class _Reading:
    """A piece whose chunks are being inflated."""

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        tokens: range,
        window: range,
        pool: ThreadPoolExecutor,
    ):
        self.tokens, self.updates = tokens, source.file["update"][window.start : window.stop]
        self.length = source.rows_per_chunk()
        self.bits: dict[str, np.ndarray] = {}
        self.pending: list[Future] = []
        states = range(window.start, window.stop + 1)
        of_updates = layout.UPDATE_TENSORS | layout.PATHWAYS
        for steps, axis in ((states, layout.STATE_TENSORS), (window, of_updates)):
            outs = {}
            for name in axis.keys() & set(names):
                shape = (len(tokens), source.shape(name)[1], len(steps))
                outs[name] = np.empty(shape, UNSIGNED[tensor_format(source.file, name)])
            self.pending += source.begin(outs, tokens, steps, pool)
            self.bits |= outs

    def pieces(self, wanted: np.ndarray | None) -> Iterator[Piece]:
        """Yield the rows of one chunk after the other, whether they were inflated or replayed."""
        for future in self.pending:
            future.result()
        for start in range(0, len(self.tokens), self.length):
            rows = slice(start, start + self.length)
            if _has(wanted, self.tokens[rows]):
                bits = {name: values[rows] for name, values in self.bits.items()}
                yield Piece(self.tokens[rows], self.updates, bits)
