"""Write what a recording holds beside its segments, for those who plan by it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from deadtokens.errors import UserError
from deadtokens.files import complete_or_absent
from deadtokens.recording.contents import FILE, Contents, read_contents
from deadtokens.run import layout


def write_contents(segment: Path) -> Contents:
    """Write what a recording holds up to a finished segment, and return it.

    Parameters
    ----------
    segment : Path
        The last one. Of those before it the file that is there says what their numbers were.
    """
    contents = _described(segment, _known(segment.parent))
    with complete_or_absent(segment.parent / FILE) as temporary:
        temporary.write_text(json.dumps(asdict(contents)) + "\n", encoding="utf-8")
    return contents


def _known(folder: Path) -> Contents | None:
    try:
        return read_contents(folder)
    except UserError:
        return None


def _described(segment: Path, known: Contents | None) -> Contents:
    with h5py.File(segment, "r") as file:
        first, last = int(file["state"][0]), int(file["state"][-1])
        each = last - first == len(file["update"])
        values = {name: file[name][...] for name in layout.RULE if name in file}
        numbers = {name: _first(found) for name, found in values.items()}
        numbers = dict(known.numbers) if known and first else numbers
        before = set(known.changing) if known and first else set()
        changed = {name for name, found in values.items() if _differs(found, numbers.get(name))}
        return Contents(
            vocabulary_size=np.asarray(file.attrs["vocabulary_size"]).item(),
            rows=file["W"].shape[0],
            width=file["W"].shape[1],
            updates=last,
            every_update=each and (known is None or not first or known.every_update),
            tensors=[name for name in layout.TENSORS if name in file],
            per_update=[
                name for name in layout.VARIABLES if name not in layout.TENSORS and name in file
            ],
            rule=json.loads(file.attrs["recorded"]),
            numbers=numbers,
            changing=sorted(before | changed),
        )


def _first(values: Any) -> float | None:
    return float(values[0]) if len(values) and values[0] == values[0] else None


def _differs(values: Any, number: float | None) -> bool:
    """Return whether one of the values is another number, NaN standing for none."""
    same = values != values if number is None else values == number
    return not bool(same.all())
