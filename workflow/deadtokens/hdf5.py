"""Files that HDF5 can write on a disk that fills up."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SteadyFile(io.RawIOBase):
    """A file that never fails; `check` tells what the disk refused.

    HDF5 does not survive a failed write: a file whose last metadata have no room can neither be
    kept open nor closed, and the process crashes later or takes the file for complete. So HDF5 is
    not told. From the first failure on, what it writes is kept in memory, and it reads that again;
    its file has the length that HDF5 gave it, whatever the disk's has.

    A process that is forked while the file is open must not write what HDF5 holds back until it
    ends; there too HDF5 is not told.

    Parameters
    ----------
    file : FileIO
        Empty, open for reading and writing, without a buffer.
    """

    def __init__(self, file: io.FileIO):
        self._file = file
        self._at = self._length = 0
        self._refused: list[tuple[int, bytes]] = []
        self._problem: OSError | None = None
        self._process = os.getpid()

    def check(self) -> None:
        """Raise the first OSError, if there was one."""
        if self._problem is not None:
            raise self._problem

    def write(self, data) -> int:
        content, start = memoryview(data).cast("B"), self._at
        if self._problem is None and self._is_own():
            with self._noticing():
                self._file.seek(start)
                done = 0
                while done < len(content):
                    done += self._file.write(content[done:])
        if self._problem is not None:
            self._refused.append((start, bytes(content)))
        self._at += len(content)
        self._length = max(self._length, self._at)
        return len(content)

    def readinto(self, buffer) -> int:
        """Fill the buffer; HDF5 expects zeros behind the end."""
        out, start, done = memoryview(buffer).cast("B"), self._at, 0
        with self._noticing():
            self._file.seek(start)
            while length := self._file.readinto(out[done:]):
                done += length
        out[done:] = bytes(len(out) - done)
        for first, content in self._refused:
            low, high = max(first, start), min(first + len(content), start + len(out))
            if low < high:
                out[low - start : high - start] = content[low - first : high - first]
        self._at += len(out)
        return len(out)

    def truncate(self, size: int | None = None) -> int:
        self._length = self._at if size is None else size
        if self._is_own():
            with self._noticing():
                self._file.truncate(self._length)
        return self._length

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def _is_own(self) -> bool:
        return os.getpid() == self._process

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            self._problem = self._problem or problem

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


@contextmanager
def steady_file(path: Path) -> Iterator[SteadyFile]:
    """Yield a new file for HDF5 to write; it must be closed there when the block ends.

    Raises
    ------
    OSError
        If the disk refused a write.
    """
    with path.open("w+b", buffering=0) as raw, SteadyFile(raw) as file:
        try:
            yield file
        finally:
            file.check()
