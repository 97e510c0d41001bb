"""The files of a record: the segment that is being filled, and the one that is being finished."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.recording.folder import finished_path
from deadtokens.recording.listing import write_contents
from deadtokens.recording.series import Series
from deadtokens.run import layout
from deadtokens.run.bits import bits_of
from deadtokens.seal import put_sealed
from deadtokens.trajectory.writer import SegmentWriter, compression_threads, write_segment

State = dict[str, Tensor]


class Record:
    """Fills segments with updates.

    A full one is finished and sealed by a thread, while the training goes on into the next: until
    then a kill takes its updates too. What fails there is raised by the next call that waits.

    Parameters
    ----------
    series : Series
    census : Dataset
        Of the recorded rows, along `token`.
    length : int
        Updates in a segment.
    """

    def __init__(self, series: Series, census: xr.Dataset, length: int):
        self.series, self.census, self.length = series, census, length
        self.start, self._last = 0, {}
        self._kept_at, self._kept = -1, {}
        self.writer: SegmentWriter | None = None
        self._spent: SegmentWriter | None = None
        self._open, self._path, self._census = ExitStack(), Path(), census
        self._finishing: Future | None = None
        self._torn = False
        self._thread = ThreadPoolExecutor(1, "finishing a segment")

    @property
    def full(self) -> bool:
        """Whether the present segment takes no further update."""
        return self.writer is not None and self.writer.recorded["update"] == self.length

    @property
    def last(self) -> int:
        """The last recorded state."""
        return self.writer.states[-1] if self.writer is not None else self.start

    def go_on_at(self, number: int, state: State) -> None:
        """Let the next segment begin at a state."""
        self.start, self._last, self._kept_at = number, state, -1

    def keep(self, number: int, state: State) -> None:
        """Keep a state that is not recorded, until the next one."""
        self._kept_at = number
        self._kept = copied(state, self._kept)

    def holds(self, number: int, state: State) -> bool:
        """Return whether a state, the last recorded or kept one, has the bits of another.

        What an optimizer has made since, in a step that came to nothing, is zero.
        """
        if number == self._kept_at:
            before = self._kept
        elif number == self.last:
            before = self._last if self.writer is None else self.writer.last_state()
        else:
            return False
        return before.keys() <= state.keys() and all(
            _same(before[name], one) if name in before else not bits_of(one).any()
            for name, one in state.items()
        )

    def drop_unfinished(self) -> None:
        """Forget an update that has begun, where no state has come behind it."""
        if self.writer is not None:
            self.writer.drop_unfinished()

    def begin(self, state: State, per_update: list[str], about: Mapping[str, Any]) -> None:
        """Begin a segment of the tensors of a state, the one behind its first update.

        What an optimizer makes in its first step was zero before.
        """
        before = {name: self._last.get(name, torch.zeros_like(one)) for name, one in state.items()}
        tensors = ["W", "grad", *(name for name in before if name != "W")]
        contents = layout.Contents(tensors, (), per_update)
        self._path, self._census = self.series.current.next, self.census.copy()
        inside = self.start, self.start + self.length, before["W"].shape[1], contents
        threads = compression_threads(before["W"].device)
        self.writer = self._open.enter_context(
            write_segment(finished_path(self._path), *inside, self._census, about, threads=threads)
        )
        if self._spent is not None:
            self.writer.go_on_with(self._spent)
        self.writer.state(before)
        self._last, self._spent = {}, None

    def finish(self, sampled: np.ndarray, wait: bool) -> None:
        """Finish the present segment, if there is one.

        Parameters
        ----------
        sampled : ndarray of int, shape (rows,)
            How often each token stood in the batches.
        wait : bool
            Until it is sealed; else that is done by a thread.
        """
        self.wait()
        if self.writer is None:
            return
        if self._torn:  # what is behind a segment that is not there is no use
            self._abandon()
            return
        writer, self.writer = self.writer, None
        writer.drop_unfinished()
        if not writer.recorded["update"]:
            self._abandon()
            return
        self._last = {name: one.clone() for name, one in writer.last_state().items()}
        self.start = writer.states[-1]
        writer.hand_over()
        self._spent = writer
        self._census["sampled"] = layout.PER_SEGMENT["sampled"].labelled(sampled)
        self.series.current.segments.append(self._path)
        arguments = self._open.pop_all(), self._path
        if wait:
            _close(*arguments)
        else:
            self._finishing = self._thread.submit(_close, *arguments)

    def wait(self) -> None:
        """Wait until the segment before is sealed; raises what kept it from that."""
        finishing, self._finishing = self._finishing, None
        if finishing is not None:
            self._torn = True
            finishing.result()
            self._torn = False

    def release(self) -> None:
        """Leave the folders to others."""
        self._abandon()
        self._thread.shutdown()
        self.series.release()

    def _abandon(self) -> None:
        """Leave no file of a segment that has no complete update, or could not be finished."""
        self.writer = None
        self._open.__exit__(_Abandoned, _Abandoned(), None)


def copied(state: State, places: Mapping[str, Tensor] = MappingProxyType({})) -> State:
    """Return copies, in the places of others where these are alike: new memory costs more."""
    return {
        name: places[name].copy_(one)
        if name in places and _alike(one, places[name])
        else one.clone()
        for name, one in state.items()
    }


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


def _same(one: Tensor, other: Tensor) -> bool:
    return _alike(one, other) and torch.equal(bits_of(one), bits_of(other))


class _Abandoned(Exception):
    pass


def _close(segment: ExitStack, path: Path) -> None:
    segment.close()
    try:
        put_sealed(finished_path(path), path)
    finally:
        finished_path(path).unlink(missing_ok=True)
    write_contents(path)
