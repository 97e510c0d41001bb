"""Files appear complete or not at all."""

import errno
import hashlib
import os
import platform
import secrets
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from deadtokens.errors import UserError

INCOMPLETE = ".incomplete"
SUFFIX_BYTES = 16  # by longer "suffixes" no library chooses a format

DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries that are not Python's raise errors of their own, with the system's words in them.
WORDS = {number: os.strerror(number) for number in sorted({*DISK_FULL, errno.EFBIG})}

NOT_PERMITTED = (
    "this user may not write there; change the permissions (of another's folder its owner can: "
    "`chmod g+w`, and `umask 002` from then on), or write elsewhere"
)
NO_FOLDER = "a file stands where a folder should be; move it away, or write elsewhere"
ADVICE = {
    errno.EACCES: NOT_PERMITTED,
    errno.EPERM: NOT_PERMITTED,
    errno.EROFS: "the disk is read-only; write elsewhere",
    errno.EISDIR: "a folder stands where the file should be; move it away, or write elsewhere",
    errno.ENOTDIR: NO_FOLDER,
    errno.EEXIST: NO_FOLDER,
    errno.ENAMETOOLONG: "a shorter name is needed",
}


@contextmanager
def complete_or_absent(path: str | os.PathLike, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block succeeds.

    No other process has the same temporary path: of several that write `path` at the same time,
    the last one that finishes leaves its file there, whole. The temporary name keeps the suffix
    (libraries choose formats by it) and starts with a dot, so that no pattern for results matches
    it. If the block raises, the temporary file is removed and `path` stays as it was. What killed
    processes left is removed by the next one on their machine that writes `path`.

    The bytes are on the disk before the file gets its name, so that a power cut tears no file, and
    a disk that takes them late and fails then is heard.

    Parameters
    ----------
    path : path
    needed : int or None
        How large the file will be, in bytes, if that is known: for the sentence on a full disk.

    Raises
    ------
    UserError
        If `path` cannot be written, before the block where that can be known by then; if the disk
        is full, or takes no file so large.
    """
    path = Path(path)
    ensure_writable(path)
    _remove_leftovers(path)
    temporary, process = _temporary(path), os.getpid()
    try:
        yield temporary
        _put_on_disk(temporary)
        with _told(path):
            os.replace(temporary, path)
    except Exception as error:
        number = None if isinstance(error, UserError) else _refused(error)
        if number is None:
            raise
        written = temporary.stat().st_blocks * 512 if temporary.exists() else 0
        temporary.unlink(missing_ok=True)
        raise UserError(_sentence(path, number, needed, written)) from None
    finally:
        if os.getpid() == process:  # it is not a forked one's, which ends in the midst of it
            with suppress(OSError):
                temporary.unlink()


def ensure_writable(path: Path) -> None:
    """Find out whether `path` can be written, before what takes hours to compute; make its folder.

    Raises
    ------
    UserError
        If it cannot.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(path.stat().st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        attempt = _temporary(path)
        os.close(os.open(attempt, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        attempt.unlink()


def is_temporary(path: Path) -> bool:
    """Return whether the name is that of a file which `complete_or_absent` is not done with."""
    return path.name.startswith(".") and INCOMPLETE in path.name


def folder_of(path: Path) -> Path:
    """Return the folder that `path` is in or, where that is still missing, will be made in."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def largest_file() -> int | None:
    """Return how many bytes a file of this process may have, None if it has no limit of its own."""
    import resource  # not on Windows, where what others have written can still be read

    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if most == resource.RLIM_INFINITY else most


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _temporary(path: Path) -> Path:
    """Return a name for this process alone: it tells the machine, the process, and a number."""
    start, end = _around(path)
    return path.with_name(f"{start}{os.getpid():x}-{secrets.token_hex(4)}{end}")


def _around(path: Path) -> tuple[str, str]:
    """Return what the temporary names of `path` on this machine start and end with.

    A stem that would make them too long is cut.
    """
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= SUFFIX_BYTES else ""
    machine, end = f".{_machine()}-", f"{INCOMPLETE}{suffix}"
    longest = f".{machine}{2**22:x}-{0:08}{end}"  # Linux counts processes up to 2 ** 22
    room = os.pathconf(path.parent, "PC_NAME_MAX") - len(os.fsencode(longest))
    stem = os.fsencode(path.name.removesuffix(suffix))[:room].decode(errors="ignore")
    return f".{stem}{machine}", end


@cache
def _machine() -> str:
    """Return 8 hexadecimal digits that name where, and since which start, a process is counted.

    Machines that share a disk, and containers, count their processes each for itself.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text()
        name = f"{start} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        name = f"{platform.node()} {uuid.getnode()}"
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` whose processes on this machine are dead.

    Those of other machines stay: nobody knows here who lives there.
    """
    with suppress(OSError):
        start, end = _around(path)
        for name in os.listdir(path.parent):
            process = name.removeprefix(start).partition("-")[0]
            if name.startswith(start) and name.endswith(end) and not _lives(process):
                with suppress(OSError):  # another user's, where each removes his own alone
                    path.with_name(name).unlink()


def _lives(process: str) -> bool:
    """Return whether there is a process of that hexadecimal number, for all that is known."""
    try:
        os.kill(int(process, 16), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True


def _put_on_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in one sentence why `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(_sentence(path, error.errno)) from None


def _refused(error: BaseException | None) -> int | None:
    """Return the number of what a disk refused, in an error or in what it followed from."""
    while error is not None:
        if getattr(error, "errno", None) in WORDS:
            return error.errno
        for number, words in WORDS.items():
            if words in str(error):
                return number
        error = error.__cause__ or error.__context__
    return None


def _sentence(path: Path, number: int, needed: int | None = None, written: int = 0) -> str:
    """Return what keeps `path` from being written, and what to do."""
    room = f"{needed:,}" if needed and needed > written else f"more than {written:,}"
    again = "and run it again (what was complete is kept)"
    if number in DISK_FULL:
        return f"{path}: the disk is full: {_lacking(folder_of(path), room)}; make room {again}"
    if number == errno.EFBIG:
        most = largest_file()
        limit = "the disk takes less" if most is None else f"{most:,} are allowed (ulimit -f)"
        return f"{path}: too large a file: {room} bytes are needed, {limit}; raise it {again}"
    advice = ADVICE.get(number, "see to it, or write elsewhere")
    return f"{path}: cannot be written ({os.strerror(number)}): {advice}"


def _lacking(folder: Path, room: str) -> str:
    disk = os.statvfs(folder)
    if disk.f_files and not disk.f_favail:
        return f"it takes no more than its {disk.f_files:,} files"
    return f"{room} bytes are needed, {shutil.disk_usage(folder).free:,} are free"
