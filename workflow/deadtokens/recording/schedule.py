"""Which updates are recorded: each one, every k-th, or first densely and then less so."""

from bisect import bisect_left
from collections.abc import Mapping

from deadtokens.errors import UserError
from deadtokens.models import canonical_json

EXAMPLE = "every: must be a whole number from 1 on, or such as {0: 1, 1000: 10}"


class Schedule:
    """Says of each update whether it is recorded.

    Parameters
    ----------
    every : int or mapping of int to int
        A mapping says from which update on every how manieth is recorded: with {0: 1, 1000: 10}
        those are 1, 2, ..., 1000, 1010, 1020, ...

    Raises
    ------
    UserError
        If it is neither.
    """

    def __init__(self, every: int | Mapping[int, int]):
        stages = every if isinstance(every, Mapping) else {0: every}
        if not all(type(one) is int for stage in stages.items() for one in stage):
            raise UserError(EXAMPLE)
        if min(stages, default=1) != 0 or min(stages.values()) < 1:
            raise UserError(f"{EXAMPLE}, which begins with 0")
        self.stages = dict(sorted(stages.items()))
        self._begins, self._every = list(self.stages), list(self.stages.values())

    def takes(self, update: int) -> bool:
        """Return whether an update, counted from 1, is recorded."""
        stage = bisect_left(self._begins, update) - 1
        return (update - self._begins[stage]) % self._every[stage] == 0

    def count(self, updates: int) -> int:
        """Return how many of the first so many updates are recorded."""
        ends = [*self._begins[1:], updates]
        stages = zip(self._begins, ends, self._every, strict=True)
        return sum(max(0, min(end, updates) - begin) // every for begin, end, every in stages)

    def __str__(self) -> str:
        """Return the stages as JSON."""
        return canonical_json({str(begin): every for begin, every in self.stages.items()})
