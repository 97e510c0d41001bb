"""How large a record will be, before its first update."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from deadtokens.errors import UserError
from deadtokens.files import folder_of
from deadtokens.recording.rule import moments_of
from deadtokens.recording.steps import group_of
from deadtokens.run import layout
from deadtokens.run.bits import format_of
from deadtokens.training.size import KEPT, KEPT_OF_SCALARS


@dataclass(frozen=True)
class Size:
    """Bytes of a recorded update: as the numbers are in the training, and on disk.

    Attributes
    ----------
    recorded : int
    kept : int
        What is left of them when they are compressed as they were in the runs of the default study.
    """

    recorded: int
    kept: int


def size_of(weight: Tensor, optimizer: Optimizer, rows: int, forward: bool) -> Size:
    """Return the size of an update of so many rows, to about a tenth on disk.

    Parameters
    ----------
    weight : Tensor
    optimizer : Optimizer
    rows : int
    forward : bool
        Whether mean hidden states and probabilities are recorded.
    """
    width, format = weight.shape[1], format_of(weight.dtype)
    tensor = rows * width * weight.element_size()
    names = ["W", "grad", *_moments(optimizer, weight)]
    means = 4 * (rows + width) * forward
    kept = sum(tensor * KEPT[name][format] for name in names) + means * KEPT_OF_SCALARS
    return Size(tensor * len(names) + means, round(kept))


def _moments(optimizer: Optimizer, weight: Tensor) -> list[str]:
    """Return the moments that an optimizer has, or will have behind its first step."""
    kind = type(optimizer)
    if kind in (Adam, AdamW):
        return ["exp_avg", "exp_avg_sq"]
    if kind is SGD:
        return ["exp_avg"] if group_of(optimizer, weight).get("momentum") else []
    return list(moments_of(optimizer, weight))


def tell_size(path: Path, size: Size, segment: int, updates: int | None) -> None:
    """Log how large a record will be, and refuse one for which there is no room.

    Parameters
    ----------
    path : Path
    size : Size
    segment : int
        Recorded updates in a file.
    updates : int or None
        Those to be recorded, if that is known.

    Raises
    ------
    UserError
        If it will not fit on its disk.
    """
    free = shutil.disk_usage(folder_of(path / "segment")).free
    memory = 2 * layout.steps_per_chunk(segment) * size.recorded  # two blocks of a chunk's steps
    said = f"{size.recorded:,} bytes a recorded update, about {size.kept:,} of them on disk"
    if updates is not None:
        total = updates * size.kept
        if total > free:
            raise UserError(
                f"{path}: {updates:,} recorded updates need about {total:,} bytes, and {free:,} "
                "are free on its disk; record fewer rows (`rows`) or updates (`every`), or make "
                "room"
            )
        said += f", about {total / 1e6:,.0f} MB in all"
    logging.getLogger(__name__).info(
        f"{path}: {said}; {free / 1e6:,.0f} MB are free; takes {memory / 1e6:,.0f} MB of memory"
    )
