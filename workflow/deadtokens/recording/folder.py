"""The folder of a recording: whose it is, what is in it, where the next segment goes.

A training that is started again goes on at the checkpoint that it loads, which may lie before the
last recorded update. The record goes on there too: what came after is set aside, not removed.
"""

import fcntl
import os
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from weakref import WeakSet

import h5netcdf
import h5py
import numpy as np
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable
from deadtokens.recording.contents import LOCK
from deadtokens.recording.cut import cut_behind
from deadtokens.recording.forgotten import finish_forgotten
from deadtokens.recording.listing import write_contents
from deadtokens.run import layout
from deadtokens.seal import put_sealed, seal_path
from deadtokens.trajectory.segments import list_segments, read_header

ASIDE = "set-aside"


def finished_path(segment: Path) -> Path:
    """Return where a segment lies until its seal stands beside its name."""
    return segment.with_name(f".finished-{segment.name}")


class Folder:
    """A recording's folder, held by one recorder at a time.

    Parameters
    ----------
    path : Path
        Made if it is not there.

    Raises
    ------
    UserError
        If it cannot be written, another recorder holds it, or what is in it is no recording.
    """

    def __init__(self, path: Path):
        self.path = path
        ensure_writable(path / layout.segment_name(0))
        self._held = ExitStack()
        self._hold()
        _HELD.add(self)
        self.segments = self._found()

    def release(self) -> None:
        """Leave the folder to others."""
        self._held.close()

    @property
    def next(self) -> Path:
        """Where the next segment goes."""
        return self.path / layout.segment_name(len(self.segments))

    @property
    def end(self) -> int:
        """The last recorded state, -1 if there is none."""
        return read_header(self.segments[-1]).last if self.segments else -1

    def attribute(self, name: str) -> Any:
        """Return what the first segment says of the recording, None if there is none."""
        return attribute_of(self.segments[0], name) if self.segments else None

    def per_update(self) -> list[str]:
        """Return what the first segment says of each update, nothing if there is none."""
        if not self.segments:
            return []
        known = layout.VARIABLES.keys() - layout.TENSORS.keys()
        with h5py.File(self.segments[0], "r") as file:
            return [name for name in file if name in known]

    def state(self, number: int) -> dict[str, np.ndarray] | None:
        """Return the tensors at a state, float32 (rows, components); None: it is not recorded."""
        for path in self.segments:
            if number in _states_of(path):
                with h5py.File(path, "r") as file:
                    place = int(np.searchsorted(file["state"][...], number))
                    names = [name for name in layout.STATE_TENSORS if name in file]
                    return {name: file[name][:, :, place] for name in names}
        return None

    def find(self, state: Mapping[str, Tensor], done: int | None) -> int | None:
        """Return which recorded state a training is at, None if it is none of them.

        Parameters
        ----------
        state : mapping of str to Tensor of shape (rows, components)
            The weight and what is carried beside it before the next update.
        done : int or None
            Updates that the optimizer has counted.
        """
        if not self.segments:
            return None
        places = self._states() if done is None else [done - self.updates_before]
        return next((place for place in places if self._is(place, state)), None)

    def leaves_out(self, done: int) -> bool:
        """Return whether the record goes on until before, or passes over, a count of updates."""
        place = done - self.updates_before
        return place > self.end or (place > 0 and not self.has(done))

    def has(self, done: int) -> bool:
        """Return whether a state is recorded at a count of updates."""
        return done - self.updates_before in self._states()

    @property
    def updates_before(self) -> int:
        """How many updates the optimizer had counted at state 0, as far as that is known."""
        return int(self.attribute("updates_before"))

    def go_on_at(self, state: int) -> None:
        """Set aside what is recorded behind a state."""
        while self.segments and read_header(self.segments[-1]).first >= state:
            self._set_aside(self.segments.pop())
        if self.end > state:
            path = self.segments[-1]
            cut_behind(path, state, finished_path(path))
            self._set_aside(path)
            put_sealed(finished_path(path), path)
            write_contents(path)

    def set_aside_all(self) -> None:
        """Set aside what is recorded."""
        while self.segments:
            self._set_aside(self.segments.pop())

    def _states(self) -> list[int]:
        """Return the recorded states, the last one first."""
        found = set()
        for path in self.segments:
            found.update(_states_of(path))
        return sorted(found, reverse=True)

    def _is(self, place: int, state: Mapping[str, Tensor]) -> bool:
        """Return whether a recorded state has the bits of another.

        What is recorded, but was not made yet in the other, is zero.
        """
        recorded = self.state(place)
        return recorded is not None and all(
            np.array_equal(_bits(one), _bits(state[name].float().cpu().numpy()))
            if name in state
            else not _bits(one).any()
            for name, one in recorded.items()
        )

    def _set_aside(self, path: Path) -> Path:
        """Move a segment and its seal to a folder of their own, under a name that is free."""
        folder = self.path / ASIDE
        ensure_writable(folder / path.name)
        number = 1
        while (folder / f"{number}-{path.name}").exists():
            number += 1
        aside = folder / f"{number}-{path.name}"
        os.replace(path, aside)
        seal_path(path).unlink(missing_ok=True)
        return aside

    def _hold(self) -> None:
        lock = self._held.enter_context(_opened(self.path / LOCK))
        if _locked(lock):
            return
        finish_forgotten()  # whose training is gone
        if not _locked(lock):
            self.release()
            raise UserError(
                f"{self.path}: another recorder writes there; close that one (`recorder.close()`), "
                "or give each a folder of its own"
            )

    def _found(self) -> list[Path]:
        if not any(self.path.glob("segment-*.nc")):
            return []
        return list_segments(self.path)


def _opened(lock: Path) -> IO:
    """Open the file that is locked: one that another user made may be only read."""
    try:
        return lock.open("a")
    except PermissionError:
        pass
    try:
        return lock.open()
    except OSError as error:
        raise UserError(f"{lock}: {error.strerror}; check its permissions") from None


def _locked(lock: IO) -> bool:
    """Lock a file, and return whether nobody else has; on a disk that knows no locks nobody has."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        finish_forgotten()  # it is not held there either
    return True


def attribute_of(segment: Path, name: str) -> Any:
    """Return an attribute of a segment, None if one of them is not there."""
    if not segment.exists():
        return None
    with h5netcdf.File(segment, "r") as file:
        return file.attrs.get(name)


def _states_of(path: Path) -> Collection[int]:
    """Return the numbers of a segment's states."""
    header = read_header(path)
    if header.first is None:
        return ()
    if header.every_update:
        return range(header.first, header.last + 1)
    with h5py.File(path, "r") as file:
        return file["state"][...].tolist()


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)


_HELD: WeakSet[Folder] = WeakSet()


def _leave_to_parent() -> None:
    """Let go of the locks in a forked process, which may outlive its parent."""
    for folder in _HELD:
        folder.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
