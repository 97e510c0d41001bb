"""A chunk as HDF5's filters, shuffle and deflate, leave it; made outside HDF5's lock.

The shuffle writes the lowest byte of every value first, then the next ones: four planes, of a
float64 eight. bfloat16 values are the high halves of their float32, so their two low planes are
zeros. The planes are deflated one by one into a single zlib stream (RFC 1950, 1951), because they
differ: the zeros are the same in every chunk and deflated once; the mantissas of gradients do not
shrink and are stored as they are; the rest goes through ISA-L.

The values of a chunk are exact, its bytes are not always the same: ISA-L chooses other matches in
some processes (of some planes of 100 bytes and less in one process of a hundred, of large ones in
one of ten thousand), so the files of two recordings of one run are compared by their values.
"""

import math
from functools import cache

import numpy as np
from isal import isal_zlib

from deadtokens.run.formats import UNSIGNED

DEFLATE_LEVEL = 1
ZLIB_HEADER = b"\x78\x01"
RAW = -15  # window bits of a deflate stream without header and checksum
SAMPLE = 8192  # bytes of a plane that tell whether it shrinks
WORTHWHILE = 0.94  # a plane that shrinks to more than this is stored: four times as fast
STORED_BLOCK = 65535  # bytes at most in one stored block of deflate


def encode_chunk(bits: np.ndarray) -> bytes:
    """Return the filtered bytes of one chunk of float32 or float64 values.

    Parameters
    ----------
    bits : ndarray of uint16, uint32 or uint64
        Bit patterns, of bfloat16, float32 or float64 values; of any memory layout.

    Returns
    -------
    bytes
        zlib stream of the planes of bytes.
    """
    values = np.ascontiguousarray(bits).reshape(-1)
    planes = np.empty((values.itemsize, values.size), np.uint8)
    # The cast keeps the lowest byte; one pass of wide instructions each.
    np.copyto(planes[0], values, casting="unsafe")
    for index in range(1, values.itemsize):
        np.right_shift(values, 8 * index, out=planes[index], casting="unsafe")
    zeros = max(0, 4 - values.itemsize) * values.size
    *first, last = planes
    parts = [ZLIB_HEADER, _deflated_zeros(zeros), *map(_deflate, first)]
    parts.append(isal_zlib.compress(last, DEFLATE_LEVEL, RAW))
    parts.append(isal_zlib.adler32(planes, _adler32_of_zeros(zeros)).to_bytes(4, "big"))
    return b"".join(parts)


def _deflate(plane: np.ndarray) -> bytes:
    """Return blocks of deflate that end on a byte and are not the stream's last."""
    sample = plane[:SAMPLE]
    if len(isal_zlib.compress(sample, DEFLATE_LEVEL, RAW)) > WORTHWHILE * len(sample):
        return _stored(plane)
    stream = isal_zlib.compressobj(DEFLATE_LEVEL, isal_zlib.DEFLATED, RAW)
    return stream.compress(plane) + stream.flush(isal_zlib.Z_FULL_FLUSH)


def _stored(plane: np.ndarray) -> bytes:
    """Return the bytes as stored blocks: one of type 0, the length, its complement, the bytes."""
    parts = []
    for start in range(0, plane.size, STORED_BLOCK):
        block = plane[start : start + STORED_BLOCK]
        length = block.size.to_bytes(2, "little")
        parts += [b"\0", length, bytes(~byte & 0xFF for byte in length), block.data]
    return b"".join(parts)


@cache
def _deflated_zeros(count: int) -> bytes:
    return _deflate(np.zeros(count, np.uint8)) if count else b""


def _adler32_of_zeros(count: int) -> int:
    """Return the checksum of so many zeros: the low sum stays 1, the high one counts them."""
    return count % 65521 << 16 | 1


def decode_chunk(filtered: bytes, format: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the bit patterns of a chunk's values: the inverse of `encode_chunk`.

    Parameters
    ----------
    filtered : bytes
    format : {'bfloat16', 'float32'}
        What was recorded; bfloat16 comes back as 16 bits.
    shape : tuple of int
        Of the chunk.

    Returns
    -------
    ndarray of uint16 or uint32, of that shape

    Raises
    ------
    isal.isal_zlib.IsalError
        If the bytes are damaged (a zlib stream carries its own checksum).
    """
    values = math.prod(shape)
    kind = np.dtype(UNSIGNED[format])
    planes = _inflate(filtered, values, kind.itemsize)
    bits = planes[-1].astype(kind)
    for plane in planes[-2::-1]:
        bits <<= 8
        bits |= plane
    return bits.reshape(shape)


def _inflate(filtered: bytes, values: int, used: int) -> np.ndarray:
    """Return the last `used` planes, (used, values)."""
    zeros = (4 - used) * values
    start = ZLIB_HEADER + _deflated_zeros(zeros)
    if not filtered.startswith(start):  # written by another program
        planes = np.frombuffer(isal_zlib.decompress(filtered, bufsize=4 * values), np.uint8)
        return planes.reshape(4, values)[4 - used :]
    content = memoryview(filtered)
    planes = isal_zlib.decompress(content[len(start) : -4], RAW, used * values)
    if isal_zlib.adler32(planes, _adler32_of_zeros(zeros)) != int.from_bytes(content[-4:], "big"):
        raise isal_zlib.IsalError("the chunk's checksum is not that of its values")
    return np.frombuffer(planes, np.uint8).reshape(used, values)


def place(bits: np.ndarray, out: np.ndarray) -> None:
    """Write bit patterns into `out`: as they are if it holds such, else as float32 values."""
    if out.dtype == bits.dtype:
        out[...] = bits
    elif bits.dtype == np.uint16:
        np.left_shift(bits, 16, out=out.view(np.uint32), dtype=np.uint32, casting="unsafe")
    else:
        out.view(np.uint32)[...] = bits
