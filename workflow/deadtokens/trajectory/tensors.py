"""Bit patterns as torch's tensors; apart, because many an analysis needs no torch."""

import numpy as np
import torch
from torch import Tensor

SIGNED = {"bfloat16": np.int16, "float32": np.int32}


def as_tensor(bits: np.ndarray, format: str) -> Tensor:
    """Return bit patterns, uint16 or uint32, as the numbers that they are, in place."""
    return torch.from_numpy(bits.view(SIGNED[format])).view(getattr(torch, format))
