"""The two parts of a tied gradient over a whole run, where they are recorded.

Every update's sizes of both, their shares of the whole, their angle, what sums to zero, and whether
their sum, clipped, is the recorded gradient in every bit. Both are as backpropagation gives them:
before clipping.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from deadtokens.gradients.recorded import over_updates
from deadtokens.gradients.sides import SIDES
from deadtokens.labels import label
from deadtokens.run import layout
from deadtokens.run.bits import as_tensor, bits_of
from deadtokens.run.clipping import clip_scale
from deadtokens.run.spec import RunSpec
from deadtokens.trajectory.pieces import read_pieces
from deadtokens.trajectory.populations import POPULATIONS
from deadtokens.trajectory.segments import Segments

NAMES = ("grad", *layout.PATHWAYS)
# Name: axes, long name, unit.
PER_UPDATE = {
    "pathway_norm": (
        ("update", "population", "side"),
        "norm of a row's gradient by way of one side, before clipping, root mean square over "
        "tokens",
        "nat",
    ),
    "pathway_share": (
        ("update", "population", "side"),
        "part of one side along the whole gradient: <side, sum> / <sum, sum> over the rows",
        "1",
    ),
    "pathway_cosine": (
        ("update", "population"),
        "cosine of input side to output side, over the rows",
        "1",
    ),
    "pathway_sum": (
        ("update", "side"),
        "|sum of one side over the vocabulary| / sum of rows' norms",
        "1",
    ),
    "pathway_differing": (
        ("update",),
        "values in which the sum of both sides, clipped, is not the recorded gradient's bits",
        "1",
    ),
}


def measure_pathways(
    segments: Segments, run: xr.Dataset, spec: RunSpec, members: np.ndarray
) -> xr.Dataset:
    """Return `PER_UPDATE` over the run, empty if the pathways were not recorded.

    Parameters
    ----------
    segments : path or sequence of paths
    run : Dataset
        The same, opened.
    spec : RunSpec
    members : bool ndarray of shape (populations, tokens)
    """
    if not spec.record.pathways:
        return xr.Dataset()
    parts, updates = list(_parts(segments, run, spec, members)), run.sizes["update"]
    values = {
        name: over_updates(parts, name, axes, updates) for name, (axes, *_) in PER_UPDATE.items()
    }
    axes = {"update": run["update"].values, "population": list(POPULATIONS), "side": list(SIDES)}
    return label(axes | values, PER_UPDATE, {"side": ()})


def _parts(
    segments: Segments, run: xr.Dataset, spec: RunSpec, members: np.ndarray
) -> Iterator[dict[str, np.ndarray]]:
    """Yield `PER_UPDATE` of one window of updates after the other."""
    number_format = run["grad"].attrs["recorded_dtype"]
    pieces = read_pieces(segments, NAMES)
    for _, window in groupby(pieces, key=lambda piece: piece.updates[0]):
        sums: dict[str, Tensor] = {}
        for piece in window:
            tensors = [as_tensor(bits, number_format) for bits in map(piece.bits.get, NAMES)]
            norms = torch.from_numpy(run["grad_norm"].sel(update=piece.updates).values)
            rows = torch.from_numpy(members[:, piece.tokens.start : piece.tokens.stop])
            part = add_up(*tensors[1:], rows)
            part["differing"] = differing(*tensors, norms, spec.clip)
            sums = {name: sums.get(name, 0) + values for name, values in part.items()}
        yield describe(sums, members)


def add_up(grad_input: Tensor, grad_output: Tensor, members: Tensor) -> dict[str, Tensor]:
    """Return sums over some tokens, from which `describe` makes those of all.

    Parameters
    ----------
    grad_input, grad_output : Tensor of shape (tokens, components, steps)
    members : bool Tensor of shape (populations, tokens)

    Returns
    -------
    dict of str to float64 Tensor
        ``products``, of the rows with themselves and each other, (population, 3, steps);
        ``norms``, of the rows, (side, steps); ``totals``, the rows themselves,
        (side, component, steps).
    """
    one, other = grad_input.double(), grad_output.double()
    products = torch.stack([(a * b).sum(1) for a, b in ((one, one), (one, other), (other, other))])
    return {
        "products": torch.stack([products[:, rows].sum(1) for rows in members]),
        "norms": products[[0, 2]].sqrt().sum(1),
        "totals": torch.stack([one.sum(0), other.sum(0)]),
    }


def differing(
    grad: Tensor, grad_input: Tensor, grad_output: Tensor, norms: Tensor, clip: float | None
) -> Tensor:
    """Count the values in which both sides, summed and clipped as in training, are not `grad`.

    Parameters
    ----------
    grad, grad_input, grad_output : Tensor of shape (tokens, components, steps)
        In the format in which training took the sum.
    norms : float32 Tensor of shape (steps,)
        Of the whole gradient before clipping.
    clip : float or None

    Returns
    -------
    int64 Tensor of shape (steps,)
    """
    whole = (grad_input + grad_output) * clip_scale(norms, clip).to(grad.dtype)
    return (bits_of(whole) != bits_of(grad)).sum((0, 1))


def describe(sums: dict[str, Tensor], members: np.ndarray) -> dict[str, np.ndarray]:
    """Return `PER_UPDATE` from the sums over all tokens, steps first.

    NaN for a population without tokens, and for shares and angles of what is zero.

    Parameters
    ----------
    sums : dict of str to Tensor
        As `add_up` gives them, and ``differing``.
    members : bool ndarray of shape (populations, tokens)
    """
    tokens = torch.from_numpy(members.sum(axis=1)).double()
    one, both, other = sums["products"].unbind(1)  # each (population, steps)
    squares = torch.stack([one, other], dim=1)
    along = squares + both[:, None]  # as `statistics.shares`, from sums over all pieces
    found = {
        "pathway_norm": (squares / tokens[:, None, None]).sqrt(),
        "pathway_share": along / along.sum(1, keepdim=True),
        "pathway_cosine": both / (one * other).sqrt(),
        "pathway_sum": sums["totals"].norm(dim=1) / sums["norms"],
        "pathway_differing": sums["differing"].double(),
    }
    return {name: np.moveaxis(values.numpy(), -1, 0) for name, values in found.items()}
