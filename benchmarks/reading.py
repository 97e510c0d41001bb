"""Targets 3 and 5: size on disk, and reading back as float32; the page cache is warm."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from study import Row, alternate, ratios, seconds

from deadtokens.costs.storage import StepwiseFile, narrow
from deadtokens.run import layout
from deadtokens.run.spec import DEFAULTS
from deadtokens.seal import crc32
from deadtokens.trajectory.blocks import read_blocks
from deadtokens.trajectory.parts import load_tensor

NAMES = tuple(DEFAULTS.record.tensors)
Selection = tuple[slice, slice]  # of tokens and of steps
ALL = slice(None)


def rewrite_one_step_at_a_time(segment: Path, path: Path) -> None:
    """Write a segment's four tensors as the baseline has them."""
    with h5py.File(segment, "r") as ours, h5py.File(path, "w") as file:
        baseline = StepwiseFile(file)
        for name in NAMES:
            done, steps = 0, ours[name].shape[-1]
            for block in read_blocks([segment], [name]):
                for tensor in narrow(block.values[name], ours[name].attrs["recorded_dtype"]):
                    baseline.put(name, done, steps, tensor)
                    done += 1


def size_rows(segments: list[Path], folder: Path) -> list[Row]:
    """Return the size of a run's tensors relative to the recorded bits and to the baseline."""
    sizes = [_sizes(segment, folder / "baseline.h5") for segment in segments]
    raw, tensors, whole, baseline = np.sum(sizes, axis=0)
    each = [one[1] / one[0] for one in sizes]
    updates = sum(_updates(segment) for segment in segments)
    return [
        Row(f"{updates:,} updates: raw bits of the four tensors", [raw / 1e6], "MB"),
        Row("  our tensors / raw bits", [tensors / raw], at_most=0.42),
        Row(f"  the same, each of {len(segments)} segments", each),
        Row("  our whole files / raw bits", [whole / raw], at_most=0.42),
        Row("  one step at a time / raw bits", [baseline / raw]),
        Row("  our whole files / one step at a time", [whole / baseline], at_most=0.75),
    ]


def _updates(segment: Path) -> int:
    with h5py.File(segment, "r") as file:
        return len(file["update"])


def _sizes(segment: Path, scratch: Path) -> tuple[int, int, int, int]:
    """Return the bytes of raw bits, of our tensors, of our file and of the baseline's."""
    rewrite_one_step_at_a_time(segment, scratch)
    with h5py.File(segment, "r") as ours, h5py.File(scratch, "r") as file:
        raw = sum(file[name].nbytes for name in NAMES)
        tensors = sum(ours[name].id.get_storage_size() for name in NAMES)
    baseline = scratch.stat().st_size
    scratch.unlink()
    return raw, tensors, segment.stat().st_size, baseline


def read_plainly(segment: Path, what: Selection) -> list[np.ndarray]:
    """Read as anybody would: xarray with its own choice of engine; (tokens, components, steps)."""
    tokens, steps = what
    with xr.open_dataset(segment) as dataset:
        tensors = dataset[list(NAMES)]
        if what != (ALL, ALL):
            tensors = tensors.isel(token=tokens, state=steps, update=steps)
        return [tensors[name].values for name in NAMES]


def read_ours(segment: Path, what: Selection) -> list[np.ndarray]:
    """Read by the project's own reader; (tokens, components, steps)."""
    return [load_tensor([segment], name, *what) for name in NAMES]


def read_in_blocks(segment: Path) -> None:
    """Read everything by the project's own reader in bounded memory."""
    states = [name for name in NAMES if name in layout.STATE_TENSORS]
    for names in (states, list(layout.UPDATE_TENSORS)):
        for _ in read_blocks([segment], names):
            pass


def read_baseline(path: Path, what: Selection) -> list[np.ndarray]:
    """Read one-step-at-a-time files by h5py and widen to float32; (steps, tokens, components)."""
    tokens, steps = what
    with h5py.File(path, "r") as file:
        return [widened(file[name][steps, tokens]) for name in NAMES]


def widened(values: np.ndarray) -> np.ndarray:
    """Return stored values as float32."""
    if values.dtype == np.float32:
        return values
    wide = np.left_shift(values, np.uint32(16), dtype=np.uint32)
    return wide.view(np.float32)


def reading_rows(segment: Path, folder: Path, repeats: int) -> list[Row]:
    """Return how long reading takes, ours against the baseline."""
    baseline = folder / "baseline.h5"
    rewrite_one_step_at_a_time(segment, baseline)
    seal = seconds(lambda: crc32(segment))
    with h5py.File(segment, "r") as file:
        tokens, _, steps = file["grad"].shape
    selections = {
        "everything": (ALL, ALL),
        "one token's history": (slice(tokens // 2, tokens // 2 + 1), ALL),
        "one step's matrices": (ALL, slice(steps // 2, steps // 2 + 1)),
    }
    rows = [Row("checksum of the file, once a process", [1000 * seal], "ms")]
    for name, what in selections.items():
        _compare(segment, baseline, what)
        rows += _rows_for(name, _readers(segment, baseline, what), repeats)
    return rows


def _readers(segment: Path, baseline: Path, what: Selection) -> dict[str, Callable[[], object]]:
    readers = {
        "plain xarray": lambda: read_plainly(segment, what),
        "our reader": lambda: read_ours(segment, what),
        "one step at a time": lambda: read_baseline(baseline, what),
    }
    if what == (ALL, ALL):
        readers["our reader, in blocks"] = lambda: read_in_blocks(segment)
    return readers


def _compare(segment: Path, baseline: Path, what: Selection) -> None:
    """Make sure that all readers give the same bits; it warms the page cache too."""
    for plain, ours, other in zip(
        read_plainly(segment, what), read_ours(segment, what), read_baseline(baseline, what),
        strict=True,
    ):  # fmt: skip
        expected = other.transpose(1, 2, 0).view(np.uint32)
        if not all(np.array_equal(one.view(np.uint32), expected) for one in (plain, ours)):
            raise AssertionError(f"{segment}: readers differ")


def _rows_for(name: str, readers: dict[str, Callable[[], object]], repeats: int) -> list[Row]:
    times = alternate(
        {reader: lambda read=read: seconds(read) for reader, read in readers.items()}, repeats
    )
    rows = [
        Row(f"{name}: {reader}", [1000 * one for one in values], "ms")
        for reader, values in times.items()
    ]
    other = times["one step at a time"]
    whole = name == "everything"
    rows.append(
        Row("  plain xarray / one step at a time", ratios(times["plain xarray"], other),
            at_most=1 if whole else None)
    )  # fmt: skip
    rows += [
        Row(f"  one step at a time / {reader}", ratios(other, times[reader]),
            at_least=3 if whole else None)
        for reader in times if reader.startswith("our")
    ]  # fmt: skip
    return rows
