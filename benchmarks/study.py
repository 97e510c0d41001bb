"""The run that is measured, and how measurements are repeated and shown."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
import xarray as xr
import yaml

from deadtokens.costs.storage import processor_name
from deadtokens.errors import UserError
from deadtokens.run import layout
from deadtokens.run.device import choose_device, describe_device
from deadtokens.run.precision import BYTES
from deadtokens.run.spec import RunSpec
from deadtokens.run.tensors import formats, stored
from deadtokens.study.study import Study
from deadtokens.text.read import read_census, read_stream


@dataclass(frozen=True)
class Run:
    """A run, and the text and tokens that it trains on."""

    name: str
    spec: RunSpec
    stream: np.ndarray
    census: xr.Dataset


def load_run(config: Path, results: Path) -> Run:
    """Return the first run of the first experiment of a study.

    Raises
    ------
    UserError
        If its vocabulary has not been made.
    """
    study = Study(yaml.safe_load(config.read_text(encoding="utf-8")))
    name = study.members[0].run
    spec = study.runs[name]
    vocabulary = results / "vocabularies" / spec.vocabulary
    if not (vocabulary / "stream.nc").is_file() or not (vocabulary / "census.nc").is_file():
        raise UserError(
            f"{vocabulary}: stream.nc or census.nc is missing; run `make figures` first"
        )
    stream, _ = read_stream(vocabulary / "stream.nc")
    return Run(name, spec, stream, read_census(vocabulary / "census.nc"))


def with_settings(spec: RunSpec, updates: int, **fields: object) -> RunSpec:
    """Return the spec with one segment of so many updates, and other fields replaced."""
    record = spec.record.model_copy(update={"segment": updates})
    return spec.model_copy(update={"record": record, **fields})


def block_bytes(spec: RunSpec, tokens: int, updates: int) -> int:
    """Return the recorded bits, in bytes, that one chunk along the step axis needs, all tensors."""
    formats_of = formats(spec)
    lengths = {"state": updates + 1, "update": updates}
    return (
        tokens
        * spec.width
        * sum(
            BYTES[formats_of[name]] * layout.steps_per_chunk(lengths[variable.dims[-1]])
            for name, variable in layout.TENSORS.items()
            if name in stored(spec)
        )
    )


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes
    ----------
    what : str
    values : sequence of float
        One a round.
    unit : str
        'x' for a ratio.
    at_most, at_least : float or None
        The target, where there is one.
    """

    what: str
    values: Sequence[float]
    unit: str = "x"
    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        middle, low, high = median(self.values), min(self.values), max(self.values)
        spread = "" if low == high else f"{_number(low)} to {_number(high)}"
        return f"{self.what:<62} {_number(middle):>7} {self.unit:<5} {spread:<18} {self.verdict}"

    @property
    def verdict(self) -> str:
        """Return the target, and whether the median meets it."""
        if self.at_most is not None:
            met = median(self.values) <= self.at_most
            return f"<= {self.at_most:g} {'met' if met else 'MISSED'}"
        if self.at_least is not None:
            met = median(self.values) >= self.at_least
            return f">= {self.at_least:g} {'met' if met else 'MISSED'}"
        return ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of each round: what drifts from round to round cancels."""
    return [one / other for one, other in zip(over, under, strict=True)]


def alternate(measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Measure one after the other, round by round, so that all see the same drift."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(repeats)]
    return {name: [one[name] for one in rounds] for name in measures}


def seconds(action: Callable[[], object]) -> float:
    """Return the wall time of a call; what it returns is gone before the clock is read."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def describe(spec: RunSpec) -> str:
    """Return machine, device and versions."""
    device = describe_device(choose_device(spec.device))
    cores = f"{os.cpu_count()} cores"
    return f"{processor_name()}, {cores}; device {device}; torch {torch.__version__}; {_system()}"


def _system() -> str:
    return f"{platform.system()} {platform.release()}, Python {platform.python_version()}"


def load_average() -> str:
    """Return the machine's load over the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def lines(title: str, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"\n{title}"
    yield from (f"  {row}" for row in rows)
