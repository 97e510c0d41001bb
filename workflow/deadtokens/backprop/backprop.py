"""Backpropagation by hand at the states of a run, checked against autograd in float64.

At its start and at each of its checkpoints, on the batch that the run consumes next.
"""

import csv
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.arguments import add_output, add_stream
from deadtokens.backprop.autograd import TOLERANCE, autograd_gradients, errors, norm_of
from deadtokens.backprop.model import backward, forward
from deadtokens.backprop.rounding import term_sizes
from deadtokens.backprop.states import read_states
from deadtokens.backprop.streams import (
    BRANCHES,
    STREAMS,
    branch_cosines,
    path_names,
    path_shares,
    row_paths,
    stream_norms,
)
from deadtokens.backprop.symbols import (
    INPUT_NAME,
    OUTPUT_NAME,
    OUTSIDE,
    Tensors,
    describe,
    parameters_by_symbol,
    way_back,
)
from deadtokens.files import complete_or_absent
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run.device import make_deterministic
from deadtokens.run.spec import RunSpec
from deadtokens.statistics.quantiles import quantiles_of_finite
from deadtokens.text.read import read_stream
from deadtokens.training.batches import batch_of
from deadtokens.training.state import State

MOST_LOGITS = 2**24  # of float64, and a few times that are needed: a large batch is cut
QUANTILES = (0.25, 0.5, 0.75)
AT_OUTPUT = ("z", "h")
COLUMNS = ("block", "symbol", "by_hand", "meaning", "parameter", "shape", "norm", "error")
# Name: axes, long name, unit.
VARIABLES = {
    "loss": (("state",), "mean cross-entropy of the batch that comes next", "nat"),
    "sequences": (("state",), "sequences of that batch that were taken", "1"),
    "tokens": (("state",), "different tokens in them", "1"),
    "gradient_norm": (("state",), "norm of the whole gradient over all parameters", "nat"),
    "largest_error": (
        ("state",),
        "largest error of the hand's gradients to autograd's, relative to their terms",
        "1",
    ),
    "output_norm": (
        ("state", "output"),
        "norm of the gradient before the blocks, over positions",
        "nat",
    ),
    "norm": (
        ("state", "block", "stream"),
        "norm of a stream of the gradient, over positions",
        "nat",
    ),
    "cosine": (
        ("state", "block", "branch"),
        "cosine of the stream past a branch to that through it",
        "1",
    ),
    "share": (
        ("state", "path"),
        "share of the gradient of all input rows, along it, by the branch passed last",
        "1",
    ),
    "token_share": (
        ("state", "path", "quantile"),
        "quantile over the tokens of the same share of one input row's gradient",
        "1",
    ),
}
COORDINATES = {
    "block": ("block, from the input", "1"),
    "output": ("logits and final hidden state", "1"),
    "stream": ("where in a block the gradient passes, against the way of the data", "1"),
    "branch": ("what leaves the residual path and comes back to it", "1"),
    "path": ("the branch that was passed last", "1"),
}


def next_batch(state: State, stream: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return inputs and targets that the update after a state consumes, (batch, context).

    Where the logits would be too many, these are the batch's first sequences.
    """
    spec = state.spec
    batch = batch_of(spec, stream, state.update + 1)
    vocabulary = len(state.named["embedding.weight"])
    most = max(1, MOST_LOGITS // (spec.context * vocabulary))
    inputs, targets = (torch.from_numpy(part[:most]) for part in batch)
    return inputs, targets


def check_state(
    state: State, stream: np.ndarray
) -> tuple[Tensors, dict[tuple[int, str], float], dict[str, Tensor | float]]:
    """Go back through the model of a state by hand and by autograd.

    Returns
    -------
    gradients : Tensors
    errors : dict of (block, symbol) to float
    found : dict of str to Tensor or float
        A value for each of `VARIABLES`.
    """
    spec = state.spec
    inputs, targets = next_batch(state, stream)
    b = torch.zeros(len(state.named["embedding.weight"]), dtype=torch.float64)
    weights = parameters_by_symbol(state.named, spec.layers) | {(OUTSIDE, "b"): b}
    values = forward(weights, inputs, targets, spec)
    go_back = partial(backward, weights, values, inputs, targets, spec)
    gradients = go_back()
    terms = term_sizes(go_back, gradients)
    whole = norm_of({place: g for place, g in gradients.items() if describe(*place).name})
    reference = autograd_gradients(state.named, b, inputs, targets, spec)
    off = errors(gradients, reference, terms)
    found = describe_flow(gradients, inputs, spec) | {
        "loss": values[OUTSIDE, "L"],
        "sequences": len(inputs),
        "gradient_norm": whole,
        "largest_error": np.max(list(off.values())),  # NaN if one is
    }
    return gradients, off, found


def describe_flow(gradients: Tensors, inputs: Tensor, spec: RunSpec) -> dict[str, Tensor | float]:
    """Return the norms of the streams, and the shares of the paths, of one state."""
    rows = row_paths(gradients, inputs, spec)
    return {
        "tokens": rows.shape[1],
        "output_norm": torch.stack([gradients[OUTSIDE, symbol].norm() for symbol in AT_OUTPUT]),
        "norm": stream_norms(gradients, spec.layers),
        "cosine": branch_cosines(gradients, spec),
        "share": path_shares(rows.flatten(1)),
        "token_share": quantiles_of_finite(path_shares(rows), QUANTILES),
    }


def label_flow(found: Sequence[dict[str, Tensor | float]], states: Sequence[State]) -> xr.Dataset:
    """Put what was found at each state into one dataset along ``state``."""
    layers = states[0].spec.layers
    values = {
        **{name: np.stack([np.asarray(one[name]) for one in found]) for name in VARIABLES},
        "state": [state.update for state in states],
        "block": np.arange(1, layers + 1),
        "output": list(AT_OUTPUT),
        "stream": list(STREAMS),
        "branch": list(BRANCHES),
        "path": path_names(layers),
        "quantile": list(QUANTILES),
    }
    flow = label(values, VARIABLES, COORDINATES)
    return flow.assign_attrs(states[-1].attributes() | {"tolerance": TOLERANCE})


def rows_of(
    gradients: Tensors, off: dict[tuple[int, str], float], spec: RunSpec
) -> list[tuple[str | int | float, ...]]:
    """Return the table of one state, a row a gradient, in the order in which it is found."""
    return [
        (*_names(*place, spec.tied), _shape(g), g.norm().item(), off[place])
        for place in way_back(spec.layers)
        if (g := gradients.get(place)) is not None
    ]


def _names(block: int, symbol: str, tied: bool) -> tuple[str | int, ...]:
    about = describe(block, symbol)
    parameter = INPUT_NAME if tied and about.name == OUTPUT_NAME else about.name
    if block and parameter:
        parameter = f"blocks.{block - 1}.{parameter}"
    if about.third is not None:
        parameter += f", third {about.third + 1} of 3"
    return (block or "", symbol, about.by_hand, about.meaning, parameter)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def write_table(rows: Sequence[tuple[str | int | float, ...]], path: Path) -> None:
    """Write `rows`, under the names of `COLUMNS`, as CSV."""
    with (
        complete_or_absent(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("checkpoints", type=Path, nargs="+", help="checkpoints of the run")
    add_stream(parser)
    add_output(parser, "NetCDF: the flow, every state")
    parser.add_argument("--csv", type=Path, required=True, help="table: the last state's gradients")


def main(options: Namespace) -> None:
    """Run the command ``backprop``."""
    make_deterministic(threads=1)
    stream, about = read_stream(options.stream)
    states = read_states(options.checkpoints, about["stream_sha256"])
    found = []
    for state in states:
        gradients, off, flow = check_state(state, stream)
        found.append(flow)
    write(label_flow(found, states), options.output)
    write_table(rows_of(gradients, off, state.spec), options.csv)
    largest = np.max([flow["largest_error"] for flow in found])
    logging.getLogger(__name__).info(
        f"backprop {state.spec.identity()}: {len(gradients)} gradients by hand at {len(states)} "
        f"states; the largest error to autograd is {largest:.1e}"
    )
