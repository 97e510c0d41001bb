"""The storage trade in the paper: what each choice of recorded tensors gives and costs."""

from collections.abc import Iterable
from pathlib import Path

from deadtokens.netcdf import read_derived
from deadtokens.paper.facts import Facts
from deadtokens.paper.sources import called
from deadtokens.paper.words import number, size


def storage_table(facts: Facts, results: Path, files: Iterable[str]) -> list[dict[str, str]]:
    """Return a row for each choice of tensors, as measured on the first run that has it."""
    measured = called("tensors.nc", files)
    if not measured:
        return []
    data = read_derived(results / measured[0])
    raw = float(data["raw_bytes"])
    updates = number(int(data.attrs["updates"]))
    facts.add(measured[0], raw_bytes=size(raw), measured_updates=updates)
    rows = []
    for place, choice in enumerate(data["choice"].values):
        one = data.isel(choice=place)
        stored, given = float(one["stored_bytes"]), one["gives"].values.astype(bool)
        rows.append(
            {
                "choice": str(choice),
                "stored": size(stored),
                "of_raw": number(stored / raw),
                "read": f"{number(1000 * float(one['read_time']))} ms",
                "gives": ", ".join(map(str, one["result"].values[given])),
            }
        )
    return rows
