"""Everything known of some tokens over one segment, in its own number format: for replays.

A segment holds the state at which it starts, so each gradient finds the states before and after it
in the same file. The optimizer works element by element, so tokens can be taken a few at a time:
memory depends on neither the length of the run nor the size of the vocabulary.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import h5py
import numpy as np
from torch import Tensor

from deadtokens.run import layout
from deadtokens.run.bits import as_tensor
from deadtokens.run.formats import UNSIGNED
from deadtokens.run.rounding import Rounding, rounding_of
from deadtokens.trajectory.inflate import inflate
from deadtokens.trajectory.replay import Replay
from deadtokens.trajectory.segments import Segments, list_segments, open_each
from deadtokens.trajectory.source import tensor_format, tensor_shape

TILE_BYTES = 64 << 20  # of all tensors of a tile; two tiles are in memory at a time


@dataclass(frozen=True)
class Evidence:
    """What a segment holds of the state tensors that it does not record.

    Attributes
    ----------
    first : dict of str to Tensor of shape (tokens, components)
        Before the first update.
    checksums : dict of str to int32 Tensor of shape (groups, updates + 1)
        Of each state, as `proof.checksums` gives them.
    group : int
        Rows in a group.
    """

    first: dict[str, Tensor]
    checksums: dict[str, Tensor]
    group: int


@dataclass(frozen=True)
class Tile:
    """The record of some tokens over one segment.

    Attributes
    ----------
    tokens : range
        Rows of the vocabulary.
    updates : range
        The updates t of the segment.
    grad : Tensor of shape (updates, tokens, components)
        What each update consumed.
    states : dict of str to Tensor of shape (updates + 1, tokens, components)
        W and the moments; index 0 is the state before the first update.
    rounding : Rounding
        Of the device that took the updates.
    evidence : Evidence or None
        Of the state tensors that `states` lacks because nothing was to be replayed.
    """

    tokens: range
    updates: range
    grad: Tensor
    states: dict[str, Tensor]
    rounding: Rounding
    evidence: Evidence | None = None


def read_tiles(segments: Segments, replay: bool = True) -> Iterator[Tile]:
    """Yield the record tile by tile: all tokens of the first segment, then of the next.

    While the caller works on one tile the next is read. Segments without updates, behind a
    divergence, are passed over.

    Parameters
    ----------
    segments : path or sequence of paths
        Of a run whose gradients are recorded.
    replay : bool
        Replay the state tensors that are not recorded, and prove them; else give the evidence.

    Raises
    ------
    UserError
        If a replay does not give the bits that training had.
    """
    paths = list_segments(segments)
    with open_each(paths) as files, ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: _Reading | None = None
        for file in files:
            for tokens in token_tiles(file):
                reading = _Reading(file, tokens, replay, pool)
                if waiting is not None:
                    yield waiting.tile()
                waiting = reading
        if waiting is not None:
            yield waiting.tile()


def token_tiles(file: h5py.File) -> Sequence[range]:
    """Return the ranges of tokens that are read together: whole chunks, within TILE_BYTES."""
    updates = file["update"].shape[0]
    if not updates:
        return []
    tokens, components, _ = file["grad"].shape
    formats = [tensor_format(file, name) for name in layout.readable(file)]
    item = sum(np.dtype(UNSIGNED[format]).itemsize for format in formats)
    fitting = TILE_BYTES // (item * components * (updates + 1))
    rows = file["grad"].chunks[0]
    step = max(rows, fitting - fitting % rows)
    return [range(start, min(start + step, tokens)) for start in range(0, tokens, step)]


class _Reading:
    """A tile whose tensors are being read."""

    def __init__(self, file: h5py.File, tokens: range, replay: bool, pool: ThreadPoolExecutor):
        first, last = int(file["update"][0]), int(file["update"][-1])
        self.tokens, self.updates = tokens, range(first, last + 1)
        self.rounding = rounding_of(file.attrs)
        lacking = layout.replayed(file)
        names = [name for name in layout.readable(file) if replay or name not in lacking]
        self.formats = {name: tensor_format(file, name) for name in names}
        self.bits = {name: self._empty(file, name) for name in names}
        self.pending: list[Future] = []
        for name in set(names).difference(lacking):
            out = self.bits[name].transpose(1, 2, 0)
            self.pending += inflate(file[name], tokens, range(out.shape[2]), out, pool)
        self.evidence = None
        if lacking:
            self._replay(Replay(file, tokens, self._tensor("grad")), lacking, replay, pool)

    def _replay(
        self, source: Replay, names: Sequence[str], replay: bool, pool: ThreadPoolExecutor
    ) -> None:
        if replay:
            outs = {name: self.bits[name].transpose(1, 2, 0) for name in names}
            steps = range(len(self.updates) + 1)
            self.pending += source.begin(outs, self.tokens, steps, pool, after=tuple(self.pending))
        else:
            first = {name: source.first(name, self.tokens) for name in names}
            stated = {name: source.stated_of(name, self.tokens) for name in names}
            self.evidence = Evidence(first, stated, source.group)

    def _empty(self, file: h5py.File, name: str) -> np.ndarray:
        _, components, steps = tensor_shape(file, name)
        return np.empty((steps, len(self.tokens), components), UNSIGNED[self.formats[name]])

    def _tensor(self, name: str) -> Tensor:
        return as_tensor(self.bits[name], self.formats[name])

    def tile(self) -> Tile:
        for future in self.pending:
            future.result()
        states = {name: self._tensor(name) for name in self.bits if name != "grad"}
        about = self.rounding, self.evidence
        return Tile(self.tokens, self.updates, self._tensor("grad"), states, *about)
