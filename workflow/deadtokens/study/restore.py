"""Unpack an archived study, every byte of it checked, so that its figures are drawn anew."""

import hashlib
import logging
import os
import re
import shlex
import shutil
import stat
import tempfile
import zipfile
import zlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable
from deadtokens.study.archive import CONFIGURATION, DECLARATION, MANIFEST, PAYLOAD

LINE = re.compile(r"(?P<sum>[0-9a-f]{64})  (?P<name>.+)")
DAMAGED = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError)
PIECE = 2**22  # bytes


def restore(archive: Path, folder: Path) -> int:
    """Unpack an archive as ``study.yaml`` and ``results/`` in a folder that has neither.

    Nothing appears before everything was checked. All files get the same time, so that Snakemake
    takes none for newer than what was made from it.

    Parameters
    ----------
    archive, folder : Path

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    UserError
        If the archive is none, is damaged, or has an entry that is not what `deadtokens archive`
        writes; if the folder has results, or no room.
    """
    for name in (CONFIGURATION, "results"):
        _refuse_what_is_there(folder / name)
    ensure_writable(folder / CONFIGURATION)
    with _reading(archive), zipfile.ZipFile(archive) as file:
        sums = _manifest(archive, file)
        entries = _entries(archive, file, sums)
        _ensure_room(archive, folder, sum(entry.file_size for entry in entries.values()))
        with tempfile.TemporaryDirectory(prefix=".restoring-", dir=folder) as temporary:
            for name, entry in entries.items():
                _unpack(archive, file, entry, sums[name], Path(temporary, name))
            _put_in_place(Path(temporary, PAYLOAD), folder)
    return len(entries)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Make a sentence of what a damaged archive, or none, raises."""
    try:
        yield
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{archive}: not a whole archive of a study ({error})") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise UserError(f"{archive}: cannot be read ({error.strerror})") from None


def _refuse_what_is_there(path: Path) -> None:
    if path.is_dir() and not any(path.iterdir()):
        return
    if os.path.lexists(path):
        raise UserError(f"{path}: is there already; restore into a folder without results")


def _manifest(archive: Path, file: zipfile.ZipFile) -> dict[str, str]:
    """Return the checksums of an archive's files by name."""
    if MANIFEST not in file.namelist():
        raise UserError(f"{archive}: no archive of a study, it has no {MANIFEST}")
    lines = file.read(MANIFEST).decode("utf-8").splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    if None in found:
        raise UserError(f"{archive}: {MANIFEST} is damaged: {lines[found.index(None)]!r}")
    return {line["name"]: line["sum"] for line in found}


def _entries(
    archive: Path, file: zipfile.ZipFile, sums: Mapping[str, str]
) -> dict[str, zipfile.ZipInfo]:
    """Return the entries to unpack by name: exactly those of the manifest, each a safe file."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in file.infolist():
        if entry.filename in (MANIFEST, DECLARATION):
            continue
        problem = _problem(entry)
        if entry.filename in found:
            problem = "stands in it twice"
        elif entry.filename not in sums:
            problem = problem or f"is not in its {MANIFEST}"
        if problem:
            raise UserError(f"{archive}: not unpacked: {entry.filename!r} {problem}")
        found[entry.filename] = entry
    lacking = sorted(sums.keys() - found.keys())
    if lacking:
        raise UserError(f"{archive}: not a whole archive of a study, {lacking[0]!r} is not in it")
    return found


def _problem(entry: zipfile.ZipInfo) -> str:
    """Return why an entry is none that `deadtokens archive` writes, '' if it may be one."""
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.is_dir():
        return "is no plain file"
    if entry.compress_type != zipfile.ZIP_STORED:
        return "is compressed, which no file of an archive is"
    path = PurePosixPath(entry.filename)
    ours = path == PurePosixPath(PAYLOAD, CONFIGURATION) or path.parts[:2] == ("data", "results")
    plain = path.as_posix() == entry.filename and ".." not in path.parts
    if not (ours and plain and "\\" not in entry.filename and "\0" not in entry.orig_filename):
        return f"would lie outside of {PAYLOAD}results/"
    return ""


def _ensure_room(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{archive}: has {needed:,} bytes, and {free:,} are free in {folder}; make room, or "
            "restore elsewhere"
        )


def _unpack(
    archive: Path, file: zipfile.ZipFile, entry: zipfile.ZipInfo, expected: str, path: Path
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with file.open(entry) as source, path.open("xb") as target:
        while piece := source.read(PIECE):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != expected:
        raise UserError(f"{archive}: damaged, {entry.filename!r} has not its SHA-256")


def _put_in_place(payload: Path, folder: Path) -> None:
    now = (folder.stat().st_mtime,) * 2
    for path in payload.rglob("*"):
        os.utime(path, now)
    for name in ("results", CONFIGURATION):
        os.replace(payload / name, folder / name)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("archive", type=Path, help="what `deadtokens archive` wrote")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        default=Path(),
        help="where results/ and study.yaml will lie (default: here)",
    )


def main(options: Namespace) -> None:
    """Run the command ``restore``."""
    number = restore(options.archive, options.directory)
    folder, study = map(
        shlex.quote, map(str, (options.directory, options.directory / CONFIGURATION))
    )
    logging.getLogger(__name__).info(
        f"{options.directory}: {number:,} files restored and checked; from the workflow's folder "
        f"snakemake --cores all --directory {folder} --configfile {study} draws the figures, and "
        "trains nothing"
    )
