"""How large a record will be, before it is made."""

import logging
import math
import shutil
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable, largest_file
from deadtokens.run import layout
from deadtokens.run.precision import BYTES, REGIMES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import carried_formats, formats, is_coupled, replayed, stored

# Bytes on disk per recorded byte, measured over the default study's runs of 1,500 updates: W and
# the second moment shrink because they settle, the mantissas of gradients are noise.
KEPT = {
    "W": {"bfloat16": 0.20, "float32": 0.64},
    "grad": {"bfloat16": 0.65, "float32": 0.84},
    "exp_avg": {"bfloat16": 0.60, "float32": 0.81},
    "exp_avg_sq": {"bfloat16": 0.12, "float32": 0.59},
    "compensation": {"bfloat16": 0.62},
}
# In `mixed`, gradients are float32, but what comes from the logits was bfloat16.
KEPT_IN_MIXED = {"grad": 0.43, "grad_output": 0.31}
KEPT_OF_SCALARS = 0.78  # mean hidden state and probabilities, float32
KEPT_OF_FIRST_STATES = 0.75  # of tensors that are replayed
BYTES_PER_TOKEN = 250  # census and index of the chunks


def predicted_bytes(spec: RunSpec, tokens: int) -> int:
    """Return how large one segment of a run will be on disk, to about a tenth.

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    updates, tensors = spec.record.segment, 0.0
    for name in stored(spec):
        steps = updates + (name in layout.STATE_TENSORS)
        recorded = BYTES[formats(spec)[name]] * tokens * spec.width * steps
        tensors += _kept(spec, name, tokens) * recorded
    values = tokens + spec.width * (1 + is_coupled(spec))
    scalars = KEPT_OF_SCALARS * 4 * values * updates
    for_replay = _bytes_for_replay(spec, tokens)
    return round(tensors + scalars + for_replay + BYTES_PER_TOKEN * tokens)


def checkpoint_bytes(spec: RunSpec, tokens: int) -> int:
    """Return how large a checkpoint of a run will be: every weight with what is carried beside it.

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    width = spec.width
    block = 12 * width**2 + 13 * width  # four layers of the attention, two of the MLP, two norms
    rows = tokens * (1 if spec.tied else 2) + spec.context + 2
    weights = rows * width + spec.layers * block
    saved = (REGIMES[spec.precision].parameters, *carried_formats(spec).values())
    return weights * sum(BYTES[format] for format in saved)


def _kept(spec: RunSpec, name: str, tokens: int) -> float:
    """Return how many bytes of a tensor are on disk for each recorded one."""
    like = KEPT["grad" if name in layout.PATHWAYS else name][formats(spec)[name]]
    if name == "grad_input":  # rows that no position of the batch reads are zero
        return like * min(1, spec.batch * spec.context / tokens)
    regime = REGIMES[spec.precision]
    if regime.parameters == "float32" and regime.arithmetic == "bfloat16":
        return KEPT_IN_MIXED.get(name, like)
    return like


def _bytes_for_replay(spec: RunSpec, tokens: int) -> float:
    """Return the bytes of first states and checksums, for tensors that will be replayed."""
    updates = spec.record.segment
    sizes = {"token": tokens, "component": spec.width, "state": updates + 1, "update": updates}
    checksums = 4 * (updates + 1) * math.ceil(tokens / layout.rows_per_group(sizes))
    return sum(
        KEPT_OF_FIRST_STATES * BYTES[formats(spec)[name]] * tokens * spec.width + checksums
        for name in replayed(spec)
    )


def ensure_room(spec: RunSpec, tokens: int, path: Path) -> int:
    """Log how large the segment at `path` will be, and return it, in bytes.

    Raises
    ------
    UserError
        If there is less room than that, or the file may not be so large.
    """
    needed, most = predicted_bytes(spec, tokens), largest_file()
    if most is not None and most < needed:
        raise UserError(
            f"{path}: the segment needs about {needed:,} bytes, and a file may have {most:,} here "
            "(ulimit -f); raise the limit, or make segments shorter (record.segment)"
        )
    ensure_writable(path)
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise UserError(
            f"{path}: the segment needs about {needed:,} bytes, and {free:,} are free on its disk; "
            "make room, or record fewer tensors (record.tensors)"
        )
    logging.getLogger(__name__).info(
        f"{path}: about {needed / 1e6:,.0f} MB, of {free / 1e6:,.0f} MB free"
    )
    return needed
