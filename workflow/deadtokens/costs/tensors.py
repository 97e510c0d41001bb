"""Which recorded tensors answer which question, at what size, and whether with the same bits.

The first updates of a run are written once more with each choice of tensors, by the project's own
writer, and all that each choice gives is read back and compared. Bytes are the same on every
machine; times are what this machine gave.
"""

import logging
import os
import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import xarray as xr
from torch import Tensor

from deadtokens.arguments import add_first_segment, add_output
from deadtokens.costs.storage import UPDATES, describe_machine, narrow
from deadtokens.labels import label
from deadtokens.netcdf import write
from deadtokens.run import layout
from deadtokens.run.bits import as_tensors, bits_of
from deadtokens.run.device import make_deterministic
from deadtokens.run.outcome import Outcome
from deadtokens.run.spec import RunSpec, read_spec
from deadtokens.run.tensors import contents, is_coupled, of_update, readable, replayed, stored
from deadtokens.run.update import mean_square
from deadtokens.seal import seal
from deadtokens.trajectory.origin import run_attributes
from deadtokens.trajectory.parts import load_tensor
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.source import Source
from deadtokens.trajectory.tiles import read_tiles
from deadtokens.trajectory.writer import write_segment

CHOICES = {
    "W": ("W",),
    "W, grad": ("W", "grad"),
    "grad": ("grad",),
    "all four": ("W", "grad", "exp_avg", "exp_avg_sq"),
}
RESULTS = {
    "freezing": lambda spec: ["W"],
    "drift": lambda spec: ["W"],
    "audit": lambda spec: ["W", "grad"],
    "attribution": of_update,
    "causes": of_update,
}
TURNS = 5
# By a segment: what its readers and a replay ask for.
CARRIED = ("run", "spec", "status", "device", "packages")
# Name: axes, long name, unit.
QUANTITIES = {
    "stored_bytes": (
        ("choice",),
        "tensors, first states and checksums on disk, per update",
        "byte",
    ),
    "read_time": (
        ("choice",),
        "median wall time of reading all that the choice gives, per update",
        "s",
    ),
    "compared": (("choice",), "values read back and compared with the run's", "1"),
    "differing": (("choice",), "values of them that differ in a bit", "1"),
}
VARIABLES = QUANTITIES | {
    "gives": (
        ("choice", "result"),
        "the record gives all tensors that the result needs",
        "1",
    ),
    "raw_bytes": ((), "bits of all tensors, not compressed, per update", "byte"),
}
COORDINATES = {"choice": (), "result": ()}


def recording(spec: RunSpec, tensors: Sequence[str]) -> RunSpec:
    """Return the spec of the run that records these tensors, as far as it has them."""
    record = spec.record.model_copy(update={"tensors": list(tensors), "pathways": False})
    return spec.model_copy(update={"record": record})


def gives(spec: RunSpec, result: str) -> bool:
    """Return whether a run's record gives a result: whether it gives what that needs."""
    return set(RESULTS[result](spec)) <= set(readable(spec))


def write_choice(
    path: Path, spec: RunSpec, known: dict[str, Tensor], attributes: dict[str, Any]
) -> None:
    """Write a segment of what is known of a run, recording the tensors that its spec names.

    Parameters
    ----------
    path : Path
    spec : RunSpec
    known : dict of str to Tensor of shape (steps, tokens, components)
        The states from the first on; the gradients, if they are known.
    attributes : dict
        Of the segment.
    """
    states, tokens, width = known["W"].shape
    census = xr.Dataset(coords={"token": np.arange(tokens)})
    with write_segment(path, 0, states - 1, width, contents(spec), census, attributes) as writer:
        for step in range(states):
            if step and "grad" in stored(spec):
                grad = known["grad"][step - 1]
                shared = mean_square(grad) if is_coupled(spec) else None
                writer.update(vars(Outcome.of_gradient(grad)) | {"grad_sq_mean": shared})
            writer.state({name: known[name][step] for name in layout.STATE_TENSORS & known.keys()})
    seal(path)


def stored_bytes(path: Path) -> int:
    """Return the bytes of a segment's tensors, and of what stands for those that are replayed."""
    with h5py.File(path, "r") as file:
        names = [name for name in layout.TENSORS | layout.FOR_REPLAY if name in file]
        return sum(file[name].id.get_storage_size() for name in names)


def read_back(path: Path, known: dict[str, Tensor]) -> tuple[int, int]:
    """Read all that a segment gives; return how many values were compared and how many differ."""
    compared, differing = 0, 0
    for tokens, tensors in _read(path):
        for name, tensor in tensors.items():
            expected = known[name][: len(tensor), tokens.start : tokens.stop]
            compared += expected.numel()
            differing += int((bits_of(tensor) != bits_of(expected)).sum())
    return compared, differing


def reading_time(path: Path) -> float:
    """Return the seconds of reading all that a segment gives, from the page cache."""
    begin = time.perf_counter()
    deque(_read(path), maxlen=0)
    return time.perf_counter() - begin


def _read(path: Path) -> Iterator[tuple[range, dict[str, Tensor]]]:
    """Yield all tensors that a segment gives, of some tokens at a time, as an optimizer takes them.

    Tensors are (steps, tokens, components), from the first step on.
    """
    with h5py.File(path, "r") as file:
        if "grad" not in file:
            yield _read_states(file)
            return
    for tile in read_tiles([path]):
        yield tile.tokens, tile.states | {"grad": tile.grad}


def _read_states(file: h5py.File) -> tuple[range, dict[str, Tensor]]:
    """Return W of all tokens, where there are no updates that a tile could be of."""
    tokens, _, states = file["W"].shape
    source = Source(file)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reading = source.read(range(tokens), {"W": range(states)}, pool, steps_first=True)
        reading.finish()
    return range(tokens), as_tensors(reading.values, source.formats(["W"]))


def read_known(segment: Path, run: xr.Dataset, updates: int) -> dict[str, Tensor]:
    """Return what a run's record gives of its first updates, (steps, tokens, components) each."""
    known = {}
    for name in layout.TENSORS:
        if name in run:
            steps = slice(0, updates + int(name in layout.STATE_TENSORS))
            known[name] = narrow(
                load_tensor([segment], name, steps=steps), run[name].attrs["recorded_dtype"]
            )
    return known


def measure_choices(
    specs: Mapping[int, RunSpec], known: dict[str, Tensor], attributes: dict[str, Any]
) -> dict[int, list[float]]:
    """Write choices of tensors into a temporary folder, then read them; return `QUANTITIES`.

    Whoever is read first pays for what all share (threads, memory, compiled loops), and machines
    have moods: all are compared before any is timed, and they are timed in turns.
    """
    updates = len(known["W"]) - 1
    with TemporaryDirectory() as folder:
        paths = {place: Path(folder, str(place), layout.segment_name(0)) for place in specs}
        for place, spec in specs.items():
            write_choice(paths[place], spec, known, attributes)
        counts = {place: read_back(path, known) for place, path in paths.items()}
        turns = [[reading_time(path) for path in paths.values()] for _ in range(TURNS)]
        seconds = map(median, zip(*turns, strict=True))
        return {
            place: [stored_bytes(path) / updates, each / updates, *counts[place]]
            for (place, path), each in zip(paths.items(), seconds, strict=True)
        }


def measure_tensors(segment: Path, updates: int = UPDATES) -> xr.Dataset:
    """Return what each choice of recorded tensors gives, at what size and with which bits.

    Parameters
    ----------
    segment : Path
        The first segment of a run.
    updates : int
        How many of its updates are written; all if it has fewer.

    Returns
    -------
    Dataset
        `QUANTITIES` over ``choice``, NaN where the run's record does not give the tensors or has no
        update; ``gives`` over ``choice`` and ``result``; ``raw_bytes`` of all tensors.
    """
    run = open_run([segment])
    spec = read_spec(run.attrs["spec"])
    updates = min(updates, run.sizes["update"])
    known = read_known(segment, run, updates) if updates else {}
    about = {name: run.attrs[name] for name in CARRIED if name in run.attrs}
    costs = np.full((len(QUANTITIES), len(CHOICES)), np.nan)
    choices = enumerate(recording(spec, tensors) for tensors in CHOICES.values())
    possible = {
        place: chosen
        for place, chosen in choices
        if known.keys() >= {*stored(chosen), *replayed(chosen)}
    }
    if possible:
        measured = measure_choices(possible, known, about)
        costs[:, list(measured)] = np.transpose(list(measured.values()))
    raw = sum(tensor[0].nbytes for tensor in known.values()) or np.nan
    attributes = run_attributes(run) | describe_machine() | {"updates": updates}
    return label_costs(costs, raw, spec).assign_attrs(attributes)


def label_costs(costs: np.ndarray, raw: float, spec: RunSpec) -> xr.Dataset:
    """Label `costs` (quantities, choices) and the raw bytes of an update."""
    answers = [
        [gives(recording(spec, tensors), result) for result in RESULTS]
        for tensors in CHOICES.values()
    ]
    values = dict(zip(QUANTITIES, costs, strict=True)) | {"gives": answers, "raw_bytes": raw}
    return label(
        values | {"choice": list(CHOICES), "result": list(RESULTS)}, VARIABLES, COORDINATES
    )


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    add_first_segment(parser, UPDATES)
    add_output(parser)


def main(options: Namespace) -> None:
    """Run the command ``tensors``."""
    make_deterministic(threads=1)
    tensors = measure_tensors(options.segment, options.updates)
    write(tensors, options.output)
    sizes = [
        f"{choice} {float(size) / 1e6:.2f} MB"
        for choice, size in zip(CHOICES, tensors.stored_bytes, strict=True)
    ]
    logging.getLogger(__name__).info(
        f"tensors {tensors.attrs['run']}: an update takes {', '.join(sizes)}; "
        f"{int(tensors.differing.sum()):,} of {int(tensors.compared.sum()):,} values differ"
    )
