"""The grid of representable numbers: spacing, the walls of rounding, distances in ulps.

Values are float32 arrays; those of bfloat16 are the float32 with the same value. Everything is done
on bit patterns, so that subnormals and powers of two come out right. These are the definitions;
what is done to every weight of every update is compiled, in `freezing.steps` and
`stillness.causes`, and held against them.

A float32 value has a place on bfloat16's grid too: the number that it becomes when it is rounded to
nearest, ties to even, as every cast of torch and every regime that rounds once into its weights
does it. How many of the grid's steps a float32 weight moved is how far a bfloat16 copy of it would
have moved, such as autocast makes for every product.
"""

import numpy as np

MANTISSA = {"bfloat16": 7, "float32": 23}  # bits that a format keeps behind the leading one
SMALLEST_EXPONENT = -126  # of normal numbers; subnormals share their spacing
SIGNED = {np.dtype(np.uint16): np.int16, np.dtype(np.uint32): np.int32}


def ordered(bits: np.ndarray) -> np.ndarray:
    """Return integers that count the representable numbers in order; both zeros are 0.

    Parameters
    ----------
    bits : ndarray of uint16 (bfloat16) or uint32 (float32)
        The bare bits; those of a NaN count as beyond infinity.

    Returns
    -------
    ndarray of int16 or int32, same shape
    """
    signed = bits.view(SIGNED[bits.dtype])
    sign = signed >> (8 * bits.itemsize - 1)  # 0 or -1, and x ^ -1 - -1 is -x
    magnitude = signed & np.iinfo(signed.dtype).max
    magnitude ^= sign
    magnitude -= sign
    return magnitude


def nearest_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return the bits of the nearest bfloat16 of float32 values, ties to even.

    Parameters
    ----------
    bits : ndarray of uint32
        Of the float32 values; a NaN stays one.

    Returns
    -------
    ndarray of uint16, same shape
    """
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits  # carries into the kept half where the dropped one is more than half, or odd's
    rounded >>= np.uint32(16)
    nan = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    if nan.any():  # the sum may have run over
        rounded[nan] = bits[nan] >> 16 | 0x40
    return rounded.astype(np.uint16)


def ordered_bits(values: np.ndarray, format: str) -> np.ndarray:
    """Return integers that count the representable numbers in order; both zeros are 0.

    Parameters
    ----------
    values : float32 ndarray, without NaN
    format : {'bfloat16', 'float32'}

    Returns
    -------
    ndarray of int64, same shape
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    if format == "bfloat16":
        bits = nearest_bfloat16(bits)
    return ordered(bits).astype(np.int64)


def ulp_distance(before: np.ndarray, after: np.ndarray, format: str) -> np.ndarray:
    """Return how many representable numbers apart two values are, int64; exact across powers of 2.

    Parameters
    ----------
    before, after : float32 ndarray, broadcastable, without NaN
    format : {'bfloat16', 'float32'}
        The grid on which to count. Values between two of its numbers count as the nearest one.
    """
    return np.abs(ordered_bits(after, format) - ordered_bits(before, format))


def spacing(values: np.ndarray, format: str) -> np.ndarray:
    """Return the distance from each value to the next larger magnitude, float64.

    2 ** (E - p) for an exponent E and p bits of mantissa; for bfloat16 and the biased exponent of
    float32 that is 2 ** (E - 134).

    Parameters
    ----------
    values : float32 ndarray, finite
    format : {'bfloat16', 'float32'}
    """
    return np.ldexp(1.0, _exponent(values) - MANTISSA[format])


def half_ulps(values: np.ndarray, format: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the walls of round-to-nearest: how far to move before the rounded value changes.

    A move of exactly the wall is a tie: it goes to the even neighbour, so it changes an odd value
    and leaves an even one.

    Parameters
    ----------
    values : float32 ndarray, finite
    format : {'bfloat16', 'float32'}

    Returns
    -------
    towards_zero, away_from_zero : float64 ndarray
        Equal, except at a normal power of two, where the numbers below lie twice as dense.
    """
    away = spacing(values, format) / 2
    mantissa, exponent = np.frexp(np.abs(np.asarray(values, np.float64)))
    below_is_denser = (mantissa == 0.5) & (exponent - 1 > SMALLEST_EXPONENT)
    return np.where(below_is_denser, away / 2, away), away


def half_ulp_walls(values: np.ndarray) -> np.ndarray:
    """Return bfloat16's walls away from zero, float32: those of `half_ulps`, for whole blocks.

    Parameters
    ----------
    values : float32 ndarray, finite
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    power = np.maximum(bits & 0x7F800000, np.uint32(1 << MANTISSA["float32"]))
    return power.view(np.float32) * np.float32(2.0 ** -(MANTISSA["bfloat16"] + 1))


def origin_ulps(displacement: np.ndarray, start: np.ndarray, format: str) -> np.ndarray:
    """Return a displacement in ulps of its starting point, float64: not exact across powers of 2.

    Kept for comparison with the notebooks that this project comes from; see `ulp_distance`.
    """
    return np.asarray(displacement, np.float64) / spacing(start, format)


def _exponent(values: np.ndarray) -> np.ndarray:
    """Return E of |value| = 1.x * 2 ** E; that of the smallest normal for zero and subnormals."""
    _, exponent = np.frexp(np.abs(np.asarray(values, np.float64)))
    exponent = np.where(np.asarray(values) == 0, SMALLEST_EXPONENT, exponent - 1)
    return np.maximum(exponent, SMALLEST_EXPONENT)
