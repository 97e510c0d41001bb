"""The segments of a run as files: which there are, in which order, whether they are one run."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from deadtokens.errors import NotInRecord, UserError
from deadtokens.identity import (
    PUT_BACK,
    check_run,
    claim_of,
    segment_number,
    updates_per_segment,
)
from deadtokens.remedy import remedy
from deadtokens.seal import check_seal

if TYPE_CHECKING:
    import xarray as xr

Segments = Path | str | Sequence[Path | str]
CARRIED = ("run", "spec", "stream_sha256")  # what all segments of a run have in common
MADE = ("device", "machine", "python", "packages", "git_commit")  # where, and by what, it was made


@dataclass(frozen=True)
class Header:
    """What a segment is.

    Attributes
    ----------
    common : tuple of str
        Its attributes of the names in `CARRIED`, '' for those that it lacks.
    first, last : int or None
        States at which it starts and ends; None behind a divergence, where there is none.
    states, updates : int
        How many are recorded.
    status : str
        'complete' or 'diverged', '' if the file does not say.
    diverged_at : int or None
        The update whose loss was not finite.
    made : tuple of str
        Its attributes of the names in `MADE`.
    recorded : str
        What a recording says of its optimizer, '' if it is none.
    """

    common: tuple[str, ...]
    first: int | None
    last: int | None
    states: int
    updates: int
    status: str
    diverged_at: int | None
    made: tuple[str, ...]
    recorded: str

    @property
    def every_update(self) -> bool:
        """Whether no update between its first state and its last is left out."""
        return self.first is None or self.last - self.first == self.updates

    @property
    def run(self) -> str:
        """The run's name."""
        return self.common[0]

    @property
    def spec(self) -> str:
        """The run's spec as JSON, '' if the file has none."""
        return self.common[1]


def list_segments(segments: Segments, check: bool = True) -> list[Path]:
    """Return the paths of the segments in a folder, or those given, in order.

    Parameters
    ----------
    segments : path or sequence of paths
        The segments, or the one folder that has them: they are ordered by their numbers.
    check : bool
        Read each through and compare it with its seal, with the names of its run and its folder,
        and with the segment before it.

    Raises
    ------
    UserError
        If there is none, one is missing, truncated, damaged or not sealed, or they are not those
        of one run from its first on.
    """
    given = [segments] if isinstance(segments, Path | str) else segments
    paths = [Path(path) for path in given]
    if isinstance(segments, Path | str) or (len(paths) == 1 and paths[0].is_dir()):
        paths = _segments_in(paths[0])
    if not paths:
        place = given[0] if given else "none given"
        raise UserError(f"{place}: no segment of a trajectory (segment-000.nc, ...) is there")
    if check:
        for path in paths:
            _check_name(path)
            check_seal(path)
            check_identity(path)
        check_sequence(paths)
        if read_header(paths[0]).first != 0:
            raise UserError(
                f"{paths[0]}: is not the first segment of its run; give all of them, from "
                "segment-000.nc on"
            )
    return paths


def _segments_in(folder: Path) -> list[Path]:
    try:
        found = {path: segment_number(path) for path in folder.iterdir()} if folder.exists() else {}
    except OSError as error:
        raise UserError(
            f"{folder}: is no folder that can be read ({error.strerror}); give the folder of a "
            "trajectory"
        ) from None
    return sorted((path for path in found if found[path] is not None), key=found.get)


def _check_name(path: Path) -> None:
    """Refuse a file that is named as no segment is, before it is called a damaged one."""
    if segment_number(path) is None:
        raise UserError(
            f"{path}: is no segment of a run; give its segments (.../trajectory/segment-*.nc), or "
            "the one folder that has them"
        )


def check_identity(path: Path) -> None:
    """Compare a segment with the name of its run, and with its place in the run's folder.

    Raises
    ------
    UserError
        If it is of another run, or another segment of it.
    """
    header, claim = read_header(path), claim_of(path)
    if header.spec:
        check_run(path, header.run, header.spec)
    if claim is None or claim.number is None or header.first is None:
        return
    length = updates_per_segment(path, header.spec)
    start = claim.number * length
    if header.first != start or (header.status == "complete" and header.updates != length):
        raise UserError(
            f"{path}: holds the updates {header.first + 1:,} to {header.first + header.updates:,} "
            f"of its run, not {start + 1:,} to {start + length:,}, as its name says; "
            f"{PUT_BACK}"
        )


def check_sequence(paths: Sequence[Path]) -> None:
    """Check that segments are of one run, and each begins where the one before it ends.

    Raises
    ------
    UserError
        Which one does not.
    """
    headers = [read_header(path) for path in paths]
    for path, (before, header) in zip(paths[1:], pairwise(headers), strict=True):
        if header.common != before.common:
            raise UserError(f"{path}: belongs to another run than the segment before it")
        if header.first != _end(before):
            raise UserError(f"{path}: does not begin where the segment before it ends")


def check_every_update(run: "xr.Dataset", what: str) -> None:
    """Refuse a run of which updates were not recorded, where each one is needed.

    Parameters
    ----------
    run : Dataset
        As `deadtokens.trajectory.reader.open_run` gives it.
    what : str
        What needs them: "the audit".

    Raises
    ------
    NotInRecord
        If one is missing.
    """
    states = run["state"].values
    if len(states) and states[-1] - states[0] > len(states) - 1:
        raise NotInRecord(
            f"run {run.attrs['run']}: not every update is recorded ({len(states) - 1:,} of "
            f"{states[-1] - states[0]:,}), and {what} takes each one; record it with every=1"
        )


def _end(header: Header) -> int | None:
    """Return the state at which the segment behind one begins, None if the run has ended."""
    return None if header.status == "diverged" else header.last


def read_header(path: Path) -> Header:
    """Return what a segment is; a file once read is not read again unless it changes.

    Raises
    ------
    UserError
        If it is no segment.
    """
    try:
        status = path.stat()
        return _known_header(path.absolute(), status.st_size, status.st_mtime_ns)
    except Exception as error:  # a flipped bit makes HDF5 raise anything
        raise UserError(f"{path}: not a readable segment ({error}); {remedy(path)}") from error


@lru_cache(maxsize=4096)
def _known_header(path: Path, _size: int, _changed: int) -> Header:
    with h5py.File(path, "r") as file:
        attributes = file.attrs
        states = file["state"].shape[0]
        return Header(
            tuple(str(attributes.get(name, "")) for name in CARRIED),
            int(file["state"][0]) if states else None,
            int(file["state"][-1]) if states else None,
            states,
            file["update"].shape[0],
            str(attributes.get("status", "")),
            attributes["diverged_at"].item() if "diverged_at" in attributes else None,
            tuple(str(attributes.get(name, "")) for name in MADE),
            str(attributes.get("recorded", "")),
        )


@contextmanager
def open_each(paths: Sequence[Path]) -> Iterator[Iterator[h5py.File]]:
    """Yield an iterator over the opened segments; those behind a divergence are passed over.

    Two are open at a time: what is begun in one may be finished when the next is there.
    """
    opened: deque[h5py.File] = deque()

    def files() -> Iterator[h5py.File]:
        for path in paths:
            if read_header(path).states:
                if len(opened) == 2:
                    opened.popleft().close()
                opened.append(h5py.File(path, "r"))
                yield opened[-1]

    try:
        yield files()
    finally:
        for file in opened:
            file.close()
