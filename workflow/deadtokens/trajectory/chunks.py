"""A chunk as HDF5's filters, shuffle and deflate, leave it; made outside HDF5's lock.

The shuffle writes the lowest byte of every value first, then the next ones: four planes. bfloat16
values are the high halves of their float32, so their two low planes are zeros.
"""

import numpy as np
from isal import isal_zlib

DEFLATE_LEVEL = 1


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
    planes = np.empty((4, values.size), np.uint8)
    empty = 4 - values.itemsize
    planes[:empty] = 0
    for index in range(values.itemsize):
        # The cast keeps the lowest byte; one pass of wide instructions each.
        np.right_shift(values, 8 * index, out=planes[empty + index], casting="unsafe")
    return isal_zlib.compress(planes, DEFLATE_LEVEL)


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


def widen(bits: np.ndarray, out: np.ndarray) -> None:
    """Write the float32 values of bit patterns into `out`, of the same shape."""
    if bits.dtype == np.uint16:
        np.left_shift(bits, 16, out=out.view(np.uint32), dtype=np.uint32, casting="unsafe")
    else:
        out.view(np.uint32)[...] = bits
