"""The grid of representable numbers: spacing, the walls of rounding, distances in ulps.

Values are float32 arrays; those of bfloat16 are the float32 with the same value. Everything is done
on bit patterns, so that subnormals and powers of two come out right.
"""

import numpy as np

# Bits that a format keeps behind the leading one, and the low bits of a float32 that it drops.
MANTISSA = {"bfloat16": 7, "float32": 23}
DROPPED = {"bfloat16": 16, "float32": 0}
SMALLEST_EXPONENT = -126  # of normal numbers; subnormals share their spacing


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
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    magnitude = (bits & 0x7FFFFFFF) >> DROPPED[format]
    return np.where(bits >> 31, -magnitude, magnitude)


def ulp_distance(before: np.ndarray, after: np.ndarray, format: str) -> np.ndarray:
    """Return how many representable numbers apart two values are, int64; exact across powers of 2.

    Parameters
    ----------
    before, after : float32 ndarray, broadcastable, without NaN
    format : {'bfloat16', 'float32'}
        The grid on which to count. Values between two of its numbers count as the lower magnitude.
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
