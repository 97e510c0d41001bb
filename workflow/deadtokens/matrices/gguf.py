"""Tensors and metadata of a GGUF file, versions 2 and 3.

The header counts and measures everything before it comes, so each length is held against what is
left of the file before anything of it is read.
"""

from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from deadtokens.errors import UserError
from deadtokens.matrices.stored import LARGEST_HEADER, Contents, Stored, distinct, shown, unreadable

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # of the tensors' places, where the metadata gives none
DIMENSIONS = 4  # at the most

COUNT, LENGTH = np.dtype("<u4"), np.dtype("<u8")
STRING, ARRAY = 8, 9
SCALARS = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("?"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
FORMATS = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "Q8_0": "q8_0"}
# How tensors are stored: by number the name, the values of a block, and its bytes.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


class _Malformed(Exception):
    """What is wrong with a header."""


def read_gguf(path: Path) -> Contents:
    """Return what a GGUF file holds.

    Raises
    ------
    UserError
        If the file is damaged, no GGUF file, of another version, or one part of several.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            header = _Header(file, size)
            tensors, metadata = header.contents(path)
    except _Malformed as error:
        raise unreadable(path, "GGUF file", error) from None
    if metadata.get("split.count", 0) not in (0, 1):  # 0 is left by a merge
        raise UserError(
            f"{path}: one of several files of a model; merge them (`llama-gguf-split --merge`) "
            "and give the one"
        )
    return Contents(path, tensors, metadata)


class _Header:
    """The header of a GGUF file, read from its beginning to its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.place = file, size, 0

    def contents(self, path: Path) -> tuple[dict[str, Stored], dict[str, object]]:
        """Return the tensors and the metadata."""
        if self._take(len(MAGIC)) != MAGIC:
            raise _Malformed("it does not begin with GGUF")
        version = self._number(COUNT)
        if version not in VERSIONS:
            raise _Malformed(f"version {version}, which is neither 2 nor 3")
        tensors, pairs = self._number(LENGTH), self._number(LENGTH)
        metadata = _distinct([(self._string(), self._typed()) for _ in range(pairs)])
        described = [self._tensor() for _ in range(tensors)]
        start = self._start(metadata)
        stored = [(name, self._stored(name, *rest, start, path)) for name, *rest in described]
        return _distinct(stored), metadata

    def _take(self, count: int) -> bytes:
        if count > min(self.size, LARGEST_HEADER) - self.place:
            raise _Malformed(f"its header claims {count:,} bytes that are not there")
        self.place += count
        return self.file.read(count)

    def _numbers(self, kind: np.dtype, count: int) -> list:
        return np.frombuffer(self._take(count * kind.itemsize), kind).tolist()

    def _number(self, kind: np.dtype) -> int | float | bool:
        return self._numbers(kind, 1)[0]

    def _string(self) -> str:
        return self._take(self._number(LENGTH)).decode(errors="backslashreplace")

    def _typed(self) -> object:
        kind = self._number(COUNT)
        return self._array() if kind == ARRAY else self._values(kind, 1)[0]

    def _array(self) -> list:
        return self._values(self._number(COUNT), self._number(LENGTH))

    def _values(self, kind: int, count: int) -> list:
        if kind == STRING:
            return [self._string() for _ in range(count)]
        if kind not in SCALARS:
            raise _Malformed(f"a value of type {kind}, which is unknown there")
        return self._numbers(SCALARS[kind], count)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Return a tensor's name, shape, type, and place behind the header."""
        name, dimensions = self._string(), self._number(COUNT)
        if dimensions > DIMENSIONS:
            raise _Malformed(f"the tensor {shown(name)} has {dimensions:,} dimensions")
        shape = tuple(self._numbers(LENGTH, dimensions)[::-1])
        return name, shape, self._number(COUNT), self._number(LENGTH)

    def _start(self, metadata: dict[str, object]) -> int:
        """Return where the numbers begin."""
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise _Malformed("its alignment is no power of two")
        self.alignment = alignment
        return -(-self.place // alignment) * alignment

    def _stored(
        self, name: str, shape: tuple[int, ...], kind: int, offset: int, start: int, path: Path
    ) -> Stored:
        label, values, size = TYPES.get(kind, (f"type {kind}", 1, 0))
        if offset % self.alignment:
            raise _Malformed(f"the tensor {shown(name)} lies at {offset:,}, which is not aligned")
        if shape and shape[-1] % values:
            raise _Malformed(f"the rows of {shown(name)} are no whole blocks of {label}")
        end = start + offset + prod(shape) // values * size
        if end > self.size:
            raise _Malformed(f"the tensor {shown(name)} ends at {end:,} in {self.size:,} bytes")
        return Stored(name, shape, FORMATS.get(label, label), path, start + offset)


def _distinct(pairs: list[tuple[str, object]]) -> dict:
    try:
        return distinct(pairs)
    except ValueError as error:
        raise _Malformed(error) from None
