"""The tensors that one segment gives: those in the file are inflated, the others replayed."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import h5py
import numpy as np

from deadtokens.run import layout
from deadtokens.trajectory.inflate import inflate

if TYPE_CHECKING:
    from deadtokens.trajectory.replay import Replay


class Source:
    """A segment's tensors, wherever they come from.

    Parameters
    ----------
    file : h5py.File
        Open as long as something is read.
    """

    def __init__(self, file: h5py.File):
        self.file = file
        self.replay = _replay(file) if layout.replayed(file) and len(file["state"]) else None

    def shape(self, name: str) -> tuple[int, int, int]:
        """Return the tensor's lengths: tokens, components, steps."""
        return tensor_shape(self.file, name)

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

    def begin(
        self,
        outs: Mapping[str, np.ndarray],
        tokens: range,
        steps: range,
        pool: ThreadPoolExecutor,
    ) -> list[Future]:
        """Begin to read tensors that share their step axis.

        Parameters
        ----------
        outs : mapping of str to ndarray of shape (tokens, components, steps)
            By name of the tensor; as `inflate` takes them.
        tokens, steps : range, step 1
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
                pending += inflate(self.file[name], tokens, steps, out, pool)
            else:
                replayed[name] = out
        return pending + (self.replay.begin(replayed, tokens, steps, pool) if replayed else [])


def _replay(file: h5py.File) -> "Replay":
    from deadtokens.trajectory.replay import Replay  # torch takes seconds, and few records need it

    return Replay(file)


def tensor_shape(file: h5py.File, name: str) -> tuple[int, int, int]:
    """Return the lengths of a tensor that a segment gives: tokens, components, steps."""
    if name in file:
        return file[name].shape
    return (*file["grad"].shape[:2], file["state"].shape[0])


def tensor_format(file: h5py.File, name: str) -> str:
    """Return the number format of a tensor that a segment gives, '' if no step was recorded."""
    return file[name if name in file else f"first_{name}"].attrs["recorded_dtype"]
