"""Why the chunks are as they are: python benchmarks/chunks.py.

Rewrites the first updates of a record with chunks of other shapes, in turns, and reads W in both
ways: one token over all steps, all tokens at one step.
"""

import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from study import load_average

from deadtokens.costs.storage import processor_name
from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.run.outcome import Outcome
from deadtokens.run.spec import DEFAULTS
from deadtokens.seal import seal
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.segments import list_segments
from deadtokens.trajectory.writer import write_segment

REPOSITORY = Path(__file__).parents[1]
UPDATES = 255  # so that 256 states are whole chunks
STEPS = (16, 32, 64, 128)
CHUNK_BYTES = (2**18, 2**20, 2**22)
ROUNDS = 3


def main() -> None:
    """Print a line for each shape of chunks."""
    tensors = _recorded_tensors()
    raw = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    print(f"{processor_name()}, load {load_average()}; four tensors, {UPDATES} updates, bfloat16")
    print("steps  chunk kB  of raw bits  write s  one token ms  one step ms (W; own reader)")
    seconds: dict = {shape: [] for shape in product(STEPS, CHUNK_BYTES)}
    for _ in range(ROUNDS):
        for shape, measured in seconds.items():
            measured.append(_measure(tensors, *shape))
    for (steps, size), measured in seconds.items():
        stored, write, token, step = (median(values) for values in zip(*measured, strict=True))
        print(
            f"{steps:5}  {size // 1024:8}  {stored / raw:11.3f}  {write:7.2f}  {token * 1e3:12.1f}"
            f"  {step * 1e3:11.1f}"
        )


def _recorded_tensors() -> dict[str, torch.Tensor]:
    """Return the four tensors, each (steps, tokens, components), as they were trained."""
    folders = sorted((REPOSITORY / "results" / "runs").glob("default_*/trajectory"))
    if not folders:
        raise UserError("results/runs holds no default run; run `make figures` first")
    (first, *_) = list_segments(folders[0])
    tensors = {}
    for name in DEFAULTS.record.tensors:
        steps = UPDATES + (name in layout.STATE_TENSORS)
        values = load_tensor([first], name, steps=slice(0, steps)).transpose(2, 0, 1)
        tensors[name] = torch.from_numpy(np.ascontiguousarray(values)).bfloat16()
    return tensors


def _measure(
    tensors: dict[str, torch.Tensor], steps: int, size: int
) -> tuple[float, float, float, float]:
    tokens = tensors["W"].shape[1]
    with (
        TemporaryDirectory() as folder,
        patch.object(layout, "STEPS_PER_CHUNK", steps),
        patch.object(layout, "CHUNK_BYTES", size),
    ):
        path = Path(folder) / layout.segment_name(0)
        write = _seconds(lambda: _write(path, tensors))
        seal(path)
        row, middle = slice(tokens // 2, tokens // 2 + 1), slice(UPDATES // 2, UPDATES // 2 + 1)
        token = _seconds(lambda: load_tensor([path], "W", tokens=row))
        step = _seconds(lambda: load_tensor([path], "W", steps=middle))
        return path.stat().st_size, write, token, step


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    census = xr.Dataset(coords={"token": np.arange(tensors["W"].shape[1])})
    about, width = {"run": "benchmark", "status": "complete"}, tensors["W"].shape[2]
    contents = layout.Contents(tuple(tensors))
    with write_segment(path, 0, UPDATES, width, contents, census, about) as writer:
        for state in range(UPDATES + 1):
            if state:
                writer.update(vars(Outcome.of_gradient(tensors["grad"][state - 1])))
            states = layout.STATE_TENSORS & tensors.keys()
            writer.state({name: tensors[name][state] for name in states})


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
