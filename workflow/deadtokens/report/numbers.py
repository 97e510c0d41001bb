"""What a record comes to: the outcomes that the study compares, from its derived files."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from deadtokens.comparison.measures import OUTCOMES, measure_one
from deadtokens.netcdf import read_derived
from deadtokens.paper.words import number

# What stands at the top of the page, by question; every other outcome stands below.
HEADLINE = {
    "When do dead tokens freeze?": (
        *("frozen", "still", "half_frozen", "most_frozen", "last_motion", "unsettled", "thaws"),
    ),
    "Why do their components stand still?": tuple(
        name for name in OUTCOMES if name.startswith("cause_")
    ),
    "Where does their cloud go?": (
        *("net_displacement", "path_length", "path_efficiency", "radius_change", "common_share"),
    ),
    "What moves it?": tuple(name for name in OUTCOMES if name.startswith("share_")),
}
NOT_MADE = "there is no {} of it"


class Number(NamedTuple):
    """An outcome of a record.

    Attributes
    ----------
    name : str
    text : str
        The number, written.
    meaning : str
        What it is, with its unit.
    why_not : str
        Why there is none, if there is none.
    """

    name: str
    text: str
    meaning: str
    why_not: str


def outcomes(files: Mapping[str, Path]) -> dict[str, Number]:
    """Return all outcomes that derived files say, by name.

    Parameters
    ----------
    files : mapping of str to Path
        Derived files, by name.
    """
    opened = {name: read_derived(path) for name, path in files.items() if path.suffix == ".nc"}
    return {name: _number(name, opened) for name in OUTCOMES}


def _number(name: str, opened: Mapping[str, xr.Dataset]) -> Number:
    outcome = OUTCOMES[name]
    unit = "" if outcome.unit == "1" else f" [{outcome.unit}]"
    meaning = f"{outcome.long_name}{unit}"
    if outcome.file not in opened:
        return Number(name, number(None), meaning, NOT_MADE.format(outcome.file))
    data = opened[outcome.file]
    try:
        value, why_not = measure_one(outcome, data)
    except KeyError:
        return Number(name, number(None), meaning, "what it takes is not recorded")
    if why_not and data.attrs.get("left_out"):
        why_not += ", or what it takes is not recorded (see below)"
    return Number(name, number(value), meaning, why_not)


def tokens(files: Mapping[str, Path]) -> dict[str, str]:
    """Return how many of the recorded tokens are of each population."""
    if "freezing.nc" not in files:
        return {}
    counts = read_derived(files["freezing.nc"])["tokens"]
    names = counts["population"].values.astype(str)
    return {str(name): number(int(one)) for name, one in zip(names, counts.values, strict=True)}
