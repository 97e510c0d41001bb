"""Everything recorded of chosen tokens, update by update, in its own number format.

For analyses of a few tokens over a whole run: chunks without a chosen token are not touched, and of
the others only the chosen rows are kept. Each chunk is inflated once, while the caller works on the
one before it: memory does not grow with the run.
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
from deadtokens.trajectory.segments import Segments, list_segments
from deadtokens.trajectory.source import Source, tensor_format


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
    rounding : Rounding
        Of the device that took the update.
    """

    number: int
    grad: Tensor
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    rounding: Rounding


def read_updates(segments: Segments, tokens: np.ndarray) -> Iterator[Update]:
    """Yield the updates of a run whose record gives all four tensors, from the first.

    Parameters
    ----------
    segments : path or sequence of paths
    tokens : ndarray of int, shape (tokens,)
        Rows of the vocabulary, ascending.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in list_segments(segments):
            with h5py.File(path, "r") as file:
                yield from _updates_of(Source(file), tokens, pool)


def _updates_of(source: Source, tokens: np.ndarray, pool: ThreadPoolExecutor) -> Iterator[Update]:
    """Yield a segment's updates; one behind a divergence has none."""
    states = _steps(source, list(layout.STATE_TENSORS), tokens, pool)
    gradients = _steps(source, ["grad"], tokens, pool)
    before: dict[str, Tensor] = {}
    rounding = rounding_of(source.file.attrs)
    for number in source.file["update"][...]:
        before = before or next(states)
        after = next(states)
        yield Update(int(number), next(gradients)["grad"], before, after, rounding)
        before = after


def _steps(
    source: Source, names: Sequence[str], tokens: np.ndarray, pool: ThreadPoolExecutor
) -> Iterator[dict[str, Tensor]]:
    """Yield the chosen rows of tensors that share their step axis, step by step."""
    steps, length = source.shape(names[0])[2], source.steps_per_chunk(names[0])
    read: dict[str, Tensor] = {}
    for start in range(0, steps, length):
        part = range(start, min(start + length, steps))
        reading = _Reading(source, names, tokens, part, pool)
        yield from _each_step(read)
        read = reading.finish()
    yield from _each_step(read)


def _each_step(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    for values in zip(*tensors.values(), strict=True):
        yield dict(zip(tensors, values, strict=True))


class _Reading:
    """The chosen rows of consecutive steps, being read."""

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        tokens: np.ndarray,
        steps: range,
        pool: ThreadPoolExecutor,
    ):
        self.formats = {name: tensor_format(source.file, name) for name in names}
        self.tokens, self.steps, self.components = tokens, steps, source.shape(names[0])[1]
        self.pieces: list[tuple[dict[str, np.ndarray], range, slice, list[Future]]] = []
        for rows in source.rows():
            chosen = slice(*np.searchsorted(tokens, [rows.start, rows.stop]))
            if chosen.start == chosen.stop:
                continue
            outs = {
                name: np.empty((len(rows), self.components, len(steps)), UNSIGNED[format])
                for name, format in self.formats.items()
            }
            self.pieces.append((outs, rows, chosen, source.begin(outs, rows, steps, pool)))

    def finish(self) -> dict[str, Tensor]:
        """Return the chosen rows by tensor, and forget the others."""
        for *_, pending in self.pieces:
            for future in pending:
                future.result()
        tensors = {name: self._chosen(name) for name in self.formats}
        self.pieces.clear()
        return tensors

    def _chosen(self, name: str) -> Tensor:
        """Return the chosen rows, (steps, tokens, components), each step in one piece of memory."""
        shape = (len(self.steps), len(self.tokens), self.components)
        bits = np.empty(shape, UNSIGNED[self.formats[name]])
        for outs, rows, chosen, _ in self.pieces:
            of_rows = outs[name][self.tokens[chosen] - rows.start]
            bits[:, chosen] = of_rows.transpose(2, 0, 1)
        return as_tensor(bits, self.formats[name])
