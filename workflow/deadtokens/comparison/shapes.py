"""What an experiment varies, the shapes that this has, and the kinds of contrasts that it allows.

Whether a figure can be drawn of an experiment follows from this alone, before a run is trained and
from ``outcomes.nc`` alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from deadtokens.comparison.settings import SEEDS, number, varying, written

PRECISION = "precision"
MOST_LEVELS = 4  # of a key of a grid: lines and panels that can be told apart
POINTS = 3  # of a line along a number
EFFECT, MAIN, INTERACTION = "effect", "main effect", "interaction"  # kinds of contrasts


@dataclass(frozen=True)
class Varied:
    """In what the runs of an experiment differ, the seeds left aside.

    Attributes
    ----------
    keys : tuple of str
    settings : tuple of tuple of str
        The values of the keys as they are written, of each run.
    numbers : tuple of tuple of float
        The same as numbers, NaN where they are none.
    """

    keys: tuple[str, ...]
    settings: tuple[tuple[str, ...], ...]
    numbers: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, specs: Sequence[Mapping[str, Any]]) -> "Varied":
        """Return what differs between runs whose settings are given by flat key."""
        keys = tuple(key for key in varying(specs) if key not in SEEDS)
        return cls(
            keys,
            tuple(tuple(written(spec.get(key)) for key in keys) for spec in specs),
            tuple(tuple(number(key, spec) for key in keys) for spec in specs),
        )

    def levels(self, key: str) -> list[str]:
        """Return the values of a key, each once: numbers ascending, others as they come."""
        place = self.keys.index(key)
        rows = zip(self.settings, self.numbers, strict=True)
        numbers = {setting[place]: values[place] for setting, values in rows}
        if any(math.isnan(value) for value in numbers.values()):
            return list(numbers)
        return sorted(numbers, key=numbers.get)

    def others(self, key: str) -> list[tuple[str, ...]]:
        """Return of each run the values of all keys but one."""
        place = self.keys.index(key)
        return [setting[:place] + setting[place + 1 :] for setting in self.settings]

    def points(self, key: str) -> int:
        """Return at how many numbers a key stands, at most, while all else is equal."""
        place = self.keys.index(key)
        lines: dict[tuple[str, ...], set[float]] = {}
        for other, numbers in zip(self.others(key), self.numbers, strict=True):
            lines.setdefault(other, set()).add(numbers[place])
        is_number = not any(math.isnan(numbers[place]) for numbers in self.numbers)
        return max(map(len, lines.values()), default=0) if is_number else 0


class Shape(NamedTuple):
    """What a figure needs of an experiment.

    Attributes
    ----------
    needs : str
        In words, what the experiment has to vary.
    fits : callable
        Tells whether it does.
    """

    needs: str
    fits: Callable[[Varied], bool]


def grid_keys(varied: Varied) -> tuple[str, ...]:
    """Return the keys of a grid: along the axis, by lines and, of three, by panels.

    The precision comes last of two or three: it is what the others are crossed with.
    """
    return tuple(sorted(varied.keys, key=lambda key: key == PRECISION))


def swept_key(varied: Varied) -> str:
    """Return the key along which a sweep goes: the one at most numbers while all else is equal."""
    return max(varied.keys, key=varied.points)


def _is_grid(varied: Varied) -> bool:
    levels = [len(varied.levels(key)) for key in varied.keys]
    full = len(set(varied.settings)) == math.prod(levels)
    return full and len(levels) in (2, 3) and max(levels) <= MOST_LEVELS


ANY = Shape("runs", lambda varied: True)
SEVERAL = Shape("two settings or more", lambda varied: len(set(varied.settings)) > 1)
GRID = Shape(
    f"two or three keys over a full grid, each with at most {MOST_LEVELS} values", _is_grid
)
SWEEP = Shape(
    f"a number over {POINTS} values or more while all else is equal",
    lambda varied: any(varied.points(key) >= POINTS for key in varied.keys),
)
REGIMES = Shape(
    f"nothing but `{PRECISION}`, over {POINTS} values or more",
    lambda varied: varied.keys == (PRECISION,) and len(varied.levels(PRECISION)) >= POINTS,
)
