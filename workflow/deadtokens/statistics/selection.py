"""The value at one place of very many, without sorting them."""

import numpy as np

from deadtokens.loops import compiled

# The digits of a float64's pattern, by their lowest bits: sign and exponent, then of the mantissa.
DIGITS = (52, 40, 28, 16, 4, 0)
VALUES_OF_DIGIT = 1 << 12


@compiled
def value_at(values, place):
    """Return the float64 that would stand at a place, from 0, if values without a sign were sorted.

    Digit by digit of the patterns, which have the order of the numbers: the values are counted by
    the digit, and those are kept whose digit holds the place. On all processors about as fast as
    numpy's fastest sort, which in some takes six times as long (AVX-512 on AMD Zen 4).
    """
    patterns = values.view(np.int64)
    for lowest in DIGITS:
        count = np.zeros(VALUES_OF_DIGIT, np.int64)
        for pattern in patterns:
            count[digit_of(pattern, lowest)] += 1
        digit = 0
        while place >= count[digit]:
            place -= count[digit]
            digit += 1
        patterns = keep(patterns, lowest, digit, count[digit])
    return patterns.view(np.float64)[0]


@compiled
def digit_of(pattern, lowest):
    """Return the digit of a pattern that begins with its bit `lowest`."""
    return pattern >> lowest & VALUES_OF_DIGIT - 1


@compiled
def keep(patterns, lowest, digit, number):
    """Return the patterns with that digit, of which there are so many."""
    kept, place = np.empty(number, np.int64), 0
    for pattern in patterns:
        if digit_of(pattern, lowest) == digit:
            kept[place] = pattern
            place += 1
    return kept
