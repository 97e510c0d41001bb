"""Files appear complete or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deadtokens.errors import UserError

# Libraries that are not Python's raise errors of their own, with the system's words in them.
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
DISK_FULL_WORDS = tuple(os.strerror(number) for number in sorted(DISK_FULL))


@contextmanager
def complete_or_absent(path: str | os.PathLike, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block succeeds.

    The temporary name keeps the suffix (libraries choose formats by it) and starts with a dot, so
    that no pattern for results matches it. If the block raises, the temporary file is removed and
    `path` stays as it was.

    Parameters
    ----------
    path : path
    needed : int or None
        How large the file will be, in bytes, if that is known: for the sentence on a full disk.

    Raises
    ------
    UserError
        If the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.incomplete{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, UserError) or not _is_disk_full(error):
            raise
        written = temporary.stat().st_blocks * 512 if temporary.exists() else 0
        temporary.unlink(missing_ok=True)
        raise UserError(_disk_full(path, needed, written)) from None
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Return whether the name is that of a file which `complete_or_absent` is not done with."""
    return path.name.startswith(".") and ".incomplete" in path.name


def _is_disk_full(error: BaseException | None) -> bool:
    """Return whether an error, or what it followed from, is a disk or a quota that is full."""
    while error is not None:
        if getattr(error, "errno", None) in DISK_FULL or any(
            words in str(error) for words in DISK_FULL_WORDS
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _disk_full(path: Path, needed: int | None, written: int) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    room = f"{needed:,}" if needed and needed > written else f"more than {written:,}"
    return (
        f"{path}: the disk is full: {room} bytes are needed, {shutil.disk_usage(folder).free:,} "
        "are free; make room and run it again (what was complete is kept)"
    )


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
