"""Everything recorded of some tokens over one segment, in its own number format: for replays.

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
import torch
from torch import Tensor

from deadtokens.trajectory import layout
from deadtokens.trajectory.blocks import inflate
from deadtokens.trajectory.segments import Segments, list_segments

TILE_BYTES = 64 << 20  # of all tensors of a tile; two tiles are in memory at a time
UNSIGNED = {"bfloat16": np.uint16, "float32": np.uint32}
SIGNED = {"bfloat16": np.int16, "float32": np.int32}


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
    """

    tokens: range
    updates: range
    grad: Tensor
    states: dict[str, Tensor]

    def split(self, parts: int) -> list["Tile"]:
        """Return the tile as at most so many tiles of fewer tokens; nothing is copied."""
        rows = -(-len(self.tokens) // parts)
        return [
            Tile(
                self.tokens[start : start + rows],
                self.updates,
                self.grad[:, start : start + rows],
                {name: state[:, start : start + rows] for name, state in self.states.items()},
            )
            for start in range(0, len(self.tokens), rows)
        ]


def read_tiles(segments: Segments) -> Iterator[Tile]:
    """Yield the record tile by tile: all tokens of the first segment, then of the next.

    While the caller works on one tile the next is inflated. Segments without updates, behind a
    divergence, are passed over.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting: _Reading | None = None
        for path in list_segments(segments):
            with h5py.File(path, "r") as file:
                for tokens in token_tiles(file):
                    reading = _Reading(file, tokens, pool)
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
    tokens, components, _ = file["W"].shape
    names = [name for name in layout.TENSORS if name in file]
    item = sum(np.dtype(UNSIGNED[_format(file[name])]).itemsize for name in names)
    fitting = TILE_BYTES // (item * components * (updates + 1))
    rows = file["W"].chunks[0]
    step = max(rows, fitting - fitting % rows)
    return [range(start, min(start + step, tokens)) for start in range(0, tokens, step)]


class _Reading:
    """A tile whose chunks are being inflated."""

    def __init__(self, file: h5py.File, tokens: range, pool: ThreadPoolExecutor):
        first, last = int(file["update"][0]), int(file["update"][-1])
        self.tokens, self.updates = tokens, range(first, last + 1)
        self.arrays: dict[str, np.ndarray] = {}
        self.formats: dict[str, str] = {}
        self.pending: list[Future] = []
        for name in layout.TENSORS:
            if name in file:
                self._begin(file[name], name, pool)

    def _begin(self, dataset: h5py.Dataset, name: str, pool: ThreadPoolExecutor) -> None:
        _, components, steps = dataset.shape
        self.formats[name] = _format(dataset)
        kind = UNSIGNED[self.formats[name]]
        self.arrays[name] = np.empty((steps, len(self.tokens), components), kind)
        out = self.arrays[name].transpose(1, 2, 0)
        self.pending += inflate(dataset, self.tokens, range(steps), out, pool)

    def tile(self) -> Tile:
        for future in self.pending:
            future.result()
        tensors = {
            name: torch.from_numpy(array.view(SIGNED[self.formats[name]])).view(
                getattr(torch, self.formats[name])
            )
            for name, array in self.arrays.items()
        }
        grad = tensors.pop("grad")
        return Tile(self.tokens, self.updates, grad, tensors)


def _format(dataset: h5py.Dataset) -> str:
    return dataset.attrs["recorded_dtype"]
