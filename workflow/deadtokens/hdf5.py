"""Files that HDF5 can write on a disk that fills up."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SteadyFile(io.RawIOBase):
    """A file whose writes never fail; `check` tells what the disk refused.

    HDF5 does not survive a failed write: a file whose last metadata have no room can neither be
    kept open nor closed, and the process crashes later or takes the file for complete. So HDF5 is
    not told. From the first failure on, what it writes is kept in memory, and it reads that again.

    Parameters
    ----------
    file : FileIO
        Open for reading and writing, without a buffer.
    """

    def __init__(self, file: io.FileIO):
        self._file = file
        self._refused: list[tuple[int, bytes]] = []
        self._problem: OSError | None = None

    def check(self) -> None:
        """Raise the OSError of the first write that failed, if one did."""
        if self._problem is not None:
            raise self._problem

    def write(self, data) -> int:
        content, start = memoryview(data).cast("B"), self.tell()
        try:
            self.check()
            done = 0
            while done < len(content):
                done += self._file.write(content[done:])
        except OSError as problem:
            self._problem = problem
            self._keep(start, bytes(content))
        return len(content)

    def _keep(self, start: int, content: bytes) -> None:
        end = start + len(content)
        self._refused.append((start, content))
        self.seek(end)
        if os.fstat(self._file.fileno()).st_size < end:
            self._file.truncate(end)  # a hole: takes no room

    def readinto(self, buffer) -> int:
        """Fill the buffer; HDF5 expects zeros behind the end."""
        out, start = memoryview(buffer).cast("B"), self.tell()
        known = self._file.readinto(out)
        out[known:] = bytes(len(out) - known)
        for first, content in self._refused:
            low, high = max(first, start), min(first + len(content), start + len(out))
            if low < high:
                out[low - start : high - start] = content[low - first : high - first]
        return len(out)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        return self._file.truncate(size)

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
