"""The settings of runs as their files give them: which differ, and how they are written."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from deadtokens.run.spec import RunSpec, used

SEEDS = SEED, BATCH_SEED = "seed", "batch_seed"  # by which runs are paired; no settings


def flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings of a spec by flat, dotted key (``record.segment``)."""
    fields = {}
    for key, value in spec.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        fields |= {f"{prefix}{key}": value} if inner is None else inner
    return fields


def settings_of(spec: Mapping[str, Any], otherwise: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a file's spec says, then those of `otherwise` that it leaves out."""
    said = flat(spec)
    return said | {key: value for key, value in otherwise.items() if key not in said}


def as_called(spec: Mapping[str, Any], called: Mapping[str, str]) -> dict[str, Any]:
    """Return a run's settings with its vocabulary as the configuration calls it, if that is said.

    Parameters
    ----------
    spec : mapping
    called : mapping of str to str
        Names by identity.
    """
    vocabulary = spec.get("vocabulary")
    return {**spec, "vocabulary": called[vocabulary]} if vocabulary in called else dict(spec)


def varying(specs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values differ: the precision first, the seeds last."""
    keys = list(dict.fromkeys(key for spec in specs for key in spec))
    differ = [key for key in keys if len({json.dumps(spec.get(key)) for spec in specs}) > 1]
    return sorted(differ, key=lambda key: (key in SEEDS) - (key == "precision"))


def seeds_of(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Return the seeds of a run: of its weights, and of its batches."""
    return spec.get(SEED), used(BATCH_SEED, spec)


def named_seeds(spec: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Write those seeds of a run that are among the keys in which runs differ."""
    seeds = dict(zip(SEEDS, seeds_of(spec), strict=True))
    return ", ".join(named(key, seeds) for key in SEEDS if key in keys)


def number(key: str, spec: Mapping[str, Any]) -> float:
    """Return a setting as the number that the run uses, NaN if it is none."""
    value = used(key, spec)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def named(key: str, spec: Mapping[str, Any]) -> str:
    """Write a setting as short as it can be without losing anything: ``tensors W + grad``."""
    return named_value(key, written(spec[key]) if key in spec else "not set")


def named_value(key: str, value: str) -> str:
    """Write a value with its key before it, unless it speaks for itself."""
    return value if key == "precision" else f"{short(key)} {value}"


def short(key: str) -> str:
    """Write a key without those that it is nested in."""
    return key.rpartition(".")[2].replace("_", " ")


def unit(key: str) -> str:
    """Return the unit of a key, which ends its description in brackets; nothing if there is none.

    The keys of nested sections are no quantities.
    """
    field = RunSpec.model_fields.get(key)
    found = re.search(r"\[([^][]+)\]$", field.description) if field else None
    return found[1] if found else ""


def written(value: Any) -> str:
    """Write a value: a text as it is, a list with plus signs, everything else as JSON."""
    if isinstance(value, list):
        return " + ".join(map(written, value))
    return value if isinstance(value, str) else json.dumps(value)
