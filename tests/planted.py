"""Trajectories of known content, written as files."""

from itertools import pairwise

import numpy as np
import torch
import xarray as xr

from deadtokens.run import layout
from deadtokens.run.outcome import Outcome
from deadtokens.seal import seal
from deadtokens.trajectory.writer import write_segment

TENSORS = tuple(layout.TENSORS)
WITH_PATHWAYS = (*TENSORS, *layout.PATHWAYS)


def census(tokens: int) -> xr.Dataset:
    strings = np.array([f"ก{index}" for index in range(tokens)])
    dead = np.arange(tokens) % 3 == 0
    return xr.Dataset(
        {
            "token_string": ("token", strings),
            "dead": ("token", dead),
            "sampled": ("token", np.where(dead, 0, 1)),
        },
        coords={"token": np.arange(tokens)},
    )


def write_run(folder, tensors, boundaries, names=TENSORS, **attributes):
    """Write planted tensors, (step, token, component), as segments that end at `boundaries`."""
    states = len(tensors["W"])
    tokens, width = tensors["W"].shape[1:]
    states_of = [name for name in layout.STATE_TENSORS if name in tensors]
    of_updates = tensors.keys() - set(states_of)
    kept = [name for name in names if name in tensors]
    replayed = [name for name in states_of if "grad" in kept and name not in kept]
    contents = layout.Contents(kept, replayed)
    for index, (first, last) in enumerate(pairwise(boundaries)):
        path = folder / layout.segment_name(index)
        about = {"run": "planted", "status": "complete"} | attributes
        with write_segment(path, first, last, width, contents, census(tokens), about) as writer:
            writer.state({name: tensors[name][first] for name in states_of})
            for update in range(first + 1, last + 1):
                outcome = Outcome(
                    **{name: tensors[name][update - 1] for name in of_updates},
                    loss=float(update),
                    lr=1e-3,
                    grad_norm=torch.tensor(2.0 * update),
                    entropy=torch.tensor(3.0 / update),
                    h_mean=torch.arange(width) + update,
                    probability=torch.full((tokens,), 1.0 / update),
                )
                writer.update(vars(outcome))
                writer.state({name: tensors[name][update] for name in states_of})
        seal(path)
    assert boundaries[-1] == states - 1


def planted(steps, tokens, width, dtype=torch.bfloat16, seed=0, names=TENSORS):
    """Return tensors of random bit patterns: NaNs, infinities and subnormals among them."""
    generator = np.random.default_rng(seed)
    ints = {torch.bfloat16: (np.int16, 2**15), torch.float32: (np.int32, 2**31)}[dtype]

    def tensor(length):
        values = generator.integers(-ints[1], ints[1], (length, tokens, width)).astype(ints[0])
        return torch.from_numpy(values).view(dtype)

    lengths = {name: steps + (name in layout.STATE_TENSORS) for name in names}
    return {name: tensor(length) for name, length in lengths.items()}


def float_bits(tensor: torch.Tensor) -> np.ndarray:
    """Widen bits by hand: a bfloat16 is the high half of its float32."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16).astype(np.uint32) << 16
    return tensor.view(torch.int32).numpy().view(np.uint32)
