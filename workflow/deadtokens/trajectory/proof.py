"""Checksums of state tensors, taken during training: they prove that a replay gives the true bits.

A row's 16-bit halves, times odd multipliers, are summed modulo 2 ** 32, and so are the sums of a
group's rows. An odd multiplier takes no difference below 2 ** 32 to zero, so a change of a single
value, or of one half in a single row, is always noticed; any other with odds of about 2 ** -32, and
of 2 ** -17 at worst, where only the highest bits of halves differ.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from deadtokens.run.bits import format_of
from deadtokens.run.noise import mix_

WITHIN_ROWS, OF_ROWS = 0, 1 << 30  # where each series of multipliers begins


def checksums(tensor: Tensor, rows: int) -> Tensor:
    """Return the checksum of each group of rows.

    Parameters
    ----------
    tensor : bfloat16 or float32 Tensor of shape (tokens, components), rows contiguous
    rows : int
        Rows in a group; the last group has those that are left.

    Returns
    -------
    int32 Tensor of shape (groups,)
        Of 32 bits, on the device of `tensor`.
    """
    halves = tensor.view(torch.int16).int()
    halves *= multipliers(halves.shape[1], WITHIN_ROWS, halves.device)
    of_rows = halves.sum(1, dtype=torch.int32)
    groups = F.pad(of_rows, (0, -len(of_rows) % rows)).view(-1, rows)
    return (groups * multipliers(rows, OF_ROWS, halves.device)).sum(1, dtype=torch.int32)


def checksums_differ(tensor: Tensor, stated: Tensor, rows: int) -> Tensor:
    """Return for each group of rows whether its checksum is not the stated one, bool (groups,).

    A group with a NaN is not compared: which of its patterns a NaN has, each processor chooses.
    """
    differs = checksums(tensor, rows) != stated
    if differs.any():
        nan = F.pad(tensor.isnan().any(1), (0, -len(tensor) % rows)).view(-1, rows).any(1)
        differs &= ~nan
    return differs


@cache
def multipliers(count: int, first: int, device: torch.device) -> Tensor:
    """Return odd numbers of 32 mixed bits, int32 of shape (count,)."""
    numbers = torch.arange(first, first + count, dtype=torch.int32)
    mix_(numbers)
    return (numbers | 1).to(device)


class Proof:
    """What is kept of a state tensor that a replay is to give back: its first bits, checksums.

    The checksums stay on the tensor's device until they are read: training does not wait.

    Parameters
    ----------
    states, rows : int
        States of the segment at most; rows in a group.
    """

    def __init__(self, states: int, rows: int):
        self.states, self.rows = states, rows
        self.first: Tensor | None = None
        self.sums: Tensor | None = None

    @property
    def recorded_dtype(self) -> str:
        """The format of the tensor, '' if there was none."""
        return "" if self.first is None else format_of(self.first.dtype)

    def put(self, step: int, tensor: Tensor) -> None:
        """Take the next state of the tensor, (tokens, components)."""
        sums = checksums(tensor.detach(), self.rows)
        if self.first is None:
            self.first = tensor.detach().cpu().clone()
            self.sums = sums.new_empty((self.states, len(sums)))
        if tensor.dtype != self.first.dtype:
            raise TypeError(f"{tensor.dtype} after {self.first.dtype}")
        self.sums[step] = sums

    def taken(self, states: int) -> np.ndarray:
        """Return the checksums of so many first states, uint32 of shape (groups, states)."""
        return self.sums[:states].T.cpu().numpy().view(np.uint32)
