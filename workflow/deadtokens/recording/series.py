"""The folders of a training's record: one, and one more behind each gap.

An analysis takes every state of a run from its first on. A training that goes on at a state which
the record does not have (killed, and started again from a checkpoint behind the last finished file;
or between two recorded updates) therefore gets a folder of its own beside the first: the recording
`mine` goes on as `mine-2`, whose state 0 is that state. Each of them is complete in itself.
"""

import warnings
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import xarray as xr
from torch import Tensor
from torch.optim import Optimizer

from deadtokens.errors import UserError
from deadtokens.recording.folder import Folder, attribute_of
from deadtokens.recording.sameness import check_same_beginning, check_same_kind
from deadtokens.run import layout


class Series:
    """A training's folders, each held.

    Parameters
    ----------
    path : Path
        The first one.

    Attributes
    ----------
    current : Folder
        Where the record goes on.
    """

    def __init__(self, path: Path):
        # Whoever trains may change the working directory in between.
        self.path, self.folders = path.absolute(), []
        try:
            self.folders.append(Folder(self.path))
            # Not before that is held: who held it may have begun another one by then.
            self.folders += map(Folder, _continuing(self.path))
        except BaseException:
            self.release()
            raise

    @property
    def current(self) -> Folder:
        """Where the record goes on."""
        return self.folders[-1]

    @property
    def continues(self) -> str:
        """The first folder's name, '' in the first."""
        return "" if len(self.folders) == 1 else self.path.name

    def check(self, weight: Tensor, optimizer: Optimizer, census: xr.Dataset) -> None:
        """Refuse to go on with another matrix, optimizer or vocabulary."""
        recorded = [folder for folder in self.folders if folder.segments]
        for folder in recorded[:1]:
            check_same_kind(folder, weight, optimizer, census)

    def release(self) -> None:
        """Leave the folders to others."""
        for folder in self.folders:
            folder.release()

    def place_of(
        self,
        state: Mapping[str, Tensor],
        done: int | None,
        beginning: Mapping[str, float],
        same: bool = False,
    ) -> int:
        """Return at which state of the current folder a training goes on.

        What lies behind that is set aside. If no folder has the state, another one begins with it.

        Parameters
        ----------
        state : mapping of str to Tensor of shape (rows, components)
            The weight and what is carried beside it before the next update.
        done : int or None
            Updates that the optimizer has counted.
        beginning : mapping of str to float
            What is to be the same where the training begins anew, see `sameness`.
        same : bool
            Whether it is known to be the training that was recorded before.

        Raises
        ------
        UserError
            If it is another training, for all that is known.
        """
        if not self.current.segments:
            return 0
        for number in range(len(self.folders) - 1, -1, -1):
            place = self.folders[number].find(state, done)
            if place is not None:
                if number == place == 0:
                    check_same_beginning(self.folders[0], beginning)
                return self._go_on_at(number, place)
        if not same and not self._passed(done):
            raise UserError(
                f"{self.path}: holds {self.current.end:,} updates of a training, and what is to "
                "be recorded now goes on from none of its states; choose another folder"
            )
        self._open_next(done)
        return 0

    def _go_on_at(self, number: int, place: int) -> int:
        for folder in self.folders[number + 1 :]:
            folder.set_aside_all()
            folder.release()
        del self.folders[number + 1 :]
        self.current.go_on_at(place)
        return place

    def _passed(self, done: int | None) -> bool:
        """Return whether so many updates lie where the record may have been and has no state."""
        return done is not None and any(folder.leaves_out(done) for folder in self.folders)

    def _open_next(self, done: int | None) -> None:
        path = _free(self.path)
        at = "a state" if done is None else f"update {done:,}"
        why = f"{at}, which is not recorded; a run has no gaps, so"
        if done is not None and self.current.has(done):
            why = f"{at} with other weights or moments than are recorded there;"
        self.folders.append(Folder(path))
        warnings.warn(
            f"{self.path}: the training goes on at {why} the record goes on in {path}",
            stacklevel=6,
        )


def _continuing(path: Path) -> Iterator[Path]:
    """Yield the folders in which a record goes on, in order."""
    for one in _numbered(path):
        if not one.is_dir():
            return
        if attribute_of(one / layout.segment_name(0), "continues") == path.name:
            yield one


def _free(path: Path) -> Path:
    """Return the first folder in which a record can go on that holds none."""
    return next(one for one in _numbered(path) if not (one / layout.segment_name(0)).exists())


def _numbered(path: Path) -> Iterator[Path]:
    return (path.with_name(f"{path.name}-{number}") for number in count(2))
