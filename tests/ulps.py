"""Distances in ulps, counted on bit patterns: what compiled loops are held against."""

import numpy as np

from deadtokens.ulp import nearest_bfloat16, spacing


def ordered(bits):
    """Return signed integers that count a format's numbers in order; both zeros are 0.

    `bits` are uint16 (bfloat16) or uint32 (float32); those of a NaN count as beyond infinity.
    """
    patterns = bits.view(f"i{bits.itemsize}")
    sign = patterns >> (8 * bits.itemsize - 1)  # 0 or -1, and x ^ -1 - -1 is -x
    magnitude = patterns & np.iinfo(patterns.dtype).max
    magnitude ^= sign
    magnitude -= sign
    return magnitude


def ordered_bits(values, format):
    """Return the same as int64 for float32 values, without NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    if format == "bfloat16":
        bits = nearest_bfloat16(bits)
    return ordered(bits).astype(np.int64)


def ulp_distance(before, after, format):
    """Return how many numbers of a format apart float32 ones are; exact across powers of two.

    Values between two of the format's numbers count as the nearest one.
    """
    return np.abs(ordered_bits(after, format) - ordered_bits(before, format))


def origin_ulps(displacement, start, format):
    """Return a displacement in ulps of its starting point: not exact across powers of two."""
    return np.asarray(displacement, np.float64) / spacing(start, format)
