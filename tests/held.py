"""Embedding matrices that are held in memory, in any format."""

from dataclasses import dataclass

import ml_dtypes
import numpy as np

from deadtokens.matrices.matrix import Matrix

BLOCK = 32  # components that share a step of a quantization
DTYPES = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16, "float32": np.float32}
KEPT = {"bfloat16": 8, "float16": 11, "float32": 24}  # bits of a number
SMALLEST = {"bfloat16": -133, "float16": -24, "float32": -149}  # exponent of the smallest step


@dataclass(frozen=True)
class Held(Matrix):
    """A matrix of given values; of a quantization with given steps, one a block."""

    values: np.ndarray
    steps: np.ndarray | None = None

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.values[start:stop]

    def units(self, start: int, stop: int) -> np.ndarray:
        if self.steps is not None:
            return np.repeat(self.steps[start:stop], BLOCK, axis=1)
        return units_of(self.values[start:stop], self.format)


def units_of(values: np.ndarray, format: str) -> np.ndarray:
    """Return the spacing of the format's numbers at each value, by its exponent."""
    exponent = np.frexp(np.abs(values.astype(np.float64)))[1] - KEPT[format]
    exponent = np.where(values == 0, SMALLEST[format], exponent)
    return np.ldexp(1.0, np.maximum(exponent, SMALLEST[format])).astype(np.float32)


def held(values: np.ndarray, format: str = "float32") -> Held:
    """Return a matrix of values, rounded to the format first."""
    rounded = np.asarray(values).astype(DTYPES[format]).astype(np.float32)
    return Held("held", *rounded.shape, format, rounded)


def quantized(whole: np.ndarray, steps: np.ndarray) -> Held:
    """Return a matrix of whole numbers of steps, as Q8_0 has them: a step for each block.

    Steps are float16 numbers, so the products are exact.
    """
    steps = steps.astype(np.float16).astype(np.float32)
    values = whole.astype(np.float32) * np.repeat(steps, BLOCK, axis=1)
    return Held("held", *values.shape, "q8_0", values, steps)
