"""The gradient's way down through the blocks: its streams, and by which path a row gets how much.

At each residual sum the gradient divides into a copy that goes straight on and one that goes
through the branch, MLP or attention; below they add. Written out over all blocks,

    g_x0 = g_xL + sum over the branches k of J_k^T g_k,

where g_xL enters at the top (L blocks), g_k is the whole stream that arrives at branch k, and
J_k^T g_k what the branch gives back. A term is the sum over all ways through the network that pass
branch k last, and none after it: each goes from there to the input on the residual path alone.
Without a residual path around the MLPs nothing goes past them: the terms of all that lies above the
first block's MLP are zero.
"""

import numpy as np
import torch
from torch import Tensor

from deadtokens.backprop.layers import sum_rows
from deadtokens.backprop.symbols import Tensors
from deadtokens.run.spec import RunSpec
from deadtokens.statistics.shares import shares

STREAMS = ("x2", "x1 by MLP", "x1", "x0 by attention", "x0")
# A branch: what goes straight past it, and what comes back through it.
BRANCHES = {"MLP": ("x2", "x1 by MLP"), "attention": ("x1", "x0 by attention")}
STRAIGHT = "residual path"


def path_names(layers: int) -> list[str]:
    """Return the names of the paths, in the order in which the gradient comes by."""
    branches = [f"{branch} {block}" for block in range(layers, 0, -1) for branch in BRANCHES]
    return [STRAIGHT, *branches]


def paths(gradients: Tensors, spec: RunSpec) -> Tensor:
    """Return the terms of g_x0 by the branch that each passed last.

    Parameters
    ----------
    gradients : Tensors
        As `deadtokens.backprop.model.backward` gives them.
    spec : RunSpec

    Returns
    -------
    Tensor of shape (paths, batch, context, D)
        In the order of `path_names`; their sum is g_x0 of the first block.
    """
    terms = [gradients[spec.layers, "x2"]]
    for block in range(spec.layers, 0, -1):
        for branch, (_, through) in BRANCHES.items():
            if not has_way_past(branch, spec):
                terms = [torch.zeros_like(term) for term in terms]
            terms.append(gradients[block, through])
    return torch.stack(terms)


def has_way_past(branch: str, spec: RunSpec) -> bool:
    """Return whether a residual path leads around a branch."""
    return branch != "MLP" or spec.mlp_residual


def row_paths(gradients: Tensors, inputs: Tensor, spec: RunSpec) -> Tensor:
    """Return what the input row of each token of the batch receives, path by path.

    Parameters
    ----------
    gradients : Tensors
        As `deadtokens.backprop.model.backward` gives them.
    inputs : int64 Tensor of shape (batch, context)
    spec : RunSpec

    Returns
    -------
    Tensor of shape (paths, tokens, D)
        The tokens of the batch, each once, ascending.
    """
    tokens, places = inputs.unique(return_inverse=True)
    terms = paths(gradients, spec)
    return torch.stack([sum_rows(term, places, len(tokens)) for term in terms])


def path_shares(parts: Tensor) -> np.ndarray:
    """Return the share of each path in the sum of all, along the sum's own direction.

    Parameters
    ----------
    parts : Tensor of shape (paths, ..., D)

    Returns
    -------
    ndarray of shape (paths, ...)
        NaN where the sum is zero.
    """
    found = shares(parts.movedim(0, -2).numpy(), parts.sum(0).numpy())
    return np.moveaxis(found, -1, 0)


def stream_norms(gradients: Tensors, layers: int) -> Tensor:
    """Return the norm of each of `STREAMS` over all positions, (blocks, streams)."""
    blocks = range(1, layers + 1)
    norms = [gradients[block, stream].norm() for block in blocks for stream in STREAMS]
    return torch.stack(norms).view(layers, len(STREAMS))


def branch_cosines(gradients: Tensors, spec: RunSpec) -> Tensor:
    """Return the cosine of what goes past a branch to what comes through it, (blocks, branches).

    Both are taken over all positions at once. It says how far the two streams add or cancel; NaN
    where nothing goes past the branch.
    """
    cosines = [
        torch.cosine_similarity(
            gradients[block, straight].flatten(), gradients[block, through].flatten(), dim=0, eps=0
        )
        if has_way_past(branch, spec)
        else torch.tensor(torch.nan, dtype=torch.float64)
        for block in range(1, spec.layers + 1)
        for branch, (straight, through) in BRANCHES.items()
    ]
    return torch.stack(cosines).view(spec.layers, len(BRANCHES))
