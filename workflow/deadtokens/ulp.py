"""The grid of representable numbers: nearest ones, spacing, the walls of rounding.

Values are float32 arrays; those of a narrower format are the float32 with the same value.
Everything is done on bit patterns, so that subnormals and powers of two come out right. These are
the definitions; what is done to every weight of every update is compiled, in `freezing.steps` and
`stillness.causes`, and held against them.

A float32 value has a place on bfloat16's grid too: the number that it becomes when it is rounded to
nearest, ties to even, as every cast of torch and every regime that rounds once into its weights
does it. How many of the grid's steps a float32 weight moved is how far a bfloat16 copy of it would
have moved, such as autocast makes for every product.
"""

import numpy as np

from deadtokens.run.formats import (
    EXPONENT,
    MANTISSA,
    SMALLEST_EXPONENT,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
)


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


def spacing(values: np.ndarray, format: str) -> np.ndarray:
    """Return the distance from each value to the next larger magnitude, float64.

    2 ** (E - p) for an exponent E and p bits of mantissa; for bfloat16 and the biased exponent of
    float32 that is 2 ** (E - 134).

    Parameters
    ----------
    values : float32 ndarray, finite
    format : {'bfloat16', 'float16', 'float32'}
    """
    return np.ldexp(1.0, _exponent(values, format) - MANTISSA[format])


def half_ulps(values: np.ndarray, format: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the walls of round-to-nearest: how far to move before the rounded value changes.

    A move of exactly the wall is a tie: it goes to the even neighbour, so it changes an odd value
    and leaves an even one.

    Parameters
    ----------
    values : float32 ndarray, finite
    format : {'bfloat16', 'float16', 'float32'}

    Returns
    -------
    towards_zero, away_from_zero : float64 ndarray
        Equal, except at a normal power of two, where the numbers below lie twice as dense.
    """
    away = spacing(values, format) / 2
    mantissa, exponent = np.frexp(np.abs(np.asarray(values, np.float64)))
    below_is_denser = (mantissa == 0.5) & (exponent - 1 > SMALLEST_EXPONENT[format])
    return np.where(below_is_denser, away / 2, away), away


def half_ulp_walls(values: np.ndarray) -> np.ndarray:
    """Return bfloat16's walls away from zero, float32: those of `half_ulps`, for whole blocks.

    Parameters
    ----------
    values : float32 ndarray, finite
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    power = np.maximum(bits & EXPONENT, SMALLEST_NORMAL)
    return power.view(np.float32) * np.float32(UNIT_ROUNDOFF["bfloat16"])


def _exponent(values: np.ndarray, format: str) -> np.ndarray:
    """Return E of |value| = 1.x * 2 ** E; that of the smallest normal for zero and subnormals."""
    _, exponent = np.frexp(np.abs(np.asarray(values, np.float64)))
    smallest = SMALLEST_EXPONENT[format]
    exponent = np.where(np.asarray(values) == 0, smallest, exponent - 1)
    return np.maximum(exponent, smallest)
