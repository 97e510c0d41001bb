"""All tensors that one segment gives: those in the file are inflated, the others replayed."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np

from deadtokens.run import layout
from deadtokens.run.formats import UNSIGNED
from deadtokens.trajectory.contents import tensor_format, tensor_shape
from deadtokens.trajectory.inflate import Rows, inflate

if TYPE_CHECKING:
    from deadtokens.trajectory.replay import Replay


@dataclass(frozen=True)
class Reading:
    """Tensors that are being read.

    Attributes
    ----------
    values : dict of str to ndarray
        By name of the tensor; filled when `finish` returns.
    pending : list of Future
    """

    values: dict[str, np.ndarray]
    pending: list[Future]

    def finish(self) -> dict[str, np.ndarray]:
        """Return the values, when they are there; raises what the reading raised."""
        for future in self.pending:
            future.result()
        return self.values


class Source:
    """A segment's tensors, wherever they come from.

    Parameters
    ----------
    file : h5py.File
        Open as long as something is read.
    replay : Replay, optional
        What gives the tensors that are not in the file; by default one of all tokens.
    """

    def __init__(self, file: h5py.File, replay: "Replay | None" = None):
        self.file, self._replay = file, replay

    @property
    def replay(self) -> "Replay | None":
        """What gives the tensors that are not in the file, None if nothing does."""
        if self._replay is None and layout.replayed(self.file) and len(self.file["state"]):
            from deadtokens.trajectory.replay import Replay  # needs torch, which takes seconds

            self._replay = Replay(self.file)
        return self._replay

    @property
    def updates(self) -> int:
        """How many updates the segment has."""
        return self.file["update"].shape[0]

    def shape(self, name: str) -> tuple[int, int, int]:
        """Return the tensor's lengths: tokens, components, steps."""
        return tensor_shape(self.file, name)

    def formats(self, names: Iterable[str]) -> dict[str, str]:
        """Return each tensor's number format, '' if no step was recorded."""
        return {name: tensor_format(self.file, name) for name in names}

    def rows_per_chunk(self) -> int:
        """Return how many rows a chunk of the first recorded tensor has."""
        return next(self.file[name].chunks[0] for name in layout.TENSORS if name in self.file)

    def steps_per_chunk(self, name: str) -> int:
        """Return how many steps are read most cheaply at once."""
        return self.file[name if name in self.file else f"checksum_{name}"].chunks[-1]

    def rows(self) -> list[range]:
        """Return the rows that are read most cheaply together, all of the vocabulary's."""
        if self.replay is not None:
            return [part.rows for part in self.replay.parts]
        tokens, length = self.shape("W")[0], self.rows_per_chunk()
        return [range(start, min(start + length, tokens)) for start in range(0, tokens, length)]

    def read(
        self,
        tokens: Rows,
        steps: Mapping[str, range],
        pool: ThreadPoolExecutor,
        widened: bool = False,
        steps_first: bool = False,
    ) -> Reading:
        """Begin to read tensors.

        Parameters
        ----------
        tokens : Rows
        steps : mapping of str to range, step 1
            Of each tensor, as `begin` takes them.
        pool : ThreadPoolExecutor
        widened : bool
            As float32 values; else as bare bits, unsigned integers of the recorded format's width.
        steps_first : bool
            As (steps, tokens, components): an update's matrices in one piece of memory each, as the
            optimizer takes them. Else as (tokens, components, steps), the order of the disk: what
            follows a weight from update to update finds its values side by side.
        """
        values, outs, formats = {}, {}, self.formats(steps)
        for name, part in steps.items():
            kind = np.float32 if widened else UNSIGNED[formats[name]]
            shape = (len(tokens), self.shape(name)[1], len(part))
            if steps_first:
                values[name] = np.empty((shape[2], *shape[:2]), kind)
                outs[name] = values[name].transpose(1, 2, 0)
            else:
                values[name] = outs[name] = np.empty(shape, kind)
        return Reading(values, self.begin(outs, tokens, steps, pool))

    def begin(
        self,
        outs: Mapping[str, np.ndarray],
        tokens: Rows,
        steps: Mapping[str, range],
        pool: ThreadPoolExecutor,
    ) -> list[Future]:
        """Begin to read tensors into arrays.

        Parameters
        ----------
        outs : mapping of str to ndarray of shape (tokens, components, steps)
            By name of the tensor; as `inflate` takes them.
        tokens : Rows
        steps : mapping of str to range, step 1
            Of each tensor, positions along its steps; all state tensors have the same.
        pool : ThreadPoolExecutor

        Returns
        -------
        list of Future
            When they are done, `outs` is filled; one raises if a replay is not what training had.
        """
        pending: list[Future] = []
        replayed = {}
        for name, out in outs.items():
            if name in self.file:
                pending += inflate(self.file[name], tokens, steps[name], out, pool)
            else:
                replayed[name], states = out, steps[name]
        return pending + (self.replay.begin(replayed, tokens, states, pool) if replayed else [])


def around(updates: range, names: Iterable[str]) -> dict[str, range]:
    """Return each tensor's steps around a segment's updates: theirs, and of states one more."""
    return {
        name: range(updates.start, updates.stop + (name in layout.STATE_TENSORS)) for name in names
    }
