"""Tensors of a trajectory as bare bits, a window of updates and some tokens at a time.

The way for analyses that look at every bit: half the bytes of `read_blocks` for a bfloat16 record,
and pieces small enough to stay near the processor. Memory depends neither on the length of the run
nor on that of its segments.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np

from deadtokens.trajectory.ahead import ahead
from deadtokens.trajectory.segments import Segments, list_segments, open_each
from deadtokens.trajectory.source import Reading, Source, around

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
        begun = (
            partial(_cut, source, tokens, window, wanted, source.read(tokens, steps, pool))
            for source in map(Source, files)
            for window in _windows(source, chunks)
            for steps in [around(window, names)]
            for tokens in source.rows()
            if _has(wanted, tokens)
        )
        yield from chain.from_iterable(ahead(begun))


def _windows(source: Source, chunks: int) -> Iterator[range]:
    """Yield the positions of each window's updates; its last state ends a chunk."""
    updates = source.updates
    length = source.steps_per_chunk("W") if updates else 1
    ends = [*range(chunks * length - 1, updates, chunks * length), updates]
    starts = [0, *ends[:-1]]
    return (range(start, end) for start, end in zip(starts, ends, strict=True) if start < end)


def _has(wanted: np.ndarray | None, tokens: range) -> bool:
    return wanted is None or bool(wanted[tokens.start : tokens.stop].any())


def _cut(
    source: Source, tokens: range, window: range, wanted: np.ndarray | None, reading: Reading
) -> Iterator[Piece]:
    """Yield the rows of one chunk after the other, whether they were inflated or replayed."""
    updates, length = source.file["update"][window.start : window.stop], source.rows_per_chunk()
    values = reading.finish()
    for start in range(0, len(tokens), length):
        rows = slice(start, start + length)
        if _has(wanted, tokens[rows]):
            yield Piece(tokens[rows], updates, {name: bits[rows] for name, bits in values.items()})
