"""Seals: what tells a finished data file from a torn or damaged one.

Beside ``segment-000.nc`` stands ``segment-000.nc.seal.json`` with the file's length and CRC-32.
That guards against accidents (interrupted writes, torn copies, failing disks), not against forgers,
and is computed faster than a disk delivers; deflated chunks carry checksums of their own besides.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from isal import isal_zlib

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.remedy import remedy, remedy_of_absence

ENDING = ".seal.json"
CONTENT = {"file": str, "bytes": int, "crc32": str}
PIECE = 2**22


def seal_path(path: Path) -> Path:
    """Return where the seal of a data file stands."""
    return path.with_name(path.name + ENDING)


@contextmanager
def complete_and_sealed(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, as `complete_or_absent` does, and seal what has come to `path`.

    Killed between the two, the file has no seal, or that of another: it is no result.
    """
    path = Path(path)
    with complete_or_absent(path) as temporary:
        yield temporary
    seal(path)


def seal(path: Path) -> None:
    """Write the seal of a finished file.

    Another process may put a whole file of its own in the place meanwhile. Each looks again after
    its seal is there, so that the seal that stays is that of the file that stays.

    Raises
    ------
    UserError
        If the file was taken away, or the seal cannot be written.
    """
    try:
        while not _seal_what_stays(path):
            pass
    except FileNotFoundError:
        raise UserError(
            f"{path}: removed while it was being sealed; if another process works on the same "
            "results, let one of the two end, and run it again"
        ) from None


def _seal_what_stays(path: Path) -> bool:
    """Seal the file, and return whether it is still there."""
    with path.open("rb", buffering=0) as file:  # open: its inode is no other file's
        sealed = os.fstat(file.fileno())
        _write_seal(path, sealed.st_size, crc32(path))
        return os.path.samestat(sealed, path.stat())


def put_sealed(finished: Path, path: Path) -> None:
    """Move a finished file to its name, under which its seal stands already.

    Killed between the two, there is a seal and no file: nobody finds a file without its seal.

    Parameters
    ----------
    finished : Path
        On the same disk; no other process writes to it, or to `path`.
    path : Path
    """
    _write_seal(path, finished.stat().st_size, crc32(finished))
    os.replace(finished, path)


def _write_seal(path: Path, length: int, crc: str) -> None:
    content = {"file": path.name, "bytes": length, "crc32": crc}
    with complete_or_absent(seal_path(path)) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")


def check_seal(path: Path, required: bool = True) -> None:
    """Compare a file with its seal; a file once read is not read again unless it changes.

    Parameters
    ----------
    path : Path
    required : bool
        Refuse a file without a seal. Without this it is taken as it is: a copy.

    Raises
    ------
    UserError
        If the file is missing or cannot be read, or is not the one that was sealed.
    """
    try:
        problem = _problem(path, required)
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be read ({error.strerror}); check its permissions"
        ) from None
    if problem:
        raise UserError(f"{path}: {problem}")


def crc32(path: Path) -> str:
    """Return the CRC-32 of the file's bytes as 8 hexadecimal digits."""
    value, piece = 0, bytearray(PIECE)
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(piece):
            value = isal_zlib.crc32(memoryview(piece)[:length], value)
    return f"{value:08x}"


def _problem(path: Path, required: bool) -> str:
    """Return what is wrong with a file or its seal and what to do, '' if nothing is wrong."""
    if path.is_dir():
        return "is a folder, where a file should be; give the file, or move the folder away"
    if not path.exists():
        return f"missing; {remedy_of_absence(path)}"
    if not required and not _has_seal(path):
        return ""
    problem = _disagreement(path)
    return f"{problem}; {remedy(path)}" if problem else ""


def _has_seal(path: Path) -> bool:
    try:
        return seal_path(path).exists()
    except OSError as error:  # of a file of the user's whose name leaves no room for the ending
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise


def _disagreement(path: Path) -> str:
    """Return in what a file and its seal disagree, '' if they agree."""
    seal_name = seal_path(path).name
    try:
        stated = json.loads(seal_path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"not sealed, so it may be incomplete (a copy needs {seal_name} beside it)"
    except PermissionError:
        raise  # not to be removed: both may be sound, and another user's
    except OSError as error:
        return f"its seal {seal_name} cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        return f"its seal {seal_name} is damaged ({error})"
    if not _is_seal(stated) or stated["file"] != path.name:
        return f"{seal_name} is damaged or the seal of another file"
    status = path.stat()
    if status.st_size != stated["bytes"]:
        word = "truncated" if status.st_size < stated["bytes"] else "damaged"
        return f"{word}, it has {status.st_size:,} of {stated['bytes']:,} bytes"
    if _known_crc32(path.absolute(), status.st_size, status.st_mtime_ns) != stated["crc32"]:
        return "damaged, its bytes are not those that were sealed"
    return ""


def _is_seal(content: object) -> bool:
    return (
        isinstance(content, dict)
        and {name: type(value) for name, value in content.items()} == CONTENT
    )


@lru_cache(maxsize=4096)
def _known_crc32(path: Path, _size: int, _changed: int) -> str:
    return crc32(path)
