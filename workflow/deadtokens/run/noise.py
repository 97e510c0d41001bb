"""The noise of stochastic rounding: a function of (seed, parameter, update, element) alone."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Multipliers and shifts of a 32-bit mixing function with full avalanche ("lowbias32", C. Wellons,
# Prospecting for Hash Functions, 2018).
MULTIPLIERS = (0x7FEB352D, 0x846CA68B)
SHIFTS = (16, 15, 16)
WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Noise:
    """Random bits that any element can have again without those before it.

    Attributes
    ----------
    seed : int
        The run's.
    parameter : str
        Its name in the model.
    first : int, default=0
        Number of the first element, for a part of a parameter.
    """

    seed: int
    parameter: str
    first: int = 0

    def bits(self, update: int, like: Tensor) -> Tensor:
        """Return 16 random bits an element, int32 in 0..65535, of the shape of `like`."""
        stop = self.first + like.numel()
        element = torch.arange(self.first, stop, dtype=torch.int32, device=like.device)
        return random_bits_(element, self.words(update)).view(like.shape)

    def words(self, update: int) -> tuple[int, int]:
        """Return the two int32 numbers that an update mixes into the number of every element."""
        key = _mixed(_mixed(self.seed) ^ _mixed(zlib.crc32(self.parameter.encode())) ^ update)
        return _signed(key), _signed(_mixed(key ^ WORD))


def random_bits_(element: Tensor, words: Sequence[int] | Sequence[Tensor]) -> Tensor:
    """Return the bits of `Noise.bits`, of the int32 numbers of elements, which are overwritten.

    The words of the update are Python's numbers or int32 tensors, one for all or one an element.
    """
    element ^= words[0]
    mix_(element)
    element += words[1]
    mix_(element)
    return element.bitwise_and_(0xFFFF)


def _mixed(word: int) -> int:
    """Return the mixing function of a Python integer, of which 32 bits count."""
    word &= WORD
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        word ^= word >> shift
        word = word * multiplier & WORD
    return word


def mix_(words: Tensor) -> None:
    """Apply the mixing function to int32 words in place; shifts must not carry the sign."""
    for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, 1), strict=True):
        words ^= (words >> shift) & ((1 << 32 - shift) - 1)
        if multiplier != 1:
            words *= _signed(multiplier)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word
