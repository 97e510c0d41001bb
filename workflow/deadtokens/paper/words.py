"""Numbers and names as the paper writes them."""

import math
from collections.abc import Iterable

from deadtokens.text.readable import readable

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIGITS = 3  # significant ones
UNDEFINED = "–"
WHOLE = 1e12
LONGEST = 60  # characters of a name that a file gives
SMALLEST, LARGEST = 1e-3, 1e5  # written without a power of ten


def number(value: float | None) -> str:
    """Write a number with three significant digits, a whole one up to a trillion with all of them.

    >>> number(4096), number(0.97557), number(2.438e-5), number(None)
    ('4,096', '0.976', '2.44 × 10⁻⁵', '–')
    """
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if value == int(value) and abs(value) < WHOLE:
        return f"{int(value):,}".replace("-", "−")
    if not SMALLEST <= abs(value) < LARGEST:
        mantissa, exponent = f"{value:.{DIGITS - 1}e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")
    places = max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}".replace("-", "−")


def exact(value: float) -> str:
    """Write a setting as it was given."""
    return number(value) if value == int(value) else f"{value:g}".replace("e-0", "e-")


def interval(low: float | None, high: float | None) -> str:
    """Write an interval, nothing where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{number(low)} to {number(high)}"


def size(bytes_: float) -> str:
    """Write a number of bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= factor:
            return f"{number(bytes_ / factor)} {unit}"
    return f"{number(bytes_)} bytes"


def percent(share: float) -> str:
    """Write a share of one."""
    return f"{number(100 * share)} %"


def counted(count: int, one: str, many: str) -> str:
    """Write how many of something there are.

    >>> counted(1, "matrix", "matrices"), counted(3, "matrix", "matrices")
    ('1 matrix', '3 matrices')
    """
    return f"{number(count)} {one if count == 1 else many}"


def shown(name: str) -> str:
    """Write a name from a file, which may be anything, as one printable line that is not too long.

    >>> shown("wte.weight"), shown("evil\x1b[31m"), len(shown("a" * 100_000))
    ('wte.weight', 'evil\\x1b[31m', 60)
    """
    line = readable(name.encode(errors="backslashreplace"))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def listing(words: Iterable[str]) -> str:
    """Join words with commas and a last 'and'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
