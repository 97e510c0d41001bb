"""Where a tensor's steps are collected until a block is full: two blocks, used in turn.

A staged tensor is (steps, tokens, components), as training has it; a block on disk has the steps
last. On the CPU the threads that compress transpose as they go, chunk by chunk. On a GPU it
transposes the whole block, and a stream beside training's copies it to pinned memory.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from deadtokens.run.bits import INTEGERS, bits_of, unsigned

PADDING = 32  # values between two steps


class HostStaging:
    """Two blocks in the host's memory."""

    def __init__(self, steps: int, like: Tensor):
        self.dtype = like.dtype
        # Without the padding, equal places of all steps would share one set of the cache, and the
        # transposition would take twice as long.
        padded = torch.empty((2, steps, like.numel() + PADDING), dtype=INTEGERS[like.dtype])
        self.blocks = padded[..., : like.numel()].unflatten(-1, like.shape)

    def put(self, slot: int, step: int, tensor: Tensor) -> None:
        """Copy the bits of a tensor, (tokens, components), to its place."""
        self.blocks[slot, step].copy_(bits_of(tensor.detach()))

    def holds(self, steps: int, like: Tensor) -> bool:
        """Return whether it is for blocks of so many tensors that are like `like`."""
        mine = self.blocks
        return self.dtype == like.dtype and (mine.shape[1:], mine.device) == (
            (steps, *like.shape),
            like.device,
        )

    def get(self, slot: int, step: int) -> Tensor:
        """Return a step's tensor, (tokens, components), in place."""
        return self.blocks[slot, step].view(self.dtype)

    def clear_from(self, slot: int, step: int) -> None:
        """Set the steps from `step` on to zero."""
        self.blocks[slot, step:] = 0

    def take(self, slot: int) -> tuple[np.ndarray, Callable[[], None]]:
        """Return a block's bits, (tokens, components, steps), and what to call before reading."""
        return unsigned(self.blocks[slot].permute(1, 2, 0)), lambda: None


class CudaStaging(HostStaging):
    """Two blocks on the GPU, and two in pinned memory to which they are copied.

    Training's stream waits for nothing but the copy of the block that it is about to overwrite,
    two blocks ago. The caller takes a slot only after the threads have read its last content.
    """

    def __init__(self, steps: int, like: Tensor):
        self.dtype = like.dtype
        self.blocks = torch.empty(
            (2, steps, *like.shape), dtype=INTEGERS[like.dtype], device=like.device
        )
        shape = (2, *like.shape, steps)
        self.pinned = torch.empty(shape, dtype=self.blocks.dtype, pin_memory=True)
        self.stream = torch.cuda.Stream(like.device)
        self.copied = [torch.cuda.Event(), torch.cuda.Event()]

    def put(self, slot: int, step: int, tensor: Tensor) -> None:
        if step == 0:
            torch.cuda.current_stream().wait_event(self.copied[slot])
        super().put(slot, step, tensor)

    def take(self, slot: int) -> tuple[np.ndarray, Callable[[], None]]:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            transposed = self.blocks[slot].permute(1, 2, 0).contiguous()
            self.pinned[slot].copy_(transposed, non_blocking=True)
            self.copied[slot].record()
        return unsigned(self.pinned[slot]), self.copied[slot].synchronize


def stage(steps: int, like: Tensor) -> HostStaging:
    """Return the staging for blocks of `steps` tensors that are like `like`."""
    return CudaStaging(steps, like) if like.is_cuda else HostStaging(steps, like)
