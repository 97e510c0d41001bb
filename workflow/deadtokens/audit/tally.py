"""Counting what differs between a replay and its record: values, or checksums of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from deadtokens.run.bits import bits_of
from deadtokens.trajectory.proof import checksums_differ


@dataclass(frozen=True)
class Difference:
    """The first value that differs, by update, then token, then component."""

    update: int
    token: int
    component: int
    recorded: float
    replayed: float


@dataclass
class Tally:
    """How many values of a tensor were compared, how many bit patterns differ, and by how much."""

    compared: int = 0
    differing: int = 0
    largest_ulps: int = 0
    first: Difference | None = None

    def compare(self, replayed: Tensor, recorded: Tensor, update: int, first_token: int) -> None:
        """Compare the tensors, (tokens, components), after an update."""
        self.compared += recorded.numel()
        if torch.equal(bits_of(replayed), bits_of(recorded)):
            return
        differs = bits_of(replayed) != bits_of(recorded)
        differs &= ~(replayed.isnan() & recorded.isnan())  # its pattern is the processor's choice
        if not differs.any():
            return
        self.differing += int(differs.sum())
        furthest = (_ordered(replayed) - _ordered(recorded))[differs].abs().max()
        self.largest_ulps = max(self.largest_ulps, int(furthest))
        row, component = (int(index) for index in differs.nonzero()[0])
        if self.first is None or update < self.first.update:  # tokens come in order
            values = (float(recorded[row, component]), float(replayed[row, component]))
            self.first = Difference(update, first_token + row, component, *values)


def _ordered(numbers: Tensor) -> Tensor:
    """Return the places of numbers among all of their format, int64; both zeros have one."""
    bits = bits_of(numbers)
    magnitudes = (bits & torch.iinfo(bits.dtype).max).long()
    return torch.where(bits < 0, -magnitudes, magnitudes)


@dataclass(frozen=True)
class GroupDifference:
    """The first group of rows whose checksum differs, by update, then token."""

    update: int
    first_token: int
    last_token: int


@dataclass
class ProofTally:
    """How many checksums of a tensor were compared, of how many values, and how many differ."""

    compared: int = 0
    values: int = 0
    differing: int = 0
    first: GroupDifference | None = None

    def compare(
        self, replayed: Tensor, stated: Tensor, group: int, update: int, first_token: int
    ) -> None:
        """Compare the checksums of a tensor, (tokens, components), with those of training.

        Parameters
        ----------
        replayed : Tensor of shape (tokens, components)
        stated : int32 Tensor of shape (groups,)
        group : int
            Rows in a group.
        update, first_token : int
        """
        self.compared += len(stated)
        self.values += replayed.numel()
        differs = checksums_differ(replayed, stated, group)
        self.differing += int(differs.sum())
        if differs.any() and (self.first is None or update < self.first.update):
            row = int(differs.nonzero()[0]) * group
            last = min(row + group, len(replayed)) - 1
            self.first = GroupDifference(update, first_token + row, first_token + last)
