"""How large a record will be, before it is made."""

import logging
import math
import shutil
from pathlib import Path

from deadtokens.errors import UserError
from deadtokens.files import ensure_writable, largest_file
from deadtokens.run import layout
from deadtokens.run.precision import BYTES, REGIMES, Regime
from deadtokens.run.spec import RunSpec

# Bytes on disk per recorded byte, measured over the default study's runs of 1,500 updates: W and
# the second moment shrink because they settle, the mantissas of gradients are noise.
KEPT = {
    "W": {"bfloat16": 0.20, "float32": 0.64},
    "grad": {"bfloat16": 0.65, "float32": 0.84},
    "exp_avg": {"bfloat16": 0.60, "float32": 0.81},
    "exp_avg_sq": {"bfloat16": 0.12, "float32": 0.59},
}
# In `mixed`, gradients are float32, but what comes from the logits was bfloat16.
KEPT_IN_MIXED = {"grad": 0.43, "grad_output": 0.31}
KEPT_OF_SCALARS = 0.78  # mean hidden state and probabilities, float32
KEPT_OF_FIRST_STATES = 0.75  # of tensors that are replayed
BYTES_PER_TOKEN = 250  # census and index of the chunks


def recorded_formats(regime: Regime) -> dict[str, str]:
    """Return the number format in which each tensor of a regime is recorded."""
    weights, moments = regime.weights, regime.moments
    gradients = dict.fromkeys(("grad", *layout.PATHWAYS), regime.parameters)
    return {"W": weights, "exp_avg": moments, "exp_avg_sq": moments} | gradients


def predicted_bytes(spec: RunSpec, tokens: int) -> int:
    """Return how large one segment of a run will be on disk, to about a tenth.

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    regime, updates = REGIMES[spec.precision], spec.record.segment
    formats = recorded_formats(regime)
    tensors = 0.0
    for name in spec.record.stored:
        steps = updates + (name in layout.STATE_TENSORS)
        recorded = BYTES[formats[name]] * tokens * spec.width * steps
        tensors += _kept(spec, name, formats[name], tokens) * recorded
    scalars = KEPT_OF_SCALARS * 4 * (tokens + spec.width) * updates
    replayed = _bytes_for_replay(spec, tokens, formats)
    return round(tensors + scalars + replayed + BYTES_PER_TOKEN * tokens)


def checkpoint_bytes(spec: RunSpec, tokens: int) -> int:
    """Return how large a checkpoint of a run will be: every weight with its two moments.

    Parameters
    ----------
    spec : RunSpec
    tokens : int
        Size of the vocabulary.
    """
    width, formats = spec.width, recorded_formats(REGIMES[spec.precision])
    block = 12 * width**2 + 13 * width  # four layers of the attention, two of the MLP, two norms
    rows = tokens * (1 if spec.tied else 2) + spec.context + 2
    weights = rows * width + spec.layers * block
    saved = ("grad", "exp_avg", "exp_avg_sq")  # a parameter has the format of its gradient
    return weights * sum(BYTES[formats[name]] for name in saved)


def _kept(spec: RunSpec, name: str, number_format: str, tokens: int) -> float:
    """Return how many bytes of a tensor are on disk for each recorded one."""
    like = KEPT["grad" if name in layout.PATHWAYS else name][number_format]
    if name == "grad_input":  # rows that no position of the batch reads are zero
        return like * min(1, spec.batch * spec.context / tokens)
    regime = REGIMES[spec.precision]
    if regime.parameters == "float32" and regime.arithmetic == "bfloat16":
        return KEPT_IN_MIXED.get(name, like)
    return like


def _bytes_for_replay(spec: RunSpec, tokens: int, formats: dict[str, str]) -> float:
    """Return the bytes of first states and checksums, for tensors that will be replayed."""
    updates = spec.record.segment
    sizes = {"token": tokens, "component": spec.width, "state": updates + 1, "update": updates}
    checksums = 4 * (updates + 1) * math.ceil(tokens / layout.rows_per_group(sizes))
    return sum(
        KEPT_OF_FIRST_STATES * BYTES[formats[name]] * tokens * spec.width + checksums
        for name in layout.replayed(spec.record.tensors)
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
