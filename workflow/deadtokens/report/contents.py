"""What a record holds, in words: of which training, which rows, which tensors, made where."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from deadtokens.paper.words import listing, number
from deadtokens.run import layout
from deadtokens.trajectory.origin import vocabulary_size
from deadtokens.trajectory.reader import open_run
from deadtokens.trajectory.segments import MADE

Row = tuple[str, str]
MADE_IN_WORDS = {
    "device": "device",
    "machine": "machine",
    "python": "Python",
    "packages": "packages",
    "git_commit": "commit",
}


def describe(segments: Sequence[Path]) -> list[Row]:
    """Return what a record holds, as rows of a table: a name and what is said.

    Parameters
    ----------
    segments : sequence of Path
        All of it, in order; they have been checked.
    """
    with open_run(segments, check=False) as run:
        return [*_training(run), *_extent(run), *_tensors(run), *_made(run.attrs)]


def _training(run: xr.Dataset) -> Iterator[Row]:
    if "recorded" in run.attrs:
        yield from _optimizer(rule_in(run.attrs))
    else:
        yield "settings", str(run.attrs.get("spec", "not said"))
    for name in ("lr", *layout.RULE):
        if name in run:
            yield f"{name}: {layout.VARIABLES[name].long_name}", _course(run[name].values)


def rule_in(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a recording says of its optimizer, nothing if that cannot be read."""
    try:
        return dict(json.loads(attributes["recorded"]))
    except (KeyError, TypeError, ValueError):
        return {}


def _optimizer(rule: Mapping[str, Any]) -> Iterator[Row]:
    yield "optimizer", str(rule.get("name") or "not said")
    yield "its implementation", str(rule.get("implementation") or "not known")
    options = [
        name if value is True else f"{name} {value}"
        for name, value in dict(rule.get("options", {})).items()
    ]
    yield "its options", ", ".join(options) or "none"


def _course(values: np.ndarray) -> str:
    """Write a number of every update: one, or from which to which it goes."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "none"
    if (known == known[0]).all():
        return f"{known[0]:g}"
    return f"{known[0]:g} at first, {known[-1]:g} at last, {known.min():g} to {known.max():g}"


def _extent(run: xr.Dataset) -> Iterator[Row]:
    rows, size = run.sizes["token"], vocabulary_size(run)
    updates = run["update"].values
    span = f": {updates[0]:,} to {updates[-1]:,}" if len(updates) else ""
    before = int(run.attrs.get("updates_before", 0))
    yield "updates", f"{number(len(updates))}{span}"
    if before:
        yield "updates before the record", number(before)
    yield "rows", f"{number(rows)} of {number(size)}, of {run.sizes['component']:,} components"
    if "dead" in run:
        yield "dead tokens among them, by a count", number(int(run["dead"].values.sum()))
    if run.attrs.get("status") != "complete":
        yield "status", str(run.attrs.get("status"))


def _tensors(run: xr.Dataset) -> Iterator[Row]:
    held = [
        f"{name} ({run[name].attrs['recorded_dtype']})"
        for name in (*layout.TENSORS, *layout.PATHWAYS)
        if name in run
    ]
    yield "tensors", listing(held)
    known = [name for name in layout.PER_UPDATE if name in run]
    yield "of every update besides", listing(known) if known else "nothing"


def _made(attributes: Mapping[str, Any]) -> Iterator[Row]:
    for name in MADE:
        if attributes.get(name):
            yield MADE_IN_WORDS[name], str(attributes[name])
