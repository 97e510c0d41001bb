"""A chunk as HDF5's filters, shuffle and deflate, leave it; made outside HDF5's lock.

The shuffle writes the lowest byte of every value first, then the next ones: four planes. bfloat16
values are the high halves of their float32, so their two low planes are zeros. The planes are
deflated one by one into a single zlib stream (RFC 1950, 1951), because they differ: the zeros are
the same in every chunk and deflated once; the mantissas of gradients do not shrink and are stored
as they are; the rest goes through ISA-L.
"""

from functools import cache

import numpy as np
from isal import isal_zlib

DEFLATE_LEVEL = 1
ZLIB_HEADER = b"\x78\x01"
RAW = -15  # window bits of a deflate stream without header and checksum
SAMPLE = 8192  # bytes of a plane that tell whether it shrinks
STORED_BLOCK = 65535  # bytes at most in one stored block of deflate


def encode_chunk(bits: np.ndarray) -> bytes:
    """Return the filtered bytes of one chunk of float32 values.

    Parameters
    ----------
    bits : ndarray of uint16 or uint32
        Bit patterns, of bfloat16 or of float32 values; of any memory layout.

    Returns
    -------
    bytes
        zlib stream of the four planes of bytes.
    """
    values = np.ascontiguousarray(bits).reshape(-1)
    planes = np.empty((values.itemsize, values.size), np.uint8)
    for index, plane in enumerate(planes):
        # The cast keeps the lowest byte; one pass of wide instructions each.
        np.right_shift(values, 8 * index, out=plane, casting="unsafe")
    zeros = (4 - values.itemsize) * values.size
    *first, last = planes
    parts = [ZLIB_HEADER, _deflated_zeros(zeros), *map(_deflate, first)]
    parts.append(isal_zlib.compress(last, DEFLATE_LEVEL, RAW))
    parts.append(isal_zlib.adler32(planes, _adler32_of_zeros(zeros)).to_bytes(4, "big"))
    return b"".join(parts)


def _deflate(plane: np.ndarray) -> bytes:
    """Return blocks of deflate that end on a byte and are not the stream's last."""
    if len(isal_zlib.compress(plane[:SAMPLE], DEFLATE_LEVEL, RAW)) >= min(SAMPLE, plane.size):
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


def decode_chunk(filtered: bytes, format: str) -> np.ndarray:
    """Return the bit patterns of a chunk's values: the inverse of `encode_chunk`.

    Parameters
    ----------
    filtered : bytes
    format : {'bfloat16', 'float32'}
        What was recorded; bfloat16 comes back as 16 bits.

    Returns
    -------
    ndarray of uint16 or uint32, shape (values,)

    Raises
    ------
    isal.isal_zlib.IsalError
        If the bytes are damaged (a zlib stream carries its own checksum).
    """
    planes = np.frombuffer(isal_zlib.decompress(filtered), np.uint8).reshape(4, -1)
    kind = {"bfloat16": np.uint16, "float32": np.uint32}[format]
    used = planes[4 - np.dtype(kind).itemsize :]
    bits = used[-1].astype(kind)
    for plane in used[-2::-1]:
        bits <<= 8
        bits |= plane
    return bits


def place(bits: np.ndarray, out: np.ndarray) -> None:
    """Write bit patterns into `out`: as they are if it holds such, else as float32 values."""
    if out.dtype == bits.dtype:
        out[...] = bits
    elif bits.dtype == np.uint16:
        np.left_shift(bits, 16, out=out.view(np.uint32), dtype=np.uint32, casting="unsafe")
    else:
        out.view(np.uint32)[...] = bits
