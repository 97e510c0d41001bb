"""Bit patterns of torch's tensors; apart from `formats`, for many an analysis needs no torch."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from deadtokens.run.formats import signed

# Of a number's bit pattern: torch's unsigned integers can do little.
INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


def bits_of(tensor: Tensor) -> Tensor:
    """Return the bit patterns of bfloat16 or float32 numbers as signed integers, in place."""
    return tensor.view(INTEGERS[tensor.dtype])


def unsigned(bits: Tensor) -> np.ndarray:
    """Return bit patterns, as `bits_of` gives them, as numpy's uint16 or uint32, in place."""
    patterns = bits.numpy()
    return patterns.view(f"u{patterns.itemsize}")


def as_tensor(bits: np.ndarray, format: str) -> Tensor:
    """Return bit patterns, uint16 or uint32, as the numbers that they are, in place."""
    return torch.from_numpy(signed(bits)).view(getattr(torch, format))


def as_tensors(bits: Mapping[str, np.ndarray], formats: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the same of several, each in its format, by name."""
    return {name: as_tensor(patterns, formats[name]) for name, patterns in bits.items()}


def format_of(dtype: torch.dtype) -> str:
    """Return a number format's name: 'bfloat16' or 'float32'."""
    return str(dtype).removeprefix("torch.")
