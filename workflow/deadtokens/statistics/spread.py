"""Where a set of rows is and how widely it is spread, from sums over a few rows at a time.

The mean square minus the squared mean would cancel where rows lie far from zero and near each
other. Offsets from one of the rows are as small as the set is wide, and nothing cancels.
"""

import numpy as np

from deadtokens.loops import compiled


class Spread:
    """Sums over rows, in float64, of their offsets from the first of them.

    Parameters
    ----------
    components, steps : int
        The rows have so many components, at so many steps, each a set of its own.
    """

    def __init__(self, components: int, steps: int):
        self.rows = 0
        self.first, self.offset = np.zeros((2, components, steps))
        self.square = np.zeros(steps)

    def add(self, rows: np.ndarray) -> None:
        """Add rows, float32 (rows, components, steps)."""
        if not len(rows):
            return
        if not self.rows:
            self.first[:] = rows[0]
        self.rows += len(rows)
        _add(np.ascontiguousarray(rows), self.first, self.offset, self.square)

    @property
    def centroid(self) -> np.ndarray:
        """The rows' mean, (components, steps); NaN without rows."""
        if not self.rows:
            return np.full(self.first.shape, np.nan)
        return self.first + self.offset / self.rows

    @property
    def variance(self) -> np.ndarray:
        """The mean squared distance from the centroid, (steps,); NaN without rows."""
        if not self.rows:
            return np.full(self.square.shape, np.nan)
        return (
            np.maximum(self.square - np.square(self.offset).sum(axis=0) / self.rows, 0) / self.rows
        )


@compiled
def _add(rows: np.ndarray, first: np.ndarray, offset: np.ndarray, square: np.ndarray) -> None:
    for component in range(rows.shape[1]):
        for row in range(len(rows)):
            _add_offsets(rows[row, component], first[component], offset[component], square)


@compiled
def _add_offsets(
    values: np.ndarray, first: np.ndarray, total: np.ndarray, square: np.ndarray
) -> None:
    for step in range(len(values)):
        offset = values[step] - first[step]
        total[step] += offset
        square[step] += offset * offset
