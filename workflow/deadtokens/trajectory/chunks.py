"""A chunk as HDF5's filters shuffle (4 bytes) and deflate leave it, made outside HDF5's lock."""

import numpy as np
from isal import isal_zlib

DEFLATE_LEVEL = 1


def encode_chunk(values: np.ndarray) -> bytes:
    """Return the filtered bytes of one chunk of float32 values.

    Parameters
    ----------
    values : ndarray of uint16 (bfloat16 bits) or uint32 (float32 bits), C-contiguous
        bfloat16 bits are the high half of the float32 with the same value.

    Returns
    -------
    bytes
        zlib stream of the values' bytes, those of least significance first (little-endian).
    """
    planes = np.ascontiguousarray(values.reshape(-1, 1).view(np.uint8).T)
    if values.dtype == np.uint16:
        planes = np.concatenate([np.zeros_like(planes), planes])
    return isal_zlib.compress(planes, DEFLATE_LEVEL)


def decode_chunk(filtered: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the float32 values of a chunk of the given shape: the inverse of `encode_chunk`."""
    planes = np.frombuffer(isal_zlib.decompress(filtered), np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<f4").reshape(shape)
