"""The layout of a trajectory's segments: names, axes, meanings and chunks, for writer and reader.

A segment covers the updates (a, b] and holds the states a..b, so that it explains itself alone. On
disk the step axis is the last, fastest one: a weight that hardly changes then is a run of equal
values, which deflate shrinks several times better than the other order.

A record of others' trainings may leave updates out: its axes then hold the numbers of those that it
has. State u is the one after update u, and the gradient at u is what update u consumed; what is the
mean or the count of batches is that of all since the recorded update before.

A segment with gradients may lack state tensors: a replay of the optimizer gives them back. It then
holds them at state a, and checksums of every state by which the replay is proven. Which of the
tensors named here a run has, its spec says (`run.tensors`).

The gradient of a tied W has two parts; where they are recorded, the gradient is their sum, clipped.
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

STEPS_PER_CHUNK = 64
CHUNK_BYTES = 2**20  # of float32: what HDF5's chunk cache holds by default, and a core's L2


SINGLE, DOUBLE, PATTERN = "<f4", "<f8", "<u4"


@dataclass(frozen=True)
class Variable:
    """A recorded quantity: its axes on disk, its meaning, its unit and its kind of number.

    What an optimizer is given are a program's float64 numbers: a replay needs all their bits.
    """

    dims: tuple[str, ...]
    long_name: str
    units: str = "1"
    kind: str = SINGLE

    @property
    def attributes(self) -> dict[str, str]:
        """What a file says of it."""
        return {"long_name": self.long_name, "units": self.units}

    def labelled(self, values: Any) -> tuple[tuple[str, ...], Any, dict[str, str]]:
        """Return values with their axes and what a file says of them, as xarray takes them."""
        return self.dims, values, self.attributes


STATE_TENSORS = {
    "W": Variable(("token", "component", "state"), "embedding matrix after update `state`"),
    "exp_avg": Variable(
        ("token", "component", "state"), "first moment of W after `state`; SGD's momentum buffer"
    ),
    "exp_avg_sq": Variable(
        ("token", "component", "state"), "Adam's second (uncentred) moment of W after `state`"
    ),
    "compensation": Variable(
        ("token", "component", "state"), "what W could not take of the steps until `state`"
    ),
}
UPDATE_TENSORS = {
    "grad": Variable(
        ("token", "component", "update"), "dL/dW consumed by `update`, after clipping", "nat"
    ),
}
PATHWAYS = {
    "grad_input": Variable(
        ("token", "component", "update"),
        "part of dL/dW by way of the input embedding, before clipping",
        "nat",
    ),
    "grad_output": Variable(
        ("token", "component", "update"),
        "part of dL/dW by way of the logits, before clipping",
        "nat",
    ),
}
PER_UPDATE = {
    "loss": Variable(("update",), "cross-entropy of the batch before the update", "nat"),
    "lr": Variable(("update",), "learning rate", "weight per update", DOUBLE),
    "grad_norm": Variable(("update",), "norm of the whole gradient before clipping", "nat"),
    "entropy": Variable(("update",), "entropy of the prediction, mean over positions", "nat"),
    "h_mean": Variable(
        ("component", "update"),
        "mean final hidden state over the batch, as it scores: each times the factor of its logits "
        "where `logit_spread` is constant",
    ),
    "probability": Variable(("token", "update"), "mean predicted probability over the batch"),
}
RULE = {
    "beta1": Variable(
        ("update",), "decay of the first moment; of SGD its momentum", "per update", DOUBLE
    ),
    "beta2": Variable(("update",), "decay of the second moment", "per update", DOUBLE),
    "eps": Variable(("update",), "added to the root of the second moment", "1", DOUBLE),
    "weight_decay": Variable(
        ("update",), "weight decay, as the optimizer was given it", "1", DOUBLE
    ),
}
COUPLING = {
    "grad_sq_mean": Variable(
        ("component", "update"), "mean over the vocabulary of `grad` squared, in v", "nat**2"
    ),
}
PER_SEGMENT = {
    "sampled": Variable(
        ("token",), "positions of the updates' batches at which the token stands, input or label"
    ),
}
FIRST = {
    f"first_{name}": Variable(("token", "component"), f"`{name}` at the segment's first state")
    for name in STATE_TENSORS
}
CHECKSUMS = {
    f"checksum_{name}": Variable(
        ("row_group", "state"),
        f"checksum of the bits of a group of rows of `{name}`",
        kind=PATTERN,
    )
    for name in STATE_TENSORS
}
TENSORS = {"W": STATE_TENSORS["W"]} | UPDATE_TENSORS | STATE_TENSORS  # in the order of a spec
VARIABLES = TENSORS | PATHWAYS | PER_UPDATE | RULE | COUPLING
FOR_REPLAY = FIRST | CHECKSUMS
AXES = {
    "state": Variable(("state",), "number of updates applied; 0 is the initial state"),
    "update": Variable(("update",), "update t takes state t - 1 to state t"),
    "token": Variable(("token",), "row of the vocabulary"),
    "component": Variable(("component",), "component of the embedding"),
    "row_group": Variable(("row_group",), "first row of a group; it ends before the next one's"),
}


class Contents(NamedTuple):
    """What a segment holds besides its axes.

    Attributes
    ----------
    tensors : sequence of str
        Those recorded, of TENSORS and PATHWAYS.
    replayed : sequence of str
        State tensors that their gradients give back: their first states and checksums.
    per_update : sequence of str
        Of PER_UPDATE and COUPLING.
    """

    tensors: Sequence[str]
    replayed: Sequence[str] = ()
    per_update: Sequence[str] = tuple(PER_UPDATE)


def replayed(file: Container[str]) -> list[str]:
    """Return the state tensors that a segment does not hold, but that its gradients give back."""
    return [name for name in STATE_TENSORS if f"first_{name}" in file]


def readable(file: Container[str]) -> list[str]:
    """Return the tensors that a segment gives: those in it, and those that are replayed."""
    return [name for name in TENSORS if name in file or name in replayed(file)]


def segment_name(index: int) -> str:
    """Return the file name of segment `index`, from 0."""
    return f"segment-{index:03d}.nc"


def steps_per_chunk(steps: int) -> int:
    """Return the chunk length that cuts `steps` into near-equal parts of about STEPS_PER_CHUNK."""
    parts = max(1, round(steps / STEPS_PER_CHUNK))
    return math.ceil(steps / parts)


def chunk_shape(dims: tuple[str, ...], sizes: dict[str, int]) -> tuple[int, ...]:
    """Return the chunk's length along each of `dims` of a variable whose axes have `sizes`.

    Along the steps it is given; of components and groups of rows a chunk has all; of tokens as many
    as fit.
    """
    lengths = {axis: steps_per_chunk(max(1, sizes[axis])) for axis in ("state", "update")}
    lengths |= {axis: sizes[axis] for axis in ("component", "row_group") if axis in sizes}
    others = math.prod(lengths[dim] for dim in dims if dim != "token")
    lengths["token"] = min(sizes["token"], max(1, CHUNK_BYTES // (4 * others)))
    return tuple(lengths[dim] for dim in dims)


def rows_per_group(sizes: dict[str, int]) -> int:
    """Return how many rows share a checksum: those of a chunk of the gradients."""
    return chunk_shape(UPDATE_TENSORS["grad"].dims, sizes)[0]
