"""Tensors in files: where their numbers lie, and matrices whose rows are mapped from there."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from deadtokens.errors import UserError
from deadtokens.matrices.matrix import Matrix
from deadtokens.ulp import spacing

LARGEST_HEADER = 10**8  # bytes; no header of a model is near it, and safetensors allows no more
ZIP = b"PK\x03\x04"  # with which the checkpoints of PyTorch begin
SHOWN = 80  # characters of a name
LONGEST = 300  # of a library's reason

FLOATS = {"float32": np.dtype("<f4"), "bfloat16": np.dtype("<u2"), "float16": np.dtype("<f2")}
BLOCK = 32  # values that share a scale in Q8_0
Q8_0 = np.dtype([("scale", "<f2"), ("steps", "i1", BLOCK)])
READ = "float32, bfloat16, float16, and GGUF's Q8_0"


@dataclass(frozen=True)
class Stored:
    """A tensor as the header of its file describes it.

    Attributes
    ----------
    name : str
    shape : tuple of int
    format : str
        'float32', 'bfloat16', 'float16', 'q8_0', or what the file calls another one.
    path : Path
    offset : int
        Of its first byte in the file; the rows follow each other from there.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    path: Path
    offset: int

    def is_same_as(self, other: "Stored") -> bool:
        """Whether both are the same bytes of the same file."""
        return (self.path, self.offset, self.shape) == (other.path, other.offset, other.shape)

    def __str__(self) -> str:
        """Return its name and shape as a sentence can show them."""
        return f"{shown(self.name)} ({' x '.join(f'{size:,}' for size in self.shape)})"


@dataclass(frozen=True)
class Contents:
    """What a model's files hold: tensors by name, and what else their headers say."""

    path: Path
    tensors: dict[str, Stored]
    metadata: dict[str, object]


def shown(name: str) -> str:
    """Return a name from a file, which may be anything, as a sentence can show it."""
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}…")


def unreadable(path: Path, kind: str, reason: object) -> UserError:
    """Return the sentence on a file that is damaged, or not what its name says."""
    words = " ".join(str(reason).split()) or type(reason).__name__
    words = "".join(it if it.isprintable() else "?" for it in words[:LONGEST])  # names are in it
    return UserError(f"{path}: not a readable {kind} ({words}); get the file anew")


def distinct(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return a mapping of JSON, for `json.loads`; raise ValueError if a key comes twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} stands there twice")
    return mapping


def matrix_of(stored: Stored) -> Matrix:
    """Return the matrix that a tensor is.

    Raises
    ------
    UserError
        If it has another number of dimensions, no rows, or numbers in a format that is not read.
    """
    where = f"{stored.path}: the tensor {stored}"
    if len(stored.shape) != 2 or not prod(stored.shape):
        raise UserError(f"{where} is no matrix with a row for each token; name another one")
    about = (stored.name, *stored.shape, stored.format, stored.path, stored.offset)
    if stored.format in FLOATS:
        return Floats(*about)
    if stored.format == "q8_0":
        return Blocks(*about)
    raise UserError(f"{where} is stored as {stored.format}; what can be read is {READ}")


@dataclass(frozen=True)
class Mapped(Matrix):
    """A matrix whose rows follow each other in a file.

    Only the rows that are asked for are mapped, and only while they are converted: what is in
    memory does not grow with the matrix.
    """

    path: Path
    offset: int

    @property
    @abstractmethod
    def row(self) -> np.dtype:
        """How a row is stored."""

    def _mapped(self, start: int, stop: int) -> np.ndarray:
        start, stop, _ = slice(start, stop).indices(self.tokens)
        if start >= stop:
            return np.empty(0, self.row)
        position = self.offset + start * self.row.itemsize
        try:
            rows = np.memmap(
                self.path, self.row.base, "r", position, (stop - start, *self.row.shape)
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self.path}: changed while it was read ({error}); let nothing write it meanwhile"
            ) from None
        return rows.view(np.ndarray)


class Floats(Mapped):
    """A matrix of floating-point numbers."""

    @property
    def row(self) -> np.dtype:
        return np.dtype((FLOATS[self.format], (self.width,)))

    def rows(self, start: int, stop: int) -> np.ndarray:
        stored = self._mapped(start, stop)
        if self.format == "bfloat16":
            return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return stored.astype(np.float32)

    def units(self, start: int, stop: int) -> np.ndarray:
        return spacing(self.rows(start, stop), self.format).astype(np.float32)


class Blocks(Mapped):
    """A matrix in Q8_0: whole numbers of steps, whose size 32 neighbours in a row share."""

    @property
    def row(self) -> np.dtype:
        return np.dtype((Q8_0, (self.width // BLOCK,)))

    def rows(self, start: int, stop: int) -> np.ndarray:
        blocks = self._mapped(start, stop)
        values = blocks["steps"].astype(np.float32)
        values *= blocks["scale"].astype(np.float32)[..., None]
        return values.reshape(-1, self.width)

    def units(self, start: int, stop: int) -> np.ndarray:
        steps = np.abs(self._mapped(start, stop)["scale"].astype(np.float32))
        return np.repeat(steps, BLOCK, axis=-1)
