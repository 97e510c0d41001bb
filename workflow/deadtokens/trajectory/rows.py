"""Everything recorded of chosen tokens, update by update, in its own number format.

For analyses of a few tokens over a whole run: chunks without a chosen token are not touched, and of
the others only the chosen rows are kept. Each chunk is inflated once, while the caller works on the
one before it: memory does not grow with the run.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import h5py
import numpy as np
import torch
from torch import Tensor

from deadtokens.trajectory import layout
from deadtokens.trajectory.chunks import decode_chunk
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.staging import BITS


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
        W and the moments at the states t - 1 and t.
    """

    number: int
    grad: Tensor
    before: dict[str, Tensor]
    after: dict[str, Tensor]


def read_updates(segments: Segments, tokens: np.ndarray) -> Iterator[Update]:
    """Yield the updates of a run that records all four tensors, from the first.

    Parameters
    ----------
    segments : path or sequence of paths
    tokens : ndarray of int, shape (tokens,)
        Rows of the vocabulary, ascending.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in list_segments(segments):
            with h5py.File(path, "r") as file:
                yield from _updates_of(file, tokens, pool)


def _updates_of(file: h5py.File, tokens: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[Update]:
    """Yield a segment's updates; one behind a divergence has none."""
    numbers = file["update"][...]
    steps = {name: _steps(file[name], tokens, pool) for name in layout.TENSORS}
    before: dict[str, Tensor] = {}
    for number in numbers:
        before = before or {name: next(steps[name]) for name in layout.STATE_TENSORS}
        after = {name: next(steps[name]) for name in layout.STATE_TENSORS}
        yield Update(int(number), next(steps["grad"]), before, after)
        before = after


def _steps(dataset: h5py.Dataset, tokens: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[Tensor]:
    """Yield a tensor's chosen rows step by step."""
    waiting: _Reading | None = None
    for start in range(0, dataset.shape[2], dataset.chunks[2]):
        reading = _Reading(dataset, tokens, start, pool)
        if waiting is not None:
            yield from waiting.tensor()
        waiting = reading
    if waiting is not None:
        yield from waiting.tensor()


class _Reading:
    """The chosen rows of the chunks that begin at one step, being inflated."""

    def __init__(
        self, dataset: h5py.Dataset, tokens: np.ndarray, start: int, pool: ThreadPoolExecutor
    ):
        rows, components, length = dataset.chunks
        format = dataset.attrs["recorded_dtype"]
        shape = (min(length, dataset.shape[2] - start), len(tokens), components)
        self.dtype = getattr(torch, format)
        self.bits = torch.empty(shape, dtype=BITS[self.dtype])
        unsigned = self.bits.numpy().view(f"u{self.bits.itemsize}")
        self.pending: list[Future] = []
        for first in np.unique(tokens - tokens % rows):
            chosen = slice(*np.searchsorted(tokens, [first, first + rows]))
            inside, out = tokens[chosen] - first, unsigned[:, chosen]
            place = (int(first), 0, start)
            self.pending.append(pool.submit(_inflate, dataset, format, place, inside, out))

    def tensor(self) -> Tensor:
        for future in self.pending:
            future.result()
        return self.bits.view(self.dtype)


def _inflate(
    dataset: h5py.Dataset,
    format: str,
    place: tuple[int, int, int],
    rows: np.ndarray,
    out: np.ndarray,
) -> None:
    """Put the chunk's chosen rows into `out`, (steps, tokens, components)."""
    bits = decode_chunk(dataset.id.read_direct_chunk(place)[1], format, dataset.chunks)
    out[...] = bits[rows, :, : len(out)].transpose(2, 0, 1)
