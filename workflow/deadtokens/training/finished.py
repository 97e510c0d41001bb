"""Whether a segment is there already, finished by a job that was ended and is tried again.

A cluster ends jobs at their time limit, or moves them: then a whole chain of segments is asked for
again, and the time goes into those that are missing. What is there counts as finished if it is,
to the last bit, what would be computed: made by the same code from the same files on the same
machine. It is taken over only where the caller names the code; else every segment is trained.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deadtokens.errors import UserError
from deadtokens.models import short_digest
from deadtokens.run.machine import Machine
from deadtokens.seal import check_seal, crc32
from deadtokens.training.checkpoint import read_saved


def making_of(run: Sequence[Any], code: str, inputs: Sequence[Path]) -> str:
    """Return a digest of all that determines a segment and its checkpoint, but for the machine.

    Parameters
    ----------
    run : sequence
        What is known of the run and the segment, as JSON takes it.
    code : str
        Fingerprint of the training's code.
    inputs : sequence of Path
        The files that it is trained from.
    """
    return short_digest([*run, code, *map(crc32, inputs)])


def is_finished(trajectory: Path, checkpoint: Path, making: str, machine: Machine | None) -> bool:
    """Return whether both files are there, whole, and would be made again as they are.

    Parameters
    ----------
    trajectory, checkpoint : Path
    making : str
        As `making_of` gives it.
    machine : mapping of str to str or None
        Where they must have been made; None if that may be anywhere.
    """
    try:
        saved = read_saved(checkpoint)
        check_seal(trajectory)
    except UserError:
        return False
    return saved.making == making and machine in (None, saved.machine)
