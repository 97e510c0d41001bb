"""The folder of a recording: whose it is, what is in it, where the next segment goes.

A training that is started again goes on at the checkpoint that it loads, which may lie before the
last recorded update. The record goes on there too: what came after is set aside, not removed.
"""

import fcntl
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
from torch import Tensor

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable
from deadtokens.recording.contents import LOCK
from deadtokens.recording.cut import cut_behind
from deadtokens.recording.listing import write_contents
from deadtokens.run import layout
from deadtokens.seal import seal, seal_path
from deadtokens.trajectory.segments import Header, list_segments, read_header

ASIDE = "set-aside"


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
        self.segments = self._found()

    def release(self) -> None:
        """Leave the folder to others."""
        self._held.close()

    @property
    def next(self) -> Path:
        """Where the next segment goes."""
        return self.path / layout.segment_name(len(self.segments))

    def keep(self, path: Path) -> None:
        """Seal a finished segment, the next one, and say what the recording holds with it."""
        seal(path)
        self.segments.append(path)
        write_contents(path)

    @property
    def end(self) -> int:
        """The last recorded state, -1 if there is none."""
        return _last_state(read_header(self.segments[-1])) if self.segments else -1

    def attribute(self, name: str) -> Any:
        """Return what the first segment says of the recording, None if there is none."""
        if not self.segments:
            return None
        with h5netcdf.File(self.segments[0], "r") as file:
            return file.attrs[name]

    def state(self, number: int) -> dict[str, np.ndarray] | None:
        """Return the tensors at a state, float32 (rows, components); None: it is not recorded."""
        for path in self.segments:
            header = read_header(path)
            if header.first is not None and header.first <= number <= _last_state(header):
                with h5py.File(path, "r") as file:
                    place = number - header.first
                    names = [name for name in layout.STATE_TENSORS if name in file]
                    return {name: file[name][:, :, place] for name in names}
        return None

    def place_of(self, state: Mapping[str, Tensor], done: int | None) -> int:
        """Return at which recorded state a training goes on, and set aside what lies behind it.

        Parameters
        ----------
        state : mapping of str to Tensor of shape (rows, components)
            The weight and what is carried beside it before the next update.
        done : int or None
            Updates that the optimizer has counted.

        Raises
        ------
        UserError
            If it is none of them.
        """
        if not self.segments:
            return 0
        before = int(self.attribute("updates_before"))
        places = range(self.end, -1, -1) if done is None else [done - before]
        found = next((place for place in places if self._is(place, state)), None)
        if found is None:
            raise UserError(
                f"{self.path}: holds {self.end:,} updates of a training, and what is to be "
                "recorded now goes on from none of its states; choose another folder"
            )
        self.go_on_at(found)
        return found

    def go_on_at(self, state: int) -> None:
        """Set aside what is recorded behind a state."""
        while self.segments and read_header(self.segments[-1]).first >= state:
            self._set_aside(self.segments.pop())
        if self.end > state:
            path = self.segments[-1]
            cut_behind(self._set_aside(path), state, path)
            seal(path)
            write_contents(path)

    def _is(self, place: int, state: Mapping[str, Tensor]) -> bool:
        """Return whether a recorded state has the bits of another."""
        recorded = self.state(place)
        return recorded is not None and all(
            name in recorded
            and np.array_equal(_bits(recorded[name]), _bits(one.float().cpu().numpy()))
            for name, one in state.items()
        )

    def _set_aside(self, path: Path) -> Path:
        """Move a segment and its seal to a folder of their own, under a name that is free."""
        folder = self.path / ASIDE
        folder.mkdir(exist_ok=True)
        number = 1
        while (folder / f"{number}-{path.name}").exists():
            number += 1
        aside = folder / f"{number}-{path.name}"
        os.replace(path, aside)
        seal_path(path).unlink(missing_ok=True)
        return aside

    def _hold(self) -> None:
        lock = self._held.enter_context((self.path / LOCK).open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise UserError(
                f"{self.path}: another recorder writes there; give each a folder of its own"
            ) from None
        except OSError:  # a disk that knows no locks
            return

    def _found(self) -> list[Path]:
        if not any(self.path.glob("segment-*.nc")):
            return []
        return list_segments(self.path)


def _last_state(header: Header) -> int:
    return header.first + header.states - 1


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32).view(np.uint32)
