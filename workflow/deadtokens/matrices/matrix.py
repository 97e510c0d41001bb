"""An embedding matrix in a file, whose rows are read when they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deadtokens.ulp import spacing

PIECE = 2**25  # bytes of float32 values that are in memory together


@dataclass(frozen=True)
class Matrix(ABC):
    """A matrix with a row for each token, never in memory as a whole.

    Attributes
    ----------
    name : str
        What its file calls it.
    tokens, width : int
        Its shape.
    format : str
        Of its numbers in the file: 'float32', 'bfloat16', 'float16', or a quantization ('q8_0').
    """

    name: str
    tokens: int
    width: int
    format: str

    @abstractmethod
    def rows(self, start: int, stop: int) -> np.ndarray:
        """Return the values of some rows, exactly: float32 (stop - start, width)."""

    @abstractmethod
    def units(self, start: int, stop: int) -> np.ndarray:
        """Return the distance from each value to its neighbour in the format, float32.

        The spacing of the format's numbers there (`ulp.spacing`), or the step of a quantization;
        of the shape of `rows`, or one that broadcasts to it.
        """

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield all rows, a few at a time, and the number of the first of them."""
        for start in range(0, self.tokens, self.rows_of_piece):
            yield start, self.rows(start, min(start + self.rows_of_piece, self.tokens))

    @property
    def rows_of_piece(self) -> int:
        """How many rows are in memory together."""
        return max(1, PIECE // (4 * self.width))

    def gathered(self, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the values of some rows, wherever they are, and the units there."""
        values = np.empty((len(rows), self.width), np.float32)
        units = np.empty_like(values)
        for index, row in enumerate(rows):
            values[index] = self.rows(row, row + 1)[0]
            units[index] = self.units(row, row + 1)[0]
        return values, units


@dataclass(frozen=True)
class Array(Matrix):
    """A matrix in memory, of float32 numbers or of such as float32 holds.

    Attributes
    ----------
    values : float32 ndarray of shape (tokens, width)
    """

    values: np.ndarray

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.values[start:stop]

    def units(self, start: int, stop: int) -> np.ndarray:
        return spacing(self.values[start:stop], self.format).astype(np.float32)


@dataclass(frozen=True)
class Model:
    """What a model's files say of its tokens.

    Attributes
    ----------
    embedding : Matrix
        Of the inputs.
    unembedding : Matrix or None
        Of the outputs; None if it is the embedding too (tied), or if the files have none.
    metadata : dict of str to object
        What else the file says in its header: of a GGUF file its keys and values, arrays as lists.
    """

    embedding: Matrix
    unembedding: Matrix | None
    metadata: dict[str, object]
