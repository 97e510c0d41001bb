"""Check results: complete, undamaged, of the run that their folder names; one line each."""

import logging
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from deadtokens.audit.reading import read_audit
from deadtokens.errors import UserError
from deadtokens.files import is_temporary
from deadtokens.identity import CHECKPOINT, SEGMENT
from deadtokens.netcdf import read_derived
from deadtokens.seal import ENDING, check_seal, seal_path
from deadtokens.text.local import read_local
from deadtokens.text.read import read_census, read_stream
from deadtokens.training.checkpoint import read_saved
from deadtokens.trajectory.segments import check_identity, read_header

Paths = Path | str | Sequence[Path | str]
NOTHING = "no segment and no checkpoint is there"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What a file is, or what is wrong with it."""

    path: Path
    sound: bool
    text: str


def verify_results(paths: Paths) -> dict[Path, str]:
    """Check results: whether they are complete and still what was written.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, and folders to search: a recording, or all results.

    Returns
    -------
    dict of Path to str
        What is wrong, by file; empty if every file is sound.

    Raises
    ------
    UserError
        If there is no result at all.

    Examples
    --------
    >>> damaged = verify_results("recorded/mine")
    >>> assert not damaged, damaged
    """
    given = [paths] if isinstance(paths, str | Path) else paths
    verdicts = list(judge(map(Path, given)))
    if not verdicts:
        raise UserError(NOTHING)
    return {one.path: one.text for one in verdicts if not one.sound}


def verify(paths: Iterable[Path]) -> tuple[int, int]:
    """Log a line for each result among `paths` and in folders below them.

    Returns
    -------
    files, bad : int
        Files that were looked at, and those of them that are no sound result or, with folders, that
        could not be looked at.
    """
    files, bad = 0, 0
    for one in judge(paths):
        files, bad = files + 1, bad + (not one.sound)
        if one.sound:
            log.info(one.text)
        else:
            log.error("BAD  %s", one.text)
    return files, bad


def judge(paths: Iterable[Path]) -> Iterator[Verdict]:
    """Yield what is to be said of each result among `paths` and in folders below them.

    Results are segments, checkpoints, whatever has or had a seal, and what interrupted jobs left.
    Folders that cannot be entered come last.
    """
    unreadable: list[OSError] = []
    files = dict.fromkeys(file for path in paths for file in _data_files(path, unreadable))
    for file in files:
        try:
            yield Verdict(file, True, verdict(file))
        except UserError as error:
            yield Verdict(file, False, str(error))
        except OSError as error:
            yield Verdict(file, False, f"{file}: cannot be read ({error.strerror})")
    for error in unreadable:
        text = f"{error.filename}: cannot be entered ({error.strerror})"
        yield Verdict(Path(error.filename), False, text)


def verdict(path: Path) -> str:
    """Return the line on a file that is not bad.

    A segment without a seal is read through instead, every chunk of it.

    Raises
    ------
    UserError
        What is wrong with it.
    """
    if is_temporary(path):
        return f"left {path}: no result, but what an interrupted job left or a running one writes"
    sealed = os.path.lexists(seal_path(path)) or not path.exists()
    if sealed or path.is_dir():
        check_seal(path)
    content = _looker(path)(path)
    return f"ok   {path}: {content}" + ("" if sealed else "; not sealed, but readable")


def _data_files(path: Path, unreadable: list[OSError]) -> list[Path]:
    """Return the file, or those below the folder: those there, and those that left a seal there.

    Parameters
    ----------
    path : Path
    unreadable : list of OSError
        Gets what says which folder could not be entered.
    """
    found = _files_below(path, unreadable) if path.is_dir() else [path]
    return sorted({file.with_name(file.name.removesuffix(ENDING)) for file in found})


def _files_below(folder: Path, unreadable: list[OSError]) -> Iterator[Path]:
    """Yield the results below a folder; links are followed, each folder is entered once."""
    entered = set()
    for name, folders, files in os.walk(folder, followlinks=True, onerror=unreadable.append):
        status = os.stat(name)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        yield from (path for file in files if _is_result(path := Path(name, file)))


def _is_result(path: Path) -> bool:
    known = SEGMENT.fullmatch(path.name) or CHECKPOINT.fullmatch(path.name)
    return bool(known) or path.name.endswith(ENDING) or is_temporary(path)


def _looker(path: Path) -> Callable[[Path], str]:
    """Return what looks into a file of its kind."""
    by_name = {
        "audit.json": _look_at_audit,
        "stream.nc": _look_at_stream,
        "census.nc": _look_at_census,
        "text.txt": _look_at_text,
    }
    by_suffix = {".safetensors": _look_at_checkpoint, ".nc": _look_at_derived}
    if SEGMENT.fullmatch(path.name):
        return _look_at_segment
    return by_name.get(path.name) or by_suffix.get(path.suffix) or _look_at_others


def _look_at_segment(path: Path) -> str:
    header = read_header(path)
    if not header.status:
        raise UserError(f"{path}: not a readable segment (it does not say that it is complete)")
    check_identity(path)
    if not seal_path(path).exists():
        _read_through(path)
    start = (header.first or 0) + 1
    covered = f"updates {start:,} to {start + header.updates - 1:,}"
    status = header.status
    if status == "diverged":
        status += f" at update {header.diverged_at:,}"
    return f"{covered if header.updates else 'no updates'}, {status}"


def _read_through(path: Path) -> None:
    """Read every variable, chunk after chunk: deflate's checksums tell what is damaged."""

    def inflate(_name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            for part in item.iter_chunks() if item.chunks else [...]:
                item[part]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(inflate)
    except Exception as error:  # a flipped bit makes HDF5 raise anything
        raise UserError(f"{path}: not a readable segment ({error})") from None


def _look_at_checkpoint(path: Path) -> str:
    return f"checkpoint after update {read_saved(path).update:,}"


def _look_at_derived(path: Path) -> str:
    return f"{len(read_derived(path).data_vars):,} variables"


def _look_at_audit(path: Path) -> str:
    updates = read_audit(path).get("updates")
    return f"audit of {updates} updates"


def _look_at_stream(path: Path) -> str:
    return f"stream of {len(read_stream(path)[0]):,} tokens"


def _look_at_census(path: Path) -> str:
    return f"census of {read_census(path).sizes['token']:,} tokens"


def _look_at_text(path: Path) -> str:
    return f"text of {len(read_local(path)):,} bytes"


def _look_at_others(path: Path) -> str:
    return f"{path.stat().st_size:,} bytes"


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="file, or folder to search"
    )


def main(options: Namespace) -> None:
    """Run the command ``verify``."""
    files, bad = verify(options.paths)
    if not files:
        raise UserError(NOTHING)
    if bad:
        raise UserError(f"{bad:,} of {files:,} files are missing, damaged or no result")
